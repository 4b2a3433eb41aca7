"""A pool for a chaos run: its hosts, their rights and models, and how they join and come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.infeasible import Infeasible
from leader.placement.planner import place
from leader.reconcile.member_views import devices
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.profile import MAX_DEVICES, Model, Profile
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.states import EngineState
from simulations.hosts import Host
from simulations.leading import model_info
from simulations.programs import PRESENT, Program
from simulations.world import World

_MIB = 1 << 20
_RETRY = 2.0
CONTEXT, SLOTS = 512, 1
_LONG_REASON = (
    "the engine was compiled on this machine, because no build for its devices was on offer anywhere"
)
"""With this and many devices a record needs a stream."""
_LIARS_RIGHTS = (Rights.WORK, Rights.WORK, Rights.WORK | Rights.LEAD, ALL_RIGHTS)


@dataclass(frozen=True, slots=True)
class Trait:
    """What a host is like. Memory in MiB; ``rate`` and ``offset`` of its clock; models by index.

    ``program``: which of the pool's programs it runs first, by index.
    """

    rights: Rights
    rank: int
    memory: int
    models: tuple[int, ...]
    rate: float
    offset: float
    liar: bool = False
    program: int = 0
    devices: int = 1


def traits(
    random: Random, count: int, liars: int, drift: float, programs: Sequence[Program] = (PRESENT,)
) -> tuple[Trait, ...]:
    """Random hosts; the first one founds, owns, leads and holds all models.

    Some may not ask, unless the pool has a program of version 2, which cannot read such a voucher.
    """
    made = []
    asks = [Rights(0)] if programs[0].is_closed else [Rights(0), Rights(0), Rights(0), Rights.NO_ASK]
    for number in range(count):
        rights = random.choice([ALL_RIGHTS, ALL_RIGHTS, ALL_RIGHTS, Rights.WORK | Rights.LEAD, Rights.WORK])
        models = tuple(index for index in range(2) if random.random() < 0.6)
        rank = random.choice([0, random.randrange(1, 100), random.randrange(1, 100), 50])
        liar = number >= count - liars
        if number == 0:
            rights, models, rank = ALL_RIGHTS, (0, 1), random.randrange(1, 100)
        elif liar:
            rights, models = random.choice(_LIARS_RIGHTS), ()
        made.append(
            Trait(
                rights if number == 0 else rights | random.choice(asks),
                rank,
                random.choice([90, 110, 140, 200]),
                models,
                1.0 + random.uniform(-0.45, 0.45) * drift,
                random.choice([0.0, random.uniform(0.0, 1e6)]),
                liar,
                random.randrange(len(programs)),
                random.choice([1, 1, 2, MAX_DEVICES]),
            )
        )
    return tuple(made)


class Population:
    """The hosts of one world by their traits; the first one founds when the pool is made."""

    def __init__(
        self, world: World, traits: Sequence[Trait], programs: Sequence[Program] = (PRESENT,)
    ) -> None:
        """``programs``: those that hosts run, the older first."""
        self._world = world
        self.traits = traits
        self.programs = programs
        self.set_back: dict[NodeId, float] = {}
        """When the disk of an identity was rolled back last: it may have forgotten what it said before."""
        self._installed: dict[NodeId, float] = {}
        """When the program of an identity changed last."""
        shapes = [model_info("a.gguf", 8), model_info("b.gguf", 12)]
        self.models = [
            Model(model_info.name, model_info.total_bytes, bytes([number + 1]) * 32)
            for number, model_info in enumerate(shapes)
        ]
        self.shapes: dict[Model, ModelInfo] = dict(zip(self.models, shapes, strict=True))
        for trait in traits:
            host = world.add(trait.rank)
            host.rate, host.offset = trait.rate, trait.offset
            host.profile = self._described(host, trait)
            self.install(host, trait.program)

    def _described(self, host: Host, trait: Trait) -> Profile:
        return Profile(
            name=host.profile.name,
            addresses=host.profile.addresses,
            memory_total=2 * trait.memory * _MIB,
            memory_offered=trait.memory * _MIB,
            memory_free=trait.memory * _MIB,
            engine_state=EngineState.READY.value,
            engine_commit="engine",
            engine_reason=_LONG_REASON if trait.devices == MAX_DEVICES else "",
            models=tuple(self.models[index] for index in trait.models),
            rank=trait.rank,
        )

    def install(self, host: Host, program: int) -> None:
        """Its next process runs this one of the pool's programs, and describes the machine as that does.

        No host goes back to version 2 once its disk was set back: its later trace may be a record that
        version 2 cannot read, and then all drop what it sends for old.
        """
        chosen = self.programs[min(program, len(self.programs) - 1)]
        if chosen.is_closed and host.id in self.set_back:
            return
        if chosen != host.program:
            self._installed[host.id] = self._world.now
        host.program = chosen
        host.profile = host.program.described(host.profile, self.trait(host).devices)

    @property
    def has_closed(self) -> bool:
        """Whether some of the hosts run, or may come to run, a program of version 2."""
        return self.programs[0].is_closed

    def trait(self, host: Host) -> Trait:
        return self.traits[host.number]

    def is_member(self, host: Host) -> bool:
        """Whether its disk says that it belongs to the pool."""
        return "vouchers" in host.disk

    def may_vouch(self, host: Host) -> bool:
        """Whether it is an honest owner that no one can have evicted."""
        trait = self.trait(host)
        owns = Rights.OWN in trait.rights and not trait.liar and self.is_member(host)
        return owns and not self._world.is_disputed(host.id)

    def outlaws(self, core: Sequence[Host]) -> frozenset[NodeId]:
        """The members that undisputed owners of the core evicted, in acts that they still know of."""
        return frozenset(
            subject
            for owner in core
            if not self._world.is_disputed(owner.id)
            for subject, when in self._world.evictions.get(owner.id, {}).items()
            if self.set_back.get(owner.id, float("-inf")) < when
        )

    def start(self, host: Host) -> None:
        """Start a host that does not run; one that is no member yet joins once it can reach an owner.

        A host that may have been evicted comes back with a new key, even if it never noted its admission.
        """
        if self._world.is_disputed(host.id):
            self._world.wipe(host)
        if self.is_member(host):
            self._world.restart(host)
            return
        world = self._world
        for owner in world.hosts:
            if owner.node is None or not self.may_vouch(owner):
                continue
            if world.now >= owner.paused_until and world.linked(owner, host):
                try:
                    world.join(host, owner, self.trait(host).rights)
                except MeshError:
                    continue
                return
        run = host.run
        world.at(
            world.now + _RETRY, lambda: self.start(host) if host.run == run and host.node is None else None
        )

    def roll_back(self, host: Host, seconds: float) -> None:
        """Set the disk of a host back, but not to before it joined; note when that changed it.

        That of a program of version 2 not to before it was installed either, see :meth:`install`.
        """
        earliest = next((when for when, key, _ in host.disk.written if key == "vouchers"), self._world.now)
        if host.program.is_closed:
            earliest = max(earliest, self._installed.get(host.id, 0.0))
        if host.disk.roll_back(max(earliest, self._world.now - seconds)):
            self.set_back[host.id] = self._world.now

    def change_rank(self, host: Host, factor: float) -> None:
        """The machine became faster or slower."""
        rank = max(1, int(host.profile.rank * factor)) if host.profile.rank else 0
        host.profile = dataclasses.replace(host.profile, rank=rank)
        self._world.do(host, "publish", host.profile)

    def change_accelerator(self, host: Host, kind: str) -> None:
        """An accelerator was added or removed; that changes no memory."""
        host.profile = dataclasses.replace(host.profile, accelerator_kind=kind)
        self._world.do(host, "publish", host.profile)

    def served_by(self, hosts: Sequence[Host], model: Model) -> bool:
        """Whether these hosts can serve the model: some may lead and hold it, and each could place it."""
        held = [host for host in hosts if self._may_lead(host) and model in host.profile.models]
        return bool(held) and all(self._feasible(hosts, leader, model) for leader in held)

    def _may_lead(self, host: Host) -> bool:
        return Rights.LEAD in self.trait(host).rights and host.profile.rank > 0

    def _feasible(self, hosts: Sequence[Host], leader: Host, model: Model) -> bool:
        workers = [host for host in hosts if Rights.WORK in self.trait(host).rights]
        lent = [
            device
            for host in workers
            for device in devices(host.id, host.profile, None, self.shapes[model], leader.id)
        ]
        try:
            place(self.shapes[model], lent, EngineSettings(CONTEXT, SLOTS))
        except Infeasible:
            return False
        return True
