"""A pool that is ready: all members know each other, nothing is under way, one leads.

Founding a pool of a thousand by a thousand admissions takes longer than what is to be measured. So the
founder's disk says that it vouched for all, every disk holds all vouchers, every Node is handed all records,
and the rumours that these would have become are dropped. From then on nothing is special.
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh.protocol.base.settings import Settings
from mesh.protocol.membership.peers import ALIVE
from mesh.protocol.membership.probes import PERIOD
from mesh.protocol.node.node import Node
from mesh.wire import codec, facts, messages
from mesh.wire.envelope import MAX_BODY, seal
from mesh.wire.facts import NO_PREVIOUS, Record, Voucher
from mesh.wire.identity import NodeId, pool_id
from mesh.wire.messages import Bodies
from mesh.wire.rights import ALL_RIGHTS
from simulations.measures.lab import Lab
from simulations.measures.stubs import StubbedLab
from simulations.world import Host

_SETTLE_LIMIT = 60.0
_FROM_ONE = 2000
"""Records that one member hands on: their datagrams stay well within the burst of the rate limits."""


class NotReadyError(Exception):
    """The pool did not come to rest in the time that it was given."""


def ready(nodes: int, seed: int, settings: Settings, full: int | None = None) -> StubbedLab:
    """A world with that many members, each with the right to lead and a rank of its own.

    With ``full`` only so many run Nodes; the rest are stand-ins (see simulations.measures.stubs), and the
    founder alone would lead: rumours of a claim would end at stand-ins, so it is handed to all.
    Raises NotReadyError.
    """
    world = StubbedLab(seed, settings)
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
        world.run_until(lambda: _running(founder).leader() is not None, _SETTLE_LIMIT, 0.1)
        claims = [facts.sign(claim, founder.signer).data for claim in [_running(founder).leader()] if claim]
        _hand(world, founder, running[1:], claims)
    if not world.run_until(lambda: one_leader(world), _SETTLE_LIMIT, 0.1):
        raise NotReadyError(f"{nodes} members found no leader in {_SETTLE_LIMIT} s")
    world.run(3.0 + world.random.random())
    if any(alive_count(host) != nodes for host in running):
        raise NotReadyError(f"not all of {nodes} members hold all others alive")
    return world


def vouched(world: StubbedLab) -> tuple[bytes, bytes]:
    """What disks hold once the first host has vouched for all: the vouchers; the founder's last act."""
    founder = world.hosts[0]
    chain: list[bytes] = []
    previous = NO_PREVIOUS
    for number, host in enumerate(world.hosts, 1):
        key = host.signer.public_key
        signed = facts.sign(
            Voucher(world.pool, founder.id, number, previous, key, ALL_RIGHTS), founder.signer
        )
        chain.append(signed.data)
        previous = signed.hash
    return codec.pack([world.pool, chain]), codec.pack([len(chain), previous])


def introduce_all(world: StubbedLab, running: list[Host]) -> None:
    """Hand every Node the record of every other, in datagrams of one member (and to it, of another's).

    Of many records several members hand on a part each: so many at once from one alone are not verified.
    """
    records = [signed_record(host) for host in running]
    records += [facts.sign(world.record_of(stub), stub.signer).data for stub in world.stubs]
    for number, start in enumerate(range(0, len(records), _FROM_ONE)):
        part = records[start : start + _FROM_ONE]
        sender, other = (running[(2 * number + one) % len(running)] for one in (0, 1))
        _hand(world, sender, [host for host in running if host is not sender], part)
        _hand(world, other, [sender], part)


def _hand(world: StubbedLab, sender: Host, receivers: list[Host], signed: list[bytes]) -> None:
    """Let these Nodes receive facts from the sender, and keep them to themselves."""
    datagrams = [_bodies(sender, part) for part in _parts(signed)]
    for host in receivers:
        for payload in datagrams:
            world.do(host, "receive", sender.address, payload)
    for host in (sender, *receivers):
        _hush(_running(host))


def signed_record(host: Host) -> bytes:
    """A running member's record as its author signed it (signing is deterministic)."""
    own = next(member.record for member in _running(host).members() if member.id == host.id)
    assert isinstance(own, Record)
    return facts.sign(own, host.signer).data


def one_leader(world: Lab) -> bool:
    """Whether all running members hold the same living member for their leader."""
    leaders = {_running(host).leader() for host in world.running()}
    if len(leaders) != 1:
        return False
    leader = leaders.pop()
    return leader is not None and world.host_of(leader.author).node is not None


def leader_of(world: Lab) -> Host:
    """Whom the first running member holds for the leader."""
    leader = _running(world.running()[0]).leader()
    assert leader is not None
    return world.host_of(leader.author)


def alive_count(host: Host) -> int:
    """How many members a host holds alive, itself included; 0 when it does not run."""
    if host.node is None:
        return 0
    return 1 + sum(peer.state == ALIVE for peer in host.node._parts.membership.peers.values())


def state_of(host: Host, id: NodeId) -> str | None:
    """How a running host holds a member: alive, suspect, dead, left; None when it never heard of it."""
    peer = _running(host)._parts.membership.peers.get(id)
    return peer.state if peer is not None else None


def is_steady(host: Host) -> bool:
    """Whether a running host holds that it can itself be reached well enough to count."""
    return _running(host)._parts.membership.flap_detector.stable


def probes_due(world: Lab, seconds: float) -> list[tuple[Host, float]]:
    """The running hosts that begin a probe in turn within so many seconds, and when by the world's clock."""
    due = []
    for host in world.running():
        pending = _running(host)._parts.context._pending.get((PERIOD, b""))
        if pending is not None and host.world_time(pending[1]) < world.now + seconds:
            due.append((host, max(world.now, host.world_time(pending[1]))))
    return due


def is_probing(host: Host, id: NodeId, regular: bool = True, since: float | None = None) -> bool:
    """Whether a running host waits for a member's answer, asked in turn or not; asked just then."""
    prober = _running(host)._parts.prober
    probe = prober._probes.get(prober._probed.get(id, 0))
    return probe is not None and probe.regular == regular and (since is None or probe.started >= since - 1e-6)


def _running(host: Host) -> Node:
    assert host.node is not None
    return host.node


def _hush(node: Node) -> None:
    node._parts.gossip.drop_rumours()


def _bodies(sender: Host, part: tuple[bytes, ...]) -> bytes:
    core = _running(sender)._parts.context
    core.sent += 1
    return seal(core.pool, sender.id, core.sent, messages.encode(Bodies(part)), sender.signer)


def _parts(records: list[bytes]) -> Iterator[tuple[bytes, ...]]:
    """As many at a time as a datagram holds."""
    part: list[bytes] = []
    for record in records:
        if sum(len(each) + 3 for each in part) + len(record) + 3 > MAX_BODY - 8:
            yield tuple(part)
            part = []
        part.append(record)
    yield tuple(part)
