from mesh.protocol.base.drop_counters import DropReason
from mesh.wire import codec
from mesh.wire.rights import Rights
from simulations.hosts import Host
from tests.simulations.checkers.watched import Watched


def test_two_claims_of_one_term_by_one_author_are_caught() -> None:
    pool = Watched()
    one, other, *_ = pool.hosts
    pool.follow(other, pool.claim(one, 7, rank=1))
    pool.follow(other, pool.claim(one, 7, rank=2))
    assert "terms: two claims of host0 for term 7" in pool.said


def test_a_leader_that_goes_back_is_caught() -> None:
    pool = Watched()
    one = pool.hosts[0]
    one.disk.write(pool.world.now, "term", codec.pack([9]))
    pool.follow(one, pool.claim(one, 9))
    pool.follow(one, pool.claim(one, 8))
    assert "terms: host0 went back to term 8" in pool.said


def test_a_claim_of_a_former_process_is_caught() -> None:
    pool = Watched()
    one = pool.hosts[0]
    one.disk.write(pool.world.now, "term", codec.pack([9]))
    pool.follow(one, pool.claim(one, 9))
    pool.world.crash(one)
    pool.world.restart(one)
    pool.follow(one, pool.claim(one, 9))
    assert "leads in term 9 of a former process" in pool.said


def test_a_term_that_is_not_on_the_disk_is_caught() -> None:
    pool = Watched()
    pool.follow(pool.hosts[0], pool.claim(pool.hosts[0], 70))
    assert "before that was on its disk" in pool.said


def test_following_one_that_may_not_lead_is_caught() -> None:
    pool = Watched()
    volunteer = pool.world.add(rank=1)
    pool.world.join(volunteer, pool.hosts[0], Rights.WORK)
    pool.world.run(1.0)
    pool.follow(pool.hosts[0], pool.claim(volunteer, 9))
    assert "host0 follows host4, which may not lead" in pool.said


def _at_term(pool: Watched, host: Host, term: int) -> None:
    host.disk.write(pool.world.now, "term", codec.pack([term]))


def _set_back(pool: Watched, host: Host, when: float) -> None:
    """The host starts again from its disk of then."""
    pool.world.crash(host)
    host.disk.roll_back(when)
    pool.world.restart(host)
    pool.world.run(0.1)


def _pool_with_a_leader_set_back() -> tuple[Watched, Host]:
    """It claimed terms 6 and 7, and its disk knows of term 6 alone."""
    pool = Watched()
    one = pool.hosts[0]
    _at_term(pool, one, 6)
    pool.follow(one, pool.claim(one, 6))
    noted = pool.world.now
    pool.world.run(0.1)
    _at_term(pool, one, 7)
    pool.follow(one, pool.claim(one, 7))
    _set_back(pool, one, noted)
    assert pool.said == ""
    return pool, one


def test_a_term_that_a_disk_forgot_may_be_claimed_once_more() -> None:
    pool, one = _pool_with_a_leader_set_back()
    _at_term(pool, one, 7)
    pool.follow(one, pool.claim(one, 7, rank=2))
    assert pool.said == ""
    pool.follow(pool.hosts[1], pool.claim(one, 7, rank=3))
    assert pool.said.endswith("terms: 3 claims of host0 for term 7")


def test_a_term_that_a_disk_kept_may_not() -> None:
    pool, one = _pool_with_a_leader_set_back()
    pool.follow(pool.hosts[1], pool.claim(one, 6, rank=2))
    assert pool.said.endswith("terms: two claims of host0 for term 6")


def test_terms_rise_from_what_the_disk_that_was_set_back_says() -> None:
    pool, one = _pool_with_a_leader_set_back()
    pool.follow(one, pool.claim(one, 5))
    assert "terms: host0 went back to term 5" in pool.said


def test_a_term_must_be_on_a_disk_that_was_set_back_as_on_any() -> None:
    pool, one = _pool_with_a_leader_set_back()
    pool.follow(one, pool.claim(one, 99))
    assert pool.said.endswith("terms: host0 leads in term 99 before that was on its disk")


def test_no_two_processes_lead_in_a_term_after_the_disk_was_set_back() -> None:
    pool, one = _pool_with_a_leader_set_back()
    _at_term(pool, one, 9)
    pool.follow(one, pool.claim(one, 9))
    pool.world.crash(one)
    pool.world.restart(one)
    pool.follow(one, pool.claim(one, 9))
    assert pool.said.endswith("terms: host0 leads in term 9 of a former process")


def test_an_incarnation_that_a_disk_forgot_may_come_again_but_once() -> None:
    pool = Watched()
    one = pool.hosts[1]
    noted, kept = pool.world.now, one.disk["incarnation"]
    pool.world.run(0.1)
    pool.world.crash(one)
    pool.world.restart(one)
    pool.world.run(0.1)
    _set_back(pool, one, noted)
    assert pool.said == ""
    pool.world.crash(one)
    one.disk["incarnation"] = kept  # as if the last one had not been stored
    pool.world.restart(one)
    pool.world.run(0.1)
    assert "terms: host1 starts in generation 2 after 2" in pool.said


def _leap(pool: Watched, host: Host, term: int) -> str:
    """What is said when the host notes that term all at once."""
    pool.checkers.terms.scan()
    _at_term(pool, host, term)
    pool.checkers.terms.scan()
    return pool.said


def test_a_leap_at_the_first_word_of_it_is_caught() -> None:
    pool = Watched()
    far = pool.world.settings.max_term_jump + 1
    assert _leap(pool, pool.hosts[1], far) == ""
    said = _leap(pool, pool.hosts[1], 2 * far)
    assert said.endswith(f"terms: host1 leaps from term {far} to {2 * far} at the first claim of it")


def test_a_leap_after_one_that_was_refused_may_be_right() -> None:
    pool = Watched()
    assert pool.hosts[1].node is not None
    pool.hosts[1].node._context.drops.count(DropReason.LEAPING_CLAIM, "")
    assert _leap(pool, pool.hosts[1], 2**30) == ""


def test_a_leap_to_a_term_that_a_disk_forgot_may_be_right() -> None:
    pool = Watched()
    pool.checkers.setbacks.forgot(pool.hosts[1].id, 1, 2**30)
    assert _leap(pool, pool.hosts[1], 2**30) == ""


def test_each_of_many_writes_may_leap() -> None:
    pool = Watched()
    one, jump = pool.hosts[1], pool.world.settings.max_term_jump
    for times in (1, 2, 3):
        _at_term(pool, one, times * jump)
    pool.checkers.terms.scan()
    assert pool.said == ""
