from mesh.wire import codec
from mesh.wire.rights import Rights
from tests.simulations.checkers.pools import Watched


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


def test_one_whose_disk_went_back_is_excused() -> None:
    pool = Watched()
    one = pool.hosts[0]
    pool.checkers.excuses.set_back[one.id] = pool.world.now
    pool.follow(pool.hosts[1], pool.claim(one, 7, rank=1))
    pool.follow(pool.hosts[1], pool.claim(one, 7, rank=2))
    assert pool.said == ""
