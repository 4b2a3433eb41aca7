import pytest

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.base.effects import Notice
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.versions import SPOKEN
from simulations.checkers import Checkers, disagreement
from simulations.liars import Lies
from simulations.world import World

KINDS = range(15)


def _pool(curves: bool = False, rights: Rights = Rights.WORK) -> tuple[World, Lies, Checkers]:
    """Five honest hosts and, the last one, a liar."""
    world = World(3, curves=curves)
    checkers = Checkers(world, families=("lies",))
    lies = Lies(world, 3, checkers.excuses.liars)
    for number in range(6):
        world.add(rank=50 - number)
    world.found(world.hosts[0])
    world.run(0.5)
    for host in world.hosts[1:5]:
        world.join(host, world.hosts[0])
    world.join(world.hosts[5], world.hosts[0], rights)
    checkers.excuses.liars.add(world.hosts[5].id)
    world.run(10.0)
    return world, lies, checkers


@pytest.mark.parametrize(("kind", "curves"), [*((kind, False) for kind in KINDS), (0, True), (1, True)])
def test_one_liar_breaks_nothing_and_kills_nobody(kind: int, curves: bool) -> None:
    world, lies, checkers = _pool(curves)
    leader = world.hosts[1].node.leader() if world.hosts[1].node is not None else None
    for _ in range(10):
        lies.tell(kind, world.hosts[5])
        world.run(0.5)
    assert world.run_until(
        lambda: not disagreement(world, world.hosts, frozenset({world.hosts[5].id})), limit=10.0
    )
    assert checkers.violations == []
    assert all(host.node is not None and host.node.leader() == leader for host in world.hosts[:5])


def test_every_kind_of_lie_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world, lies, _ = _pool()
    assert len(lies.kinds) == len(KINDS)
    of_owners = (10, 11, 12)
    sent: list[bytes] = []
    monkeypatch.setattr(world, "carry", lambda source, target, payload: sent.append(payload))
    for kind in set(KINDS) - set(of_owners):
        before = len(sent)
        lies.tell(kind, world.hosts[5])
        assert len(sent) > before
        if world.hosts[5].node is None:  # that was its last word
            world.restart(world.hosts[5])


def test_no_word_of_a_liar_changes_the_form_in_which_others_sign() -> None:
    world, lies, _ = _pool()
    forms = set()
    for _ in range(20):
        lies.tell(14, world.hosts[5])
        world.run(0.5)
        forms |= {host.node.inspect().form() for host in world.hosts if host.node is not None}
    assert forms == {SPOKEN.newest}
    assert all(
        host.node is not None and host.node.drops.counts[DropReason.FORGED] for host in world.hosts[:5]
    )


def test_a_contradiction_is_noticed_and_kept_as_proof() -> None:
    world, lies, _ = _pool()
    noticed: list[str] = []
    world.observers.append(
        lambda w, host, event: noticed.append(event.text) if isinstance(event, Notice) else None
    )
    lies.tell(4, world.hosts[5])
    world.run(3.0)
    assert any("said two things at once" in text for text in noticed)


def test_a_host_that_does_not_run_cannot_lie() -> None:
    world, lies, _ = _pool()
    world.crash(world.hosts[5])
    events = len(world._heap)
    for kind in KINDS:
        lies.tell(kind, world.hosts[5])
    assert len(world._heap) == events


def test_a_liar_that_owns_does_as_it_likes_until_it_is_evicted() -> None:
    world, lies, checkers = _pool(rights=ALL_RIGHTS)
    founder, liar = world.hosts[0], world.hosts[5]
    lies.tell(10, liar)
    lies.tell(12, liar)
    while not world.evictions.get(liar.id):
        lies.tell(11, liar)
    world.run(2.0)
    assert founder.node is not None
    assert len(founder.node.inspect().roster()) == 6
    deployment = founder.node.deployment()
    assert deployment is not None
    assert deployment.model.name == "lie.gguf"
    world.evict(founder, liar.id)
    world.run(2.0)
    assert liar.id not in founder.node.inspect().roster()
    assert len(checkers.excuses.liars) == 2
    assert checkers.violations == []
