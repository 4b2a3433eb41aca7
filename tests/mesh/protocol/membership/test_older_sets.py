"""A member of version 2, whose set of facts never becomes equal, is not compared with again and again."""

import pytest

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.older_sets import COMPARE_AGAIN, MAX_COMPARED
from mesh.wire.messages import Ack, Buckets, Ping
from mesh.wire.versions import CLOSED, SPOKEN
from tests.mesh.protocol.stage import Actor, Stage

THEIRS, CHANGED = b"a member", b"changed!"


def _stage(is_older: bool = True) -> tuple[Stage, Actor]:
    """A Node at rest and a member, of version 2 or not."""
    stage = Stage(settings=Settings(probe_period=1000.0))
    actor = stage.member(2, speaks=CLOSED if is_older else SPOKEN)
    stage.wait(10.0)
    _compared(stage, actor, b"at first")
    return stage, actor


def _compared(stage: Stage, actor: Actor, theirs: bytes) -> int:
    """How often the Node begins to compare when the actor tells that set hash for a while, and acts on it."""
    stage.take(Buckets)
    for _ in range(3):
        stage.wait(1.0)
        actor.says(Ping(1, theirs, 1, 0))
    return len(stage.take(Buckets, actor))


def _told(stage: Stage, actor: Actor) -> bytes:
    """The set hash that the Node tells the actor."""
    stage.take(Ack)
    actor.says(Ping(1, THEIRS, 1, 0))
    return stage.take(Ack, actor)[-1].summary


def test_sets_that_did_not_change_are_compared_once_and_again_after_a_while() -> None:
    stage, actor = _stage()
    assert _compared(stage, actor, THEIRS) == 1
    assert _compared(stage, actor, THEIRS) == 0
    stage.wait(COMPARE_AGAIN)
    assert _compared(stage, actor, THEIRS) == 1


def test_sets_are_compared_anew_when_either_changed() -> None:
    stage, actor = _stage()
    assert _compared(stage, actor, THEIRS) == 1
    assert _compared(stage, actor, CHANGED) == 1
    stage.member(3)
    stage.wait(2.0)
    assert _compared(stage, actor, CHANGED) == 1


def test_a_member_of_a_later_version_is_compared_with_as_long_as_the_sets_differ() -> None:
    stage, actor = _stage(is_older=False)
    assert _compared(stage, actor, THEIRS) == 3


@pytest.mark.parametrize("is_older", [True, False])
def test_a_member_of_version_2_is_told_its_own_set_hash_once_compared(is_older: bool) -> None:
    stage, actor = _stage(is_older)
    mine = stage.node.inspect().summary()
    assert _compared(stage, actor, CHANGED) > 0
    assert _told(stage, actor) == (CHANGED if is_older else mine)
    stage.member(3)
    assert _told(stage, actor) == stage.node.inspect().summary() != mine


def test_what_is_remembered_of_members_is_bounded() -> None:
    stage, actor = _stage()
    sets = stage.node._parts.older_sets
    stage.node._parts.membership.peers.update(
        {stage.outsider(number).id: stage.node._parts.membership.peers[actor.id] for number in range(10, 200)}
    )
    for number in range(10, 200):
        sets.compared(stage.outsider(number).id, THEIRS)
    assert len(sets._last) <= MAX_COMPARED
