"""What the reconciler sees, and the actions that it may order.

Plain values; times in seconds, memory in bytes, members by id.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from leader.blame.quarantines import Exclusion
from leader.blame.shapes import Shape
from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.cost import Device, DeviceKey
from leader.placement.planner import Plan
from mesh.wire.amounts import left_text, size_text
from mesh.wire.profile import Model
from mesh.wire.states import EngineState, Phase


@dataclass(frozen=True, slots=True)
class Wanted:
    """The deployment: ``root`` is its model's hash, ``layers`` fixes numbers of layers by device.

    A key without a device's name stands for all devices of a member.

    ``projector`` is the file beside the model, by which it reads pictures; whoever leads holds both.

    Two deployments that are equal want the same thing running, whoever said so and whenever.
    """

    name: str
    root: bytes
    settings: EngineSettings
    running: bool = True
    layers: Mapping[DeviceKey, int] = field(default_factory=dict)
    projector: Model | None = None

    @property
    def names(self) -> Mapping[bytes, str]:
        """Of what a leader has to hold, by root: the model's first."""
        beside = {} if self.projector is None else {self.projector.root: self.projector.name}
        return {self.root: self.name, **beside}

    def held_by(self, roots: Collection[bytes]) -> bool:
        """Whether a member that holds what these roots name has all that it takes to lead."""
        return all(root in roots for root in self.names)


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member, this node included. ``devices`` are what it would be in a plan for the model at hand."""

    id: bytes
    name: str
    alive: bool = True
    reachable: bool = True  # False for a while after its tunnel was refused or reset
    work: bool = True
    lead: bool = True
    paused: bool = False
    engine: str = EngineState.READY.value  # missing, building, ready, failed
    engine_reason: str = ""
    engine_version: str = ""  # llama.cpp commit and RPC version: must equal the leader's
    models: frozenset[bytes] = frozenset()
    memory_offered: int = 0  # by all its devices, in bytes
    devices: tuple[Device, ...] = ()  # none where no model is at hand


@dataclass(frozen=True, slots=True)
class Running:
    """What this node's engine does for ``wanted``.

    ``phase`` is loading, ready or failed (then it has ended). ``answers`` counts those that run, and those
    that wait inside.
    """

    wanted: Wanted
    plan: Plan
    phase: Phase
    progress: float = 0.0
    reason: str = ""
    answers: int = 0
    load_seconds: float = 0.0  # that loading took, once it is ready


@dataclass(frozen=True, slots=True)
class Copying:
    """A copy that is made: ``done`` of ``total`` bytes are here, at ``rate`` bytes a second."""

    done: int
    total: int
    rate: float = 0.0

    @property
    def fraction(self) -> float:
        return self.done / max(1, self.total)

    def text(self) -> str:
        """Such as ``612 MiB of 1.2 GiB, 14 s left``."""
        text = f"{size_text(self.done)} of {size_text(self.total)}"
        if self.rate and self.done < self.total:
            text += f", {left_text((self.total - self.done) / self.rate)}"
        return text


@dataclass(frozen=True, slots=True)
class View:
    """Everything the reconciler knows.

    ``model_info`` is the wanted model's, None when this node does not hold all its files; ``lost`` then names
    the file if this node held it once. ``asked`` is a person's request for the best placement: "idle" (once
    the running answers have ended) or "now". ``doubted``: members of whose lost tunnels it is not known yet
    whose fault that was; their leases tell whether they still compute for this leader. ``left_out``: devices
    that failed, which plans leave out while others can serve; ``failed_plans``: placements that are not tried
    again unchanged.
    """

    me: bytes
    leading: bool
    wanted: Wanted | None = None
    model_info: ModelInfo | None = None
    members: tuple[MemberView, ...] = ()
    leases: frozenset[bytes] = frozenset()
    running: Running | None = None
    lost: str = ""
    copying: Copying | None = None  # of the model, by this node; None: no copy runs
    asked: str = ""
    doubted: frozenset[bytes] = frozenset()
    left_out: Mapping[DeviceKey, Exclusion] = field(default_factory=dict)
    failed_plans: frozenset[Shape] = frozenset()


@dataclass(frozen=True, slots=True)
class WantLeases:
    """Ask these workers for their leases and keep renewing them; no others."""

    workers: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ReleaseLeases:
    """Give these workers' leases back."""

    workers: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Start:
    """Run llama-server by this plan; with ``restore``, continue the conversations that the last stop kept."""

    wanted: Wanted
    plan: Plan
    restore: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """End llama-server, having saved its conversations (``keep``); then the view has no ``running``."""

    reason: str
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Drain:
    """Admit no new request: what runs is about to be replaced. A decision without it admits them again."""


@dataclass(frozen=True, slots=True)
class ResolveMove:
    """The answer to the request that the view showed: this action grants or refuses it."""

    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the pool sees: ``phase`` is waiting, loading, ready, moving, failed or stopped."""

    phase: Phase
    progress: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Let this member lead instead."""

    to: bytes
    reason: str


NodeAction = WantLeases | ReleaseLeases | Report | HandOver
"""What the driver makes an input of the Node."""

OwnerAction = Start | Stop | Drain | ResolveMove
"""What the driver's owner performs."""

Action = NodeAction | OwnerAction


@dataclass(frozen=True, slots=True)
class ReconcilerMemory:
    """What the reconciler remembers from one decision to the next."""

    asked: frozenset[bytes] = frozenset()
    asked_since: float | None = None  # since when it asks for leases for the next plan
    failures: int = 0  # in a row, of loads and of what was ready for a short time
    retry_at: float = 0.0
    last_failure: str = ""
    ready_since: float | None = None
    handed_over_at: float | None = None
    moved: str = ""  # why it gave a running plan up: the next start is a move, not a first load
    kept: Wanted | None = None  # the deployment whose conversations were saved
    target: tuple[tuple[DeviceKey, int], ...] = ()  # layers by device: where a planned move goes to
    draining_since: float | None = None
    quiet_since: float | None = None  # since when no answer runs
    better_since: float | None = None  # since when a move would pay


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in the order in which to perform them.

    ``again_at`` is when to decide again though nothing changed.
    """

    actions: tuple[Action, ...]
    memory: ReconcilerMemory
    again_at: float | None = None
