"""A pool that is ready: all members know each other, nothing is under way, one leads.

Founding a pool of a thousand by a thousand admissions takes longer than the measurement. So the founder's
disk says that it vouched for all, every disk holds all vouchers, and every Node receives all records. The
rumours that these would have become are dropped. From then on nothing is special.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Node
from mesh.wire import codec, messages, signed_facts
from mesh.wire.envelope import MAX_BODY, seal
from mesh.wire.facts import NO_PREVIOUS, Record, Voucher
from mesh.wire.identity import NodeId, pool_id
from mesh.wire.messages import Bodies
from mesh.wire.rights import ALL_RIGHTS
from simulations.measures.stubbed_world import StubbedWorld
from simulations.world import Host, World

_SETTLE_LIMIT = 60.0
_FROM_ONE = 2000
"""Records that one member hands on: their datagrams stay well within the burst of the rate limits."""


class NotReadyError(Exception):
    """The pool did not come to rest within its time limit."""


def ready(nodes: int, seed: int, settings: Settings, full: int | None = None) -> StubbedWorld:
    """A world with that many members, each with the right to lead and a rank of its own.

    With ``full`` only so many run Nodes; the rest are stand-ins (see simulations.measures.stubbed_world).
    Then the founder alone would lead: rumours of a claim would end at stand-ins, so all get it directly.
    Raises NotReadyError.
    """
    world = StubbedWorld(seed, settings)
    for number, rank in enumerate(world.random.sample(range(1, 10 * nodes + 1), nodes)):
        world.add(rank if full is None or number == 0 else 0)
    founder = world.hosts[0]
    world.pool = pool_id(founder.signer.public_key)
    vouchers, act = vouched(world)
    running = world.hosts[:full]
    for host in running:
        host.disk["vouchers"] = vouchers
        if host is founder:
            host.disk["act"] = act
        world.boot(host)
        world.do(host, "start", host.profile)
    world.stubs = world.hosts[len(running) :]
    introduce_all(world, running)
    if world.stubs:
        for host in running:
            world.ask(host)
    world.run(1.0 + world.random.random())
    if world.stubs:
        world.run_until(lambda: node_of(founder).leader() is not None, _SETTLE_LIMIT, 0.1)
        claims = [
            signed_facts.sign(claim, founder.signer).data for claim in [node_of(founder).leader()] if claim
        ]
        _hand(world, founder, running[1:], claims)
    if not world.run_until(lambda: one_leader(world), _SETTLE_LIMIT, 0.1):
        raise NotReadyError(f"{nodes} members found no leader in {_SETTLE_LIMIT} s")
    world.run(3.0 + world.random.random())
    if any(alive_count(host) != nodes for host in running):
        raise NotReadyError(f"not all of {nodes} members hold all others alive")
    return world


def vouched(world: StubbedWorld) -> tuple[bytes, bytes]:
    """What disks hold once the first host has vouched for all: the vouchers; the founder's last act."""
    founder = world.hosts[0]
    chain: list[bytes] = []
    previous = NO_PREVIOUS
    for number, host in enumerate(world.hosts, 1):
        key = host.signer.public_key
        signed = signed_facts.sign(
            Voucher(world.pool, founder.id, number, previous, key, ALL_RIGHTS), founder.signer
        )
        chain.append(signed.data)
        previous = signed.hash
    return codec.pack([world.pool, chain]), codec.pack([len(chain), previous])


def introduce_all(world: StubbedWorld, running: list[Host]) -> None:
    """Hand every Node the record of every other, in datagrams of one member (and to it, of another's).

    Of many records several members hand on a part each: a Node does not verify so many at once from one.
    """
    records = [signed_record(host) for host in running]
    records += [signed_facts.sign(world.record_of(stub), stub.signer).data for stub in world.stubs]
    for number, start in enumerate(range(0, len(records), _FROM_ONE)):
        part = records[start : start + _FROM_ONE]
        sender, other = (running[(2 * number + one) % len(running)] for one in (0, 1))
        _hand(world, sender, [host for host in running if host is not sender], part)
        _hand(world, other, [sender], part)


def _hand(world: StubbedWorld, sender: Host, receivers: list[Host], signed: list[bytes]) -> None:
    """Let these Nodes receive facts from the sender, and not spread them."""
    datagrams = [_bodies(sender, part) for part in _parts(signed)]
    for host in receivers:
        for payload in datagrams:
            world.do(host, "receive", sender.address, payload)
    for host in (sender, *receivers):
        node_of(host).drop_rumours()


def signed_record(host: Host) -> bytes:
    """A running member's record as its author signed it (signing is deterministic)."""
    own = next(member.record for member in node_of(host).members() if member.id == host.id)
    assert isinstance(own, Record)
    return signed_facts.sign(own, host.signer).data


def one_leader(world: World) -> bool:
    """Whether all running members follow the same living leader."""
    leaders = {node_of(host).leader() for host in world.running()}
    if len(leaders) != 1:
        return False
    leader = leaders.pop()
    return leader is not None and world.host_of(leader.author).node is not None


def leader_of(world: World) -> Host:
    """The leader that the first running member follows."""
    leader = node_of(world.running()[0]).leader()
    assert leader is not None
    return world.host_of(leader.author)


def alive_count(host: Host) -> int:
    """How many members a host holds alive, itself included; 0 when it does not run."""
    if host.node is None:
        return 0
    return host.node.inspect().alive_count()


def state_of(host: Host, id: NodeId) -> MemberState | None:
    """The state in which a running host holds a member; None when it never heard of it."""
    return node_of(host).inspect().state(id)


def node_of(host: Host) -> Node:
    """The Node of a running host."""
    assert host.node is not None
    return host.node


def _bodies(sender: Host, part: tuple[bytes, ...]) -> bytes:
    node = node_of(sender)
    assert node.pool is not None
    return seal(node.pool, sender.id, node.take_number(), messages.encode(Bodies(part)), sender.signer)


def _parts(records: list[bytes]) -> Iterator[tuple[bytes, ...]]:
    """As many at a time as a datagram holds."""
    part: list[bytes] = []
    for record in records:
        if sum(len(each) + 3 for each in part) + len(record) + 3 > MAX_BODY - 8:
            yield tuple(part)
            part = []
        part.append(record)
    yield tuple(part)
