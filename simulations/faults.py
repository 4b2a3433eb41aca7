"""Faults as data, and the storm that lets a list of them strike a world.

A schedule is made up front from a seed (simulations.schedule), so that any part of it can run again. A fault
that finds nothing to strike (a crash of what does not run) does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mesh.wire.errors import MeshError
from mesh.wire.rights import Rights
from mesh.wire.versions import GROWING
from simulations.checkers.verdicts import Excuses
from simulations.hosts import Host
from simulations.leading import LeaderLoop, Serving
from simulations.liars import Lies
from simulations.network import LinkFault
from simulations.population import Population
from simulations.unruly import UNRULY, Manner
from simulations.world import World

_LATE = 1.0
"""Seconds after which nothing of a storm arrives any more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong ``at`` so many seconds into a storm; if it has an end, it ``lasts`` so long.

    ``hosts`` and ``others`` are numbers; what ``value`` means depends on the kind.
    """

    at: float
    kind: str
    hosts: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    value: float = 0.0
    lasts: float = 0.0

    def __str__(self) -> str:
        parts = [self.kind, " ".join(f"host{number}" for number in self.hosts)]
        parts.append("and " + " ".join(f"host{number}" for number in self.others) if self.others else "")
        parts.append(f"{self.value:.3g}" if self.value else "")
        parts.append(f"for {self.lasts:.1f} s" if self.lasts else "")
        return " ".join(part for part in parts if part)


def _link(fault: Fault, now: float) -> tuple[LinkFault, ...]:
    """What a fault of the network does to links. ValueError for a kind that is no fault of the network."""
    hosts, others, value = frozenset(fault.hosts), frozenset(fault.others), fault.value
    match fault.kind:
        case "partition" | "bridge":
            return (LinkFault(hosts, others, cut=True), LinkFault(others, hosts, cut=True))
        case "one way":
            return (LinkFault(hosts, others, cut=True),)
        case "loss":
            return (LinkFault(hosts or None, loss=value), LinkFault(None, hosts, loss=value))[
                : 2 if hosts else 1
            ]
        case "duplicate":
            return (LinkFault(duplicate=value),)
        case "corrupt":
            return (LinkFault(corrupt=value),)
        case "truncate":
            return (LinkFault(truncate=value),)
        case "tail":
            return (LinkFault(hosts or None, tail=value),)
        case "delay":
            return (LinkFault(hosts, delay=value),)
        case "mtu":
            return (LinkFault(hosts, mtu=int(value)), LinkFault(None, hosts, mtu=int(value)))
        case "weights":
            return (LinkFault(hosts, rate=value, queue=0.4),)
        case "clog":
            until = now + fault.lasts
            return (LinkFault(hosts, holds_until=until), LinkFault(None, hosts, holds_until=until))
    raise ValueError(f"no kind of fault: {fault.kind}")


class Storm:
    """Lets faults strike one world until it ends."""

    def __init__(
        self,
        world: World,
        pool: Population,
        serving: Serving,
        lies: Lies | None,
        excuses: Excuses,
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._pool = pool
        self._serving = serving
        self._lies = lies
        self._excuses = excuses
        self._note = note
        self._links: dict[int, tuple[LinkFault, ...]] = {}
        self._over = False
        self._acts: dict[str, Callable[[Fault], None]] = {
            "crash": self._crash, "power": self._power, "tear": self._tear, "restart all": self._restart_all,
            "pause": self._pause, "stutter": self._stutter, "wipe": self._wipe,
            "roll back": self._roll_back, "leave": self._leave, "join": self._join,
            "jump": self._jump, "rate": self._rate, "hand over": self._hand_over,
            "deploy": self._deploy, "engine": self._engine, "profile": self._profile,
            "lie": self._lie, "evict": self._evict,
            "readdress": self._readdress,
            "stop engine": self._stop_engine, "machine": self._machine, "ask": self._ask, "move": self._move,
            "upgrade": self._upgrade, "restore": self._restore,
            "choose engine": self._choose_engine, "unruly": self._misbehave,
            "drop streams": self._drop_streams,
        }  # fmt: skip

    def strike(self, faults: Sequence[Fault]) -> None:
        """Let each fault strike at its time from now on."""
        start = self._world.now
        for number, fault in enumerate(faults):
            self._later(start + fault.at, self._begin(number, fault))

    def end(self) -> None:
        """No fault strikes any more, links are whole and hold nothing back; what runs stays as it is."""
        self._over = True
        self._serving.manners.calm()
        for host in self._world.hosts:
            host.torn = None
        self._links.clear()
        self._world.set_faults(())
        self._world.lose_late(_LATE)

    def _begin(self, number: int, fault: Fault) -> Callable[[], None]:
        def begin() -> None:
            self._note(str(fault))
            act = self._acts.get(fault.kind)
            if act is not None:
                act(fault)
                return
            self._links[number] = _link(fault, self._world.now)
            self._set_links()
            self._later(self._world.now + fault.lasts, end)

        def end() -> None:
            self._note(f"no more: {fault}")
            self._links.pop(number, None)
            self._set_links()

        return begin

    def _set_links(self) -> None:
        self._world.set_faults(tuple(link for links in self._links.values() for link in links))

    def _later(self, when: float, action: Callable[[], None]) -> None:
        self._world.at(when, lambda: None if self._over else action())

    def _hosts(self, fault: Fault, running: bool = True) -> list[Host]:
        hosts = (self._world.hosts[number] for number in fault.hosts)
        return [host for host in hosts if (host.node is not None) == running]

    # --- processes and machines

    def _crash(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._world.crash(host)
            self._back(host, fault.lasts)

    def _power(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._world.crash(host, silent=True)
            self._back(host, fault.lasts)

    def _tear(self, fault: Fault) -> None:
        """Let its process, or the next one if none runs, die in the middle of an input: at its next write."""
        for number in fault.hosts:
            host = self._world.hosts[number]
            host.torn = lambda host=host: self._torn(host, fault.lasts)

    def _torn(self, host: Host, seconds: float) -> None:
        self._note(f"host{host.number} died over a write")
        self._back(host, seconds)

    def _restart_all(self, fault: Fault) -> None:
        for index, host in enumerate(self._world.running()):
            self._world.crash(host)
            self._back(host, fault.lasts + index * fault.value)

    def _back(self, host: Host, seconds: float) -> None:
        """Start it again after that, unless something else started it before."""
        run = host.run

        def back() -> None:
            if host.run == run and host.node is None:
                self._pool.start(host)

        self._later(self._world.now + seconds, back)

    def _pause(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._world.pause(host, fault.lasts)

    def _stutter(self, fault: Fault) -> None:
        """A slow event loop: the process stands still for ``value`` seconds, again and again."""
        world = self._world
        for host in self._hosts(fault):
            when = 0.0
            while when < fault.lasts:
                self._later(world.now + when, lambda host=host: world.pause(host, fault.value))  # type: ignore[misc]
                when += 3 * fault.value

    def _wipe(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            if host.number == 0:
                continue
            self._world.crash(host)
            self._world.wipe(host)
            self._back(host, fault.lasts)

    def _roll_back(self, fault: Fault) -> None:
        """Start it again from the disk of ``value`` seconds ago."""
        for host in self._hosts(fault):
            self._world.crash(host)
            self._pool.roll_back(host, fault.value)
            self._back(host, fault.lasts)

    def _upgrade(self, fault: Fault) -> None:
        """Start it again with the program of that number, the older 0, the newer 1; it may not have run."""
        for host in self._hosts(fault):
            self._world.crash(host)
            self._back(host, fault.lasts)
        for number in fault.hosts:
            self._pool.install(self._world.hosts[number], int(fault.value))

    def _restore(self, fault: Fault) -> None:
        """Set back the disk of one that does not run; what is to start it will."""
        for host in self._hosts(fault, running=False):
            self._pool.roll_back(host, fault.value)

    def _leave(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._world.leave(host)
            self._back(host, fault.lasts)

    def _join(self, fault: Fault) -> None:
        for host in self._hosts(fault, running=False):
            if not self._pool.is_member(host):
                self._pool.start(host)

    def _readdress(self, fault: Fault) -> None:
        """Machines get other addresses, or each other's; they publish it ``value`` s later. Streams end."""
        hosts = [self._world.hosts[number] for number in fault.hosts]
        self._world.readdress(hosts)
        for host in hosts:
            gate, leading = self._serving.gate(host), self._serving.leading(host)
            if gate is not None:
                gate.cut_off("its connections broke")
            if leading is not None and leading.server is not None:
                leading.server.lose_all("its connections broke")
            self._publish(host, fault.value)

    def _publish(self, host: Host, seconds: float) -> None:
        """Let its present process notice after that, storm or not, what became of its machine."""
        world = self._world
        world.on(host, world.now + seconds, lambda: world.do(host, "publish", host.profile))

    # --- clocks

    def _jump(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._excuses.jumped[host.id] = self._world.now
            self._world.jump(host, fault.value)

    def _rate(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            host.set_rate(self._world.now, fault.value)

    # --- what people and engines do

    def _hand_over(self, fault: Fault) -> None:
        world = self._world
        heir = world.hosts[fault.hosts[0]]
        for host in world.running():
            leader = host.node.leader() if host.node is not None else None
            if leader is None or leader.author != host.id or world.now < host.paused_until:
                continue
            try:
                world.do(host, "hand_over", heir.id)
            except MeshError:
                continue

    def _deploy(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            if host.node is None or Rights.OWN not in host.node.rights(host.id):
                continue
            model = self._pool.models[int(fault.value) % len(self._pool.models)]
            with suppress(MeshError):  # a liar may have used up the numbers
                self._world.do(host, "deploy", model, 512, 1, fault.value < len(self._pool.models))

    def _choose_engine(self, fault: Fault) -> None:
        """An owner says which llama.cpp the pool runs.

        A program of version 2 cannot read that. Where one may come later, only an owner that knows of one
        tries, and is refused.
        """
        for host in self._hosts(fault):
            refused = host.node is not None and host.node.inspect().form() < GROWING
            if not self._pool.has_closed or refused:
                with suppress(MeshError):
                    self._world.do(host, "choose_engine", f"b{int(fault.value)}", bytes(32))

    def _misbehave(self, fault: Fault) -> None:
        """A host's rpc-server is unruly for a while, in the manner of that number."""
        host, manner = self._world.hosts[fault.hosts[0]], UNRULY[int(fault.value) % len(UNRULY)]
        self._serving.manners.behave(host, manner)
        self._later(self._world.now + fault.lasts, lambda: self._serving.manners.behave(host, Manner.GOOD))

    def _drop_streams(self, fault: Fault) -> None:
        """All streams of a serving leader break at once: something beside it forgot them."""
        for leading in self._servers():
            if leading.server is not None:
                leading.server.lose_all("something on the way forgot its connections")

    def _evict(self, fault: Fault) -> None:
        """Owners evict others, whose people bring them back with new keys some time later."""
        victims = [self._world.hosts[number] for number in fault.others]
        for owner in self._hosts(fault):
            for victim in victims:
                if owner is victim or self._world.now < owner.paused_until:
                    continue
                try:
                    self._world.evict(owner, victim.id)
                except MeshError:
                    continue
                self._later(self._world.now + fault.lasts, self._renew(victim))

    def _renew(self, victim: Host) -> Callable[[], None]:
        id = victim.id

        def renew() -> None:
            if victim.id == id:
                self._world.crash(victim)
                self._pool.start(victim)

        return renew

    def _engine(self, fault: Fault) -> None:
        """rpc-server dies on its own, or llama-server where one runs."""
        for host in self._hosts(fault):
            gate, leading = self._serving.gate(host), self._serving.leading(host)
            if gate is not None and gate.busy:
                gate.restart_engine()
            elif leading is not None and leading.server is not None:
                leading.server.abort("it crashed")

    def _stop_engine(self, fault: Fault) -> None:
        """SIGSTOP of rpc-server where it has a client, or of llama-server where one runs."""
        for host in self._hosts(fault):
            gate, leading = self._serving.gate(host), self._serving.leading(host)
            if gate is not None and gate.busy:
                gate.stop_engine()
            elif leading is not None and leading.server is not None:
                leading.server.stop_process()

    def _ask(self, fault: Fault) -> None:
        """A person asks the serving leader for an answer of so many seconds."""
        for leading in self._servers():
            if leading.server is not None:
                leading.server.ask(fault.value)

    def _move(self, fault: Fault) -> None:
        """A person requests the best placement, at once or once the answers have ended."""
        for leading in self._servers():
            leading.request_move("now" if fault.value else "idle")

    def _servers(self) -> list[LeaderLoop]:
        found = (self._serving.leading(host) for host in self._world.running())
        return [leading for leading in found if leading is not None and leading.server is not None]

    def _machine(self, fault: Fault) -> None:
        """Its owner adds an accelerator, or removes it: another placement may be better now."""
        for host in self._hosts(fault):
            self._pool.change_accelerator(host, "cuda" if fault.value else "cpu")

    def _profile(self, fault: Fault) -> None:
        for host in self._hosts(fault):
            self._pool.change_rank(host, fault.value)

    def _lie(self, fault: Fault) -> None:
        if self._lies is not None:
            self._lies.tell(int(fault.value), self._world.hosts[fault.hosts[0]])
