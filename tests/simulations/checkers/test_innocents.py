from leader.blame.breaks import Break, Judgement
from tests.simulations.checkers.watched import Watched


def judge(pool: Watched, guilty: bool = True) -> None:
    member = pool.hosts[1].id
    broken = Break(member, ((member, "CPU"),), pool.world.now, "the worker closed the tunnel")
    pool.serving.judged(pool.hosts[0], Judgement(broken, guilty))


SAID = "innocents: host0 blames host1, which did nothing: the worker closed the tunnel"


def test_one_that_is_blamed_and_did_nothing_is_caught() -> None:
    pool = Watched()
    judge(pool, guilty=False)
    assert SAID not in pool.said
    judge(pool)
    assert SAID in pool.said


def test_one_whose_rpc_server_failed_a_short_while_ago_is_no_innocent() -> None:
    pool = Watched()
    pool.serving.manners.failed(pool.hosts[1], pool.world.now)
    judge(pool)
    assert SAID not in pool.said
    pool.world.run(21.0)
    judge(pool)
    assert SAID in pool.said


def test_a_liar_and_one_whose_clock_leapt_are_excused() -> None:
    pool = Watched()
    pool.checkers.excuses.jumped[pool.hosts[1].id] = pool.world.now
    judge(pool)
    pool.checkers.excuses.jumped.clear()
    pool.checkers.excuses.liars.add(pool.hosts[1].id)
    judge(pool)
    assert SAID not in pool.said
