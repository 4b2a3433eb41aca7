from leader.blame.good_service import MAX_PROVEN, PROOF, GoodService


def test_who_served_for_thirty_seconds_without_a_break_has_proved_itself() -> None:
    service = GoodService()
    service.see(100.0, "plan", [b"a", b"b"])
    service.see(100.0 + PROOF - 0.1, "plan", [b"a", b"b"])
    assert not service.has_served(b"a")
    service.see(100.0 + PROOF, "plan", [b"a", b"b"])
    assert service.has_served(b"a")
    assert not service.has_served(b"c")


def test_a_break_or_another_plan_begins_the_count_again() -> None:
    service = GoodService()
    for now, what in ((0.0, "plan"), (20.0, None), (21.0, "plan"), (45.0, "plan"), (46.0, "another")):
        service.see(now, what, [b"a"])
    service.see(75.0, "another", [b"a"])
    assert not service.has_served(b"a")
    service.see(76.0, "another", [b"a"])
    assert service.has_served(b"a")


def test_while_nothing_is_served_nobody_proves_anything() -> None:
    service = GoodService()
    service.see(0.0, None, [b"a"])
    service.see(1000.0, None, [b"a"])
    assert not service.has_served(b"a")


def test_who_failed_is_to_prove_itself_anew() -> None:
    service = GoodService()
    service.see(0.0, "plan", [b"a"])
    service.see(PROOF, "plan", [b"a"])
    service.failed(b"a")
    service.failed(b"never seen")
    assert not service.has_served(b"a")


def test_of_too_many_those_are_forgotten_that_served_the_longest_ago() -> None:
    service = GoodService()
    for start, members in ((0.0, [b"old"]), (100.0, [bytes([n >> 8, n & 255]) for n in range(MAX_PROVEN)])):
        service.see(start, start, members)
        service.see(start + PROOF, start, members)
    assert not service.has_served(b"old")
    assert service.has_served(bytes([0, 0]))
