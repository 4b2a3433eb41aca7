"""What the reconciler sees and what it may order.

Plain values; times in seconds, memory in bytes, members by id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from leader.model.model_info import ModelInfo
from leader.placement.cost import Device
from leader.placement.planner import Plan


@dataclass(frozen=True, slots=True)
class Wanted:
    """The deployment: ``root`` is its model's hash, ``layers`` fixes numbers of layers by member.

    Two deployments that are equal want the same thing running, whoever said so and whenever.
    """

    name: str
    root: bytes
    context: int
    slots: int
    running: bool = True
    layers: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member, this node included. ``device`` is what it would be in a plan for the model at hand."""

    id: bytes
    name: str
    alive: bool = True
    reachable: bool = True  # False for a while after its tunnel was refused or reset
    work: bool = True
    lead: bool = True
    paused: bool = False
    engine: str = "ready"  # missing, building, ready, failed
    engine_reason: str = ""
    engine_version: str = ""  # llama.cpp commit and RPC version: must equal the leader's
    models: frozenset[bytes] = frozenset()
    device: Device | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """What this node's engine does for ``wanted``.

    ``phase`` is loading, ready or failed (then it has ended). ``answers`` are being given, or wait inside.
    """

    wanted: Wanted
    plan: Plan
    phase: str
    progress: float = 0.0
    reason: str = ""
    answers: int = 0
    load_seconds: float = 0.0  # that loading took, once it is ready


@dataclass(frozen=True, slots=True)
class View:
    """Everything the reconciler knows.

    ``shape`` is the wanted model's, None when this node does not hold its file; ``lost`` then names the file
    if it held it once. ``asked`` is a person's wish for the best placement: by "idle", once the running
    answers are given, or "now".
    """

    me: bytes
    leading: bool
    wanted: Wanted | None = None
    model_info: ModelInfo | None = None
    members: tuple[MemberView, ...] = ()
    leases: frozenset[bytes] = frozenset()
    running: Running | None = None
    lost: str = ""
    copying: float | None = None  # how much of the model this node has copied, 0 to 1, while it does
    asked: str = ""


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
    """Run llama-server by this plan; ``restore``: with the conversations that were kept at the last stop."""

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
    """Let nobody new in: what runs is about to be replaced. The door is open after a decision without."""


@dataclass(frozen=True, slots=True)
class ResolveMove:
    """What becomes of the wish that was in the view; it is granted, or refused, by this."""

    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the pool is told: ``phase`` is waiting, loading, ready, moving, failed or stopped."""

    phase: str
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
"""What the driver's owner carries out."""

Action = NodeAction | OwnerAction


@dataclass(frozen=True, slots=True)
class ReconcilerMemory:
    """What the reconciler remembers from one decision to the next."""

    asked: frozenset[bytes] = frozenset()
    asked_since: float | None = None  # leases have been asked for, for the next plan, since then
    failures: int = 0  # of llama-server, in a row
    retry_at: float = 0.0
    last_failure: str = ""
    ready_since: float | None = None
    handed_over_at: float | None = None
    moved: str = ""  # why a running plan was given up: the next one is a move, not a first load
    kept: Wanted | None = None  # its conversations were saved, when it ran that
    target: tuple[tuple[bytes, int], ...] = ()  # layers by member: where a planned move goes to
    draining_since: float | None = None
    quiet_since: float | None = None  # no answer is being given, since then
    better_since: float | None = None  # a move would pay, since then


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in the order in which to perform them.

    ``again_at`` is when to decide again though nothing changed.
    """

    actions: tuple[Action, ...]
    memory: ReconcilerMemory
    again_at: float | None = None
