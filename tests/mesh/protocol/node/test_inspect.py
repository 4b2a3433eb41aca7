from collections.abc import Iterator

import pytest

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.membership.probes import PERIOD
from mesh.protocol.node.node import Node
from mesh.wire import messages
from mesh.wire.envelope import open_envelope, seal
from mesh.wire.facts import Record, Suspicion, Voucher
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.versions import SPOKEN
from simulations.hosts import Host
from simulations.world import LinkFault, World


def pool(count: int = 4, settings: Settings | None = None) -> World:
    """A pool at rest."""
    world = World(1, settings)
    hosts = [world.add(rank=50 - number) for number in range(count)]
    world.found(hosts[0])
    for host in hosts[1:]:
        world.join(host, hosts[0])
    world.run(5.0)
    return world


def node_of(host: Host) -> Node:
    assert host.node is not None
    return host.node


def test_facts_are_told_all_or_by_their_kind() -> None:
    world = pool()
    inside = node_of(world.hosts[1]).inspect()
    assert {type(signed.fact) for signed in inside.facts()} > {Voucher, Record}
    assert {signed.fact.author for signed in inside.facts(Record)} == {host.id for host in world.hosts}
    assert inside.summary() == node_of(world.hosts[2]).inspect().summary() != bytes(8)
    assert inside.pending_facts() == 0


def test_members_are_told_as_they_are_held() -> None:
    world = pool()
    one, out = world.hosts[0], world.hosts[3]
    inside = node_of(one).inspect()
    assert inside.roster() == {host.id: ALL_RIGHTS for host in world.hosts}
    assert inside.own_liveness() == (1, 0) == inside.liveness()[out.id]
    assert inside.states()[out.id] == ((1, 0), "alive")
    assert inside.endpoints(out.id)[0] == out.address
    assert (inside.alive_count(), inside.state(out.id), inside.state(one.id)) == (4, "alive", None)
    world.evict(one, out.id)
    assert inside.evicted() == {out.id}
    assert out.id not in inside.roster()
    assert inside.endpoints(out.id) == []


def test_the_form_and_the_next_number_are_told() -> None:
    world = pool(2)
    node = node_of(world.hosts[0])
    assert node.inspect().form() == SPOKEN.newest
    number = node.inspect().next_number()
    assert node.take_number() == number
    assert node.inspect().next_number() == number + 1


def test_addresses_that_hellos_go_to_are_told() -> None:
    world = pool()
    nowhere = world.add().address
    world.do(world.hosts[1], "add_seeds", [nowhere])
    assert node_of(world.hosts[1]).inspect().hello_targets() == [nowhere]


def test_a_suspicion_is_told_with_its_suspectors() -> None:
    world = pool(settings=Settings(suspicion_timeout=5.0))
    one, victim = world.hosts[0], world.hosts[3]
    inside = node_of(one).inspect()
    world.crash(victim, silent=True)
    assert world.run_until(lambda: inside.state(victim.id) == MemberState.SUSPECT, 10.0)
    world.run(2.0)
    others = {host.id for host in world.running()}
    assert inside.signed_suspectors(victim.id) <= inside.suspectors(victim.id) <= others
    assert one.id in inside.suspectors(victim.id)
    assert inside.saw_for_itself(victim.id)
    assert not inside.saw_for_itself(world.hosts[1].id)
    suspicions = [signed.fact for signed in inside.facts(Suspicion)]
    assert {fact.author for fact in suspicions} == inside.signed_suspectors(victim.id)
    assert world.run_until(lambda: inside.state(victim.id) == MemberState.DEAD, 20.0)


def test_the_next_probe_is_due_and_then_under_way() -> None:
    world = pool(2)
    one, other = world.hosts
    inside = node_of(one).inspect()
    world.network.delay = 0.1
    world.run(2.0)
    while inside.probe(other.id) is not None:
        world.run(0.01)
    due = inside.due(PERIOD)
    assert due is not None
    assert due > world.now
    world.run(due - world.now + 1e-6)
    probe = inside.probe(other.id)
    assert probe is not None
    assert probe.regular
    assert probe.started == pytest.approx(due)
    assert inside.due("no such timer") is None


