from mesh.net.metering import Meter


def taken(meter: Meter, source: str, times: int, now: float) -> int:
    return sum(meter.take(source, now) for _ in range(times))


def test_a_source_gets_its_burst_and_then_its_rate() -> None:
    meter = Meter(rate=10.0, burst=30.0)
    assert taken(meter, "a", 100, 0.0) == 30
    assert taken(meter, "a", 100, 1.0) == 10
    assert taken(meter, "b", 100, 1.0) == 30, "another's use is nothing to it"
    assert taken(meter, "a", 100, 100.0) == 30


def test_what_was_given_back_may_be_taken_again_up_to_the_burst() -> None:
    meter = Meter(rate=0.0, burst=2.0)
    for _ in range(50):
        assert meter.take("a", 0.0)
        meter.give_back("a")
    for _ in range(5):
        meter.give_back("a")
    assert taken(meter, "a", 10, 0.0) == 2


def test_sources_are_forgotten_when_there_are_too_many() -> None:
    meter = Meter(rate=1.0, burst=1.0, most=3)
    for source in "abcd":
        assert meter.take(source, 0.0)
    assert len(meter) == 3
    assert not meter.take("d", 0.0)
    assert meter.take("a", 0.0), "a was forgotten, so it begins anew"
