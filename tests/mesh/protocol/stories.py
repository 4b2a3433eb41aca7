"""For every row of the transition tables something that lets it happen to a real Node."""

from collections.abc import Callable
from enum import StrEnum

from mesh.protocol.leadership.leader_leases import Step, Tenancy
from mesh.protocol.leadership.roles import Role, Turn
from mesh.protocol.leadership.worker_lease import Deed, Lease
from mesh.wire.facts import NO_PREVIOUS, Eviction
from mesh.wire.messages import LeaseGrant, LeaseRelease, LeaseRequest, Vote, VoteRequest
from tests.mesh.protocol.stage import Actor, Stage

Story = Callable[[], object]
Row = tuple[StrEnum, StrEnum]


# --- the election: a Node in each role, and what may happen to it


def _waits() -> tuple[Stage, Actor]:
    """It heard no leader yet; the other is one that could lead."""
    stage = Stage(rank=10)
    return stage, stage.member(2, rank=10)


def _stands() -> tuple[Stage, Actor]:
    """It asked for votes just now, of this other and of one more."""
    stage, other = _waits()
    stage.member(3)
    while not stage.take(VoteRequest):
        stage.wait(0.05)
    return stage, other


def _follows() -> tuple[Stage, Actor]:
    stage, leader = _waits()
    leader.tells(leader.claim(1))
    return stage, leader


def _leads() -> tuple[Stage, Actor]:
    stage, other = _waits()
    stage.wait(5.0)
    return stage, other


def _is_outside() -> tuple[Stage, Actor]:
    """It was let into the pool of another, and left."""
    founded = Stage()
    newcomer = founded.member(2)
    stage = Stage(signer=newcomer.signer, chain=founded.node.chain(newcomer.id))
    founder = Actor(stage, 1, rank=1)
    founder.tells(founder.record())
    stage.perform(stage.node.leave(stage.now))
    return stage, founder


def _is_refused() -> None:
    stage, _ = _stands()
    for voter in stage.actors.values():
        voter.says(Vote(1, False, b""))


def _hears(scene: tuple[Stage, Actor]) -> None:
    _, leader = scene
    leader.tells(leader.claim(1))


def _is_named(scene: tuple[Stage, Actor]) -> None:
    """The leader's last word overtakes its claim."""
    stage, leader = scene
    leader.tells(leader.resignation(1, successor=stage.node.id))
    leader.tells(leader.claim(1))


def _loses() -> None:
    _, leader = _follows()
    leader.tells(leader.resignation(1))


def _is_contested(rank: int) -> None:
    _, rival = _leads()
    rival.tells(rival.claim(2, rank))


def _pauses(scene: tuple[Stage, Actor]) -> None:
    stage, _ = scene
    stage.sleep(1.0)


def _leaves(scene: tuple[Stage, Actor]) -> None:
    stage, _ = scene
    stage.perform(stage.node.leave(stage.now))


def _is_evicted() -> None:
    stage, founder = _is_outside()
    eviction = Eviction(stage.pool, founder.id, 2, NO_PREVIOUS, stage.node.id, 0, NO_PREVIOUS)
    founder.tells(founder.sign(eviction))


ELECTION: dict[Row, Story] = {
    (Role.OUTSIDE, Turn.STARTED): _waits,
    (Role.WAITING, Turn.HEARD): _follows,
    (Role.CANDIDATE, Turn.HEARD): lambda: _hears(_stands()),
    (Role.FOLLOWER, Turn.LOST): _loses,
    (Role.WAITING, Turn.STOOD): _stands,
    (Role.CANDIDATE, Turn.WON): _leads,
    (Role.CANDIDATE, Turn.REFUSED): _is_refused,
    (Role.WAITING, Turn.NAMED): lambda: _is_named(_waits()),
    (Role.CANDIDATE, Turn.NAMED): lambda: _is_named(_stands()),
    (Role.FOLLOWER, Turn.NAMED): lambda: _is_named(_follows()),
    (Role.LEADER, Turn.BID): lambda: _is_contested(rank=1),
    (Role.LEADER, Turn.YIELDED): lambda: _is_contested(rank=10),
    (Role.WAITING, Turn.PAUSED): lambda: _pauses(_waits()),
    (Role.CANDIDATE, Turn.PAUSED): lambda: _pauses(_stands()),
    (Role.LEADER, Turn.PAUSED): lambda: _pauses(_leads()),
    (Role.FOLLOWER, Turn.PAUSED): lambda: _pauses(_follows()),
    (Role.OUTSIDE, Turn.STOPPED): _is_evicted,
    (Role.WAITING, Turn.STOPPED): lambda: _leaves(_waits()),
    (Role.CANDIDATE, Turn.STOPPED): lambda: _leaves(_stands()),
    (Role.FOLLOWER, Turn.STOPPED): lambda: _leaves(_follows()),
}


