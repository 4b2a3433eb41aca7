"""For every row of the transition tables a story that takes a real Node through it."""

from collections.abc import Callable
from enum import StrEnum

from mesh.protocol.leadership.election import Role, RoleEvent
from mesh.protocol.leadership.leader_leases import LeaderLeaseEvent, LeaderLeaseState
from mesh.protocol.leadership.worker_lease import WorkerLeaseEvent, WorkerLeaseState
from mesh.wire.facts import NO_PREVIOUS, Eviction
from mesh.wire.messages import LeaseGrant, LeaseRelease, LeaseRequest, Vote, VoteRequest
from tests.mesh.protocol.stage import Actor, Stage

Story = Callable[[], object]
Row = tuple[StrEnum, StrEnum]


# --- the election: a Node in each role, and what may happen to it


def _waits() -> tuple[Stage, Actor]:
    """The Node has heard no leader yet; the other could lead."""
    stage = Stage(rank=10)
    return stage, stage.member(2, rank=10)


def _is_valid() -> tuple[Stage, Actor]:
    """The Node has just asked this other, and one more, for their votes."""
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
    """The Node joined the pool of another, and left."""
    founded = Stage()
    newcomer = founded.member(2)
    stage = Stage(signer=newcomer.signer, chain=founded.node.chain(newcomer.id))
    founder = Actor(stage, 1, rank=1)
    founder.tells(founder.record())
    stage.perform(stage.node.leave(stage.now))
    return stage, founder


def _is_refused() -> None:
    stage, _ = _is_valid()
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
    (Role.OUTSIDE, RoleEvent.STARTED): _waits,
    (Role.WAITING, RoleEvent.HEARD): _follows,
    (Role.CANDIDATE, RoleEvent.HEARD): lambda: _hears(_is_valid()),
    (Role.FOLLOWER, RoleEvent.LOST): _loses,
    (Role.WAITING, RoleEvent.DELAY_ELAPSED): _is_valid,
    (Role.CANDIDATE, RoleEvent.WON): _leads,
    (Role.CANDIDATE, RoleEvent.REFUSED): _is_refused,
    (Role.WAITING, RoleEvent.NAMED): lambda: _is_named(_waits()),
    (Role.CANDIDATE, RoleEvent.NAMED): lambda: _is_named(_is_valid()),
    (Role.FOLLOWER, RoleEvent.NAMED): lambda: _is_named(_follows()),
    (Role.LEADER, RoleEvent.RECLAIMED): lambda: _is_contested(rank=1),
    (Role.LEADER, RoleEvent.YIELDED): lambda: _is_contested(rank=10),
    (Role.WAITING, RoleEvent.PAUSED): lambda: _pauses(_waits()),
    (Role.CANDIDATE, RoleEvent.PAUSED): lambda: _pauses(_is_valid()),
    (Role.LEADER, RoleEvent.PAUSED): lambda: _pauses(_leads()),
    (Role.FOLLOWER, RoleEvent.PAUSED): lambda: _pauses(_follows()),
    (Role.OUTSIDE, RoleEvent.STOPPED): _is_evicted,
    (Role.WAITING, RoleEvent.STOPPED): lambda: _leaves(_waits()),
    (Role.CANDIDATE, RoleEvent.STOPPED): lambda: _leaves(_is_valid()),
    (Role.FOLLOWER, RoleEvent.STOPPED): lambda: _leaves(_follows()),
}


# --- a worker's lease


def _asks(stage: Stage, leader: Actor, number: int = 1, term: int = 1) -> None:
    leader.says(LeaseRequest(stage.node.id, number, leader.generation, leader.claim(term), b""))


def _bound() -> tuple[Stage, Actor]:
    stage = Stage(rank=0)
    leader = stage.member(2, rank=50)
    _asks(stage, leader)
    return stage, leader


def _in_restart_grace() -> Stage:
    stage, _ = _bound()
    return stage.restarted()


def _restarts_twice() -> None:
    stage = _in_restart_grace()
    stage.perform(stage.node.leave(stage.now))
    stage.perform(stage.node.start(stage.now, stage.profile))


def _clears() -> None:
    stage = _in_restart_grace()
    stage.wait(stage.settings.lease)
    _asks(stage, stage.member(2, rank=50))


def _gives_back() -> None:
    stage, leader = _bound()
    leader.says(LeaseRelease(stage.node.id, 1, 1))


def _lets_run_out() -> None:
    stage, _ = _bound()
    stage.wait(stage.settings.lease)


def _resigns() -> None:
    _, leader = _bound()
    leader.tells(leader.resignation(1))


LEASES: dict[Row, Story] = {
    (WorkerLeaseState.FREE, WorkerLeaseEvent.RESTARTED): _in_restart_grace,
    (WorkerLeaseState.RESTART_GRACE, WorkerLeaseEvent.RESTARTED): _restarts_twice,
    (WorkerLeaseState.RESTART_GRACE, WorkerLeaseEvent.GRACE_ENDED): _clears,
    (WorkerLeaseState.FREE, WorkerLeaseEvent.GRANTED): _bound,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.GRANTED): lambda: _asks(*_bound(), number=2, term=2),
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.RENEWED): lambda: _asks(*_bound(), number=2),
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.RELEASED): _gives_back,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.EXPIRED): _lets_run_out,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.INVALIDATED): _resigns,
    (WorkerLeaseState.GRANTED, WorkerLeaseEvent.WITHDRAWN): lambda: _leaves(_bound()),
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
    (LeaderLeaseState.UNWANTED, LeaderLeaseEvent.WANTED): _wants,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.GRANTED): _holds,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.GRANTED): _renews,
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.EXPIRED): _lapses,
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.RELEASED): lambda: _releases(_wants()),
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.RELEASED): lambda: _releases(_holds()),
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.UNFIT): lambda: _evicts(_wants()),
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.UNFIT): lambda: _evicts(_holds()),
    (LeaderLeaseState.ASKING, LeaderLeaseEvent.DEPOSED): lambda: _yields(_wants()),
    (LeaderLeaseState.HOLDING, LeaderLeaseEvent.DEPOSED): lambda: _yields(_holds()),
}


STORIES: dict[Row, Story] = {**ELECTION, **LEASES, **TENANCIES}