def test_a_node_that_lost_nine_others_at_once_waits_in_doubt_and_then_leads() -> None:
    world = pool(10)
    left = node_of(world.hosts[-1])
    inside = left.inspect()
    for host in world.hosts[:-1]:
        world.crash(host, silent=True)
    world.run(3.0)
    assert not inside.waits_in_doubt()  # a healthy node would wait as long
    world.run(20.0)
    assert inside.waits_in_doubt()
    world.run(35.0)
    assert not inside.waits_in_doubt()
    leader = left.leader()
    assert leader is not None
    assert leader.author == left.id


def test_a_member_that_loses_most_datagrams_is_quarantined_by_itself() -> None:
    world = pool(8)
    bad = world.hosts[3]
    inside = node_of(bad).inspect()
    assert not inside.is_quarantined()
    lossy = LinkFault(targets=frozenset({bad.number}), loss=0.8)
    world.set_faults((lossy,))
    assert world.run_until(inside.is_quarantined, 90.0, 0.5)


def test_the_voters_of_a_campaign_and_a_lease_to_another_are_told() -> None:
    world = pool()
    leader = world.hosts[0]
    world.do(leader, "want_leases", [host.id for host in world.hosts])
    world.run(2.0)
    assert not node_of(leader).inspect().is_leased_to_another()
    assert node_of(world.hosts[1]).inspect().is_leased_to_another()
    world.crash(leader)
    heir = node_of(world.hosts[1])
    assert world.run_until(lambda: (claim := heir.leader()) is not None and claim.author == heir.id, 30.0)
    assert heir.inspect().voters() == {world.hosts[2].id, world.hosts[3].id}


def test_a_datagram_is_accepted_once() -> None:
    world = pool()
    source, target = world.hosts[:2]
    sender, inside = node_of(source), node_of(target).inspect()
    assert sender.pool is not None
    body = messages.encode(messages.Pull(()))
    payload = seal(sender.pool, source.id, sender.take_number(), body, source.signer, target.id)
    assert inside.accepts(open_envelope(payload))
    world.do(target, "receive", source.address, payload)
    assert not inside.accepts(open_envelope(payload))


def test_every_container_of_a_node_is_found_once() -> None:
    paths = [path for path, _ in node_of(pool().hosts[0]).inspect().containers()]
    assert len(paths) > 50
    for known in ("store.entries", "membership.peers", "context.pending", "persisted.stored", "gossip.hot"):
        assert sum(path.endswith(known) for path in paths) == 1
    assert any("peers[]" in path for path in paths)
    assert not any("._" in path for path in paths)


def test_looking_changes_nothing() -> None:
    world, other = pool(), pool()
    subject = world.hosts[0].id
    for host in world.hosts:
        inside = node_of(host).inspect()
        for look in (
            inside.facts, inside.summary, inside.pending_facts, inside.roster, inside.evicted,
            inside.own_liveness, inside.liveness, inside.states, inside.alive_count, inside.hello_targets,
            inside.is_quarantined, inside.waits_in_doubt, inside.voters, inside.is_leased_to_another,
            inside.containers, inside.form, inside.next_number,
        ):  # fmt: skip
            found: object = look()
            assert not isinstance(found, Iterator) or list(found)
        for look_at in (
            inside.state, inside.endpoints, inside.suspectors, inside.signed_suspectors,
            inside.saw_for_itself, inside.probe,
        ):  # fmt: skip
            look_at(subject)
        inside.due(PERIOD)
    world.run(20.0)
    other.run(20.0)
    assert world.digest() == other.digest()


def test_rights_are_told_by_member() -> None:
    world = pool()
    volunteer = world.add()
    world.join(volunteer, world.hosts[0], Rights.WORK)
    world.run(2.0)
    assert node_of(world.hosts[2]).inspect().roster()[volunteer.id] == Rights.WORK