# --- a worker's lease


def _asks(stage: Stage, leader: Actor, number: int = 1, term: int = 1) -> None:
    leader.says(LeaseRequest(stage.node.id, number, leader.generation, leader.claim(term), b""))


def _lent() -> tuple[Stage, Actor]:
    stage = Stage(rank=0)
    leader = stage.member(2, rank=50)
    _asks(stage, leader)
    return stage, leader


def _barred() -> Stage:
    stage, _ = _lent()
    return stage.restarted()


def _restarts_twice() -> None:
    stage = _barred()
    stage.perform(stage.node.leave(stage.now))
    stage.perform(stage.node.start(stage.now, stage.profile))


def _clears() -> None:
    stage = _barred()
    stage.wait(stage.settings.lease)
    _asks(stage, stage.member(2, rank=50))


def _gives_back() -> None:
    stage, leader = _lent()
    leader.says(LeaseRelease(stage.node.id, 1, 1))


def _lets_run_out() -> None:
    stage, _ = _lent()
    stage.wait(stage.settings.lease)


def _resigns() -> None:
    _, leader = _lent()
    leader.tells(leader.resignation(1))


LEASES: dict[Row, Story] = {
    (Lease.FREE, Deed.RESTARTED): _barred,
    (Lease.BARRED, Deed.RESTARTED): _restarts_twice,
    (Lease.BARRED, Deed.CLEARED): _clears,
    (Lease.FREE, Deed.GRANTED): _lent,
    (Lease.LENT, Deed.GRANTED): lambda: _asks(*_lent(), number=2, term=2),
    (Lease.LENT, Deed.RENEWED): lambda: _asks(*_lent(), number=2),
    (Lease.LENT, Deed.RETURNED): _gives_back,
    (Lease.LENT, Deed.EXPIRED): _lets_run_out,
    (Lease.LENT, Deed.VOIDED): _resigns,
    (Lease.LENT, Deed.WITHDRAWN): lambda: _leaves(_lent()),
}


# --- a leader and a worker


def _wants() -> tuple[Stage, Actor]:
    stage, worker = _leads()
    stage.perform(stage.node.want_leases(stage.now, [worker.id]))
    return stage, worker


def _holds() -> tuple[Stage, Actor]:
    stage, worker = _wants()
    _grants(stage, worker)
    return stage, worker


def _grants(stage: Stage, worker: Actor) -> None:
    worker.says(LeaseGrant(stage.take(LeaseRequest, worker)[-1].number, 1))


def _renews() -> None:
    stage, worker = _holds()
    stage.wait(stage.settings.renew)
    _grants(stage, worker)


def _lapses() -> None:
    stage, _ = _holds()
    stage.wait(stage.settings.lease)


def _releases(scene: tuple[Stage, Actor]) -> None:
    stage, worker = scene
    stage.perform(stage.node.release_leases(stage.now, [worker.id]))


def _evicts(scene: tuple[Stage, Actor]) -> None:
    stage, worker = scene
    stage.perform(stage.node.evict(stage.now, worker.id))


def _yields(scene: tuple[Stage, Actor]) -> None:
    stage, _ = scene
    rival = stage.member(3, rank=99)
    rival.tells(rival.claim(2))


TENANCIES: dict[Row, Story] = {
    (Tenancy.UNWANTED, Step.WANTED): _wants,
    (Tenancy.ASKING, Step.GRANTED): _holds,
    (Tenancy.HOLDING, Step.GRANTED): _renews,
    (Tenancy.HOLDING, Step.LAPSED): _lapses,
    (Tenancy.ASKING, Step.RELEASED): lambda: _releases(_wants()),
    (Tenancy.HOLDING, Step.RELEASED): lambda: _releases(_holds()),
    (Tenancy.ASKING, Step.UNFIT): lambda: _evicts(_wants()),
    (Tenancy.HOLDING, Step.UNFIT): lambda: _evicts(_holds()),
    (Tenancy.ASKING, Step.DEPOSED): lambda: _yields(_wants()),
    (Tenancy.HOLDING, Step.DEPOSED): lambda: _yields(_holds()),
}


STORIES: dict[Row, Story] = {**ELECTION, **LEASES, **TENANCIES}
