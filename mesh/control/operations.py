"""The operations on the control socket: each with its arguments, its events and its result.

A request is one line ``{"op": NAME, "args": {...}}``. The answer is any number of lines ``{"event": Event}``
followed by one ``{"result": {...}}`` or ``{"error": {"code", "message", "hint"}}``. Empty lines in between
only show that the sidecar is alive. Sizes are bytes and durations seconds unless a name says otherwise.
Layers are inclusive and counted from 0; members are named by the text of their id.

A new operation is declared here and bound to its method in `mesh.operations.operation_table`. Every operation
but ``info``, ``join`` and ``shutdown`` raises `mesh.control.control_errors.NotJoined` on a node without pool.
A client that hangs up ends the operation, unless it survives that; what `SERVE` has deployed goes on,
and only the waiting ends.
"""

from collections.abc import Mapping
from typing import Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

from mesh.wire.rights import Right

MemberStateText = Literal["alive", "suspect", "dead", "left", "unseen"]
EngineStateText = Literal["missing", "building", "ready", "failed"]
DeploymentState = Literal["waiting", "copying", "loading", "ready", "moving", "failed"]
CopyPhase = Literal["asking", "checking", "copying", "finishing", "idle"]
ProblemCode = Literal[
    "wire_version",
    "older_member",
    "older_program",
    "newer_installed",
    "other_build",
    "engine_memory",
    "accelerator_idle",
    "devices_unknown",
    "memory_refused",
]

Args = TypeVar("Args", bound=Mapping[str, Any])
Result = TypeVar("Result", bound=Mapping[str, Any])


class OperationRequest(NamedTuple, Generic[Result]):
    """A request: the operation's name, its arguments, and the type of its result."""

    name: str
    args: Mapping[str, Any]
    result: type[Result]


class Operation(NamedTuple, Generic[Args, Result]):
    """A declaration by which the command line asks and the sidecar answers."""

    name: str
    args: type[Args]
    result: type[Result]
    survives_hang_up: bool = False

    def request(self, args: Args) -> OperationRequest[Result]:
        return OperationRequest(self.name, args, self.result)


class NoArgs(TypedDict):
    """For operations without arguments."""


class ProgressEvent(TypedDict):
    """A line for a waiting person, such as ``asking 100.64.0.2``; with progress, a bar is drawn."""

    text: str
    state: NotRequired[str]
    progress: NotRequired[float]  # 0..1
    eta_seconds: NotRequired[float]
    done: NotRequired[int]  # bytes
    total: NotRequired[int]
    rate: NotRequired[float]  # bytes a second


# -- info, shutdown ------------------------------------------------------------------------------------------


class Info(TypedDict):
    """The process itself; answered as soon as the socket exists, with or without a pool."""

    pid: int
    version: str
    build: NotRequired[str]  # as `mesh --version` prints it; older sidecars do not say
    state_dir: str
    joined: bool
    stopping: NotRequired[bool]  # it was asked to end and is about to
    options: dict[str, str | int | bool | None]  # the values of `NodeOptions` that it runs with


class ShutdownResult(TypedDict):
    pid: int


INFO = Operation("info", NoArgs, Info)
SHUTDOWN = Operation("shutdown", NoArgs, ShutdownResult, survives_hang_up=True)


# -- status: scripts depend on this shape; keys may be added, never renamed ----------------------------------


class PoolName(TypedDict):
    id: str
    name: str


class SelfStatus(TypedDict):
    id: str
    name: str
    address: str
    paused: bool


class EngineStatus(TypedDict):
    state: EngineStateText
    progress: float
    reason: str


class LeaderStatus(TypedDict):
    id: str
    name: str
    term: int


class Accelerator(TypedDict):
    kind: str  # a name of `mesh.engine.backends.backend_table`, or of another version's
    name: str
    reason: NotRequired[str]  # why this one was chosen; only for the node itself


class MemoryStatus(TypedDict):
    total: int
    offered: int
    free: int


class LlamaCpp(TypedDict):
    commit: str
    rpc: str


class DeviceMemory(TypedDict):
    total: int
    offered: int


class QuarantineStatus(TypedDict):
    """For how long the plan leaves a member, or one of its devices, out, and why."""

    seconds: int
    reason: str


class DeviceStatus(TypedDict):
    """A device that can hold layers; what was not measured on it is None."""

    kind: str
    name: str
    memory: DeviceMemory
    layers: list[int] | None  # [first, last] that it holds
    bandwidth: float | None  # bytes of weights that decoding reads in a second
    operations: float | None  # of a prefill, in a second
    overhead: float | None  # seconds that each graph takes beside them
    slope: float | None  # seconds that a layer takes more for each token of depth
    quarantine: NotRequired[QuarantineStatus | None]  # of one of several devices; missing: an older sidecar


class MemberStatus(TypedDict):
    id: str
    name: str
    address: str
    state: MemberStateText
    rights: list[Right]
    accelerator: Accelerator
    memory: MemoryStatus
    rtt_ms: float | None
    llama_cpp: LlamaCpp | None
    layers: list[int] | None  # [first, last]; of several devices, others' may lie between
    versions: list[int] | None  # of the wire that it speaks, [oldest, newest]; None while unknown
    build: str  # of its program, as `mesh --version` prints it; empty for wire version 2
    devices: list[DeviceStatus]
    quarantine: QuarantineStatus | None  # of the whole machine


class DeploymentStatus(TypedDict):
    model: str
    sha256: str
    state: DeploymentState
    progress: float
    reason: str
    context: int  # tokens, of each slot
    slots: int
    kv: str  # how keys and values are kept: f16, q8_0, q4_0
    embeddings: bool  # it gives vectors of texts, or ranks, in place of answers
    projector: NotRequired[str]  # the file by which it reads pictures
    source: NotRequired[str]  # where the model was downloaded, such as hf:OWNER/REPO@COMMIT/FILE


class NamedDeploymentStatus(DeploymentStatus):
    """One of a pool's deployments; the only one as yet has the empty name."""

    name: str


class StageStatus(TypedDict):
    member: str
    device: str  # that holds it; empty for a member's only one
    layers: list[int]  # [first, last]
    head: bool
    bytes: int
    milliseconds: float


class PlanStatus(TypedDict):
    term: int
    predicted_tokens_per_second: float
    stages: list[StageStatus]


class PoolEngineStatus(TypedDict):
    """An owner's word on which llama.cpp the pool runs."""

    release: str
    digest: str  # of its source


class Program(TypedDict):
    version: str
    build: str  # as `mesh --version` prints it; empty where a sidecar is too old to say


class Problem(TypedDict):
    """What keeps members apart, or soon may, or was wrong here; and what helps.

    ``wire_version``: this machine cannot speak with that member. All other codes are notes: the member's, or
    this machine's, program is of the version before; a newer, or another, one than runs here is installed;
    the engine of this machine was ended for the memory that it took, was built for the processor because its
    accelerator could not be built for, or did not tell its devices; more memory than there is was to be lent.
    """

    code: ProblemCode
    member: str | None  # None: this machine
    message: str
    hint: str


class Status(TypedDict):
    version: str
    pool: PoolName
    self: SelfStatus
    engine: EngineStatus
    leader: LeaderStatus | None
    members: list[MemberStatus]
    deployment: DeploymentStatus | None
    deployments: list[NamedDeploymentStatus]
    plan: PlanStatus | None
    pool_engine: PoolEngineStatus | None
    api: str  # for this machine's programs
    listen: str | None  # for others, with the key; None without --listen
    running: Program  # the sidecar's
    installed: NotRequired[Program]  # the command's own, which it adds to the sidecar's answer
    problems: list[Problem]
    trouble: NotRequired[str]  # what keeps this machine from taking part, such as a full disk


STATUS = Operation("status", NoArgs, Status)


# -- usage ---------------------------------------------------------------------------------------------------


class Asked(TypedDict):
    """What a member has asked of the leader since that began to count; in flight, queued: now."""

    requests: int  # the refused ones included
    in_flight: int
    queued: int
    refused: int
    prompt_tokens: int
    generated_tokens: int
    bytes_in: int
    bytes_out: int
    engine_deaths: int  # of llama-server, while it had a request of the member
    suspended_seconds: int  # for which the member may not ask


class UsageResult(TypedDict):
    """By member's id, for those that have asked; an owner sees all, others themselves. None: no answer."""

    asked: dict[str, Asked] | None


USAGE = Operation("usage", NoArgs, UsageResult)


# -- join, leave ---------------------------------------------------------------------------------------------


class JoinArgs(TypedDict, total=False):
    """Without any of them: the stored pool, then a tailnet's, then the LAN's, else found one."""

    token: str  # mesh1:...
    host: str  # HOST, HOST:PORT or [V6]:PORT: ask there first
    found: bool  # found a pool without searching
    terminal: bool  # a person watches, so waiting minutes for an approval is fine


class JoinResult(TypedDict):
    how: Literal["founded", "joined", "member"]  # member: it already was one, nothing changed
    pool: PoolName
    self: SelfStatus
    members: int  # alive, this machine included
    accelerator: Accelerator
    engine: EngineStatus
    leader: LeaderStatus | None
    api: str
    listen: str | None
    token: str | None  # for any number of next machines; None where this node has issued no such invite
    rights: list[Right]


class LeaveArgs(TypedDict, total=False):
    purge: bool  # forget the identity and everything else in the state directory


class LeaveResult(TypedDict):
    pool: PoolName
    pid: int


JOIN = Operation("join", JoinArgs, JoinResult)
LEAVE = Operation("leave", LeaveArgs, LeaveResult, survives_hang_up=True)


# -- serve, stop ---------------------------------------------------------------------------------------------


class ServeArgs(TypedDict):
    model: str  # absolute path on this machine; empty with `held`
    held: NotRequired[str]  # the root, in hex, of a model that the pool holds
    sha256: NotRequired[
        list[str]
    ]  # of the model's files, in hex, as its source tells them; "" where it does not
    source: NotRequired[str]  # where it was downloaded, with the revision, such as hf:OWNER/REPO@COMMIT/FILE
    context: int | None
    slots: int | None
    layers: dict[str, int] | None  # member's name or id -> number of layers
    copies: NotRequired[int | None]  # members that are to hold the model's file
    kv: NotRequired[str | None]  # how keys and values are kept: f16, q8_0, q4_0
    embeddings: NotRequired[bool]  # vectors of texts, or ranks, in place of answers
    projector: NotRequired[str]  # absolute path of the file by which it reads pictures; empty: none
    projector_held: NotRequired[str]  # the root of such a file, in hex, that the pool holds
    projector_sha256: NotRequired[str]  # of the file, as its source tells it
    wait: NotRequired[bool]  # events until it is ready; an error when it fails


class ServeResult(TypedDict):
    deployment: DeploymentStatus
    plan: PlanStatus | None
    api: str


class StopResult(TypedDict):
    model: str | None  # None: nothing was being served


SERVE = Operation("serve", ServeArgs, ServeResult)
STOP = Operation("stop", NoArgs, StopResult, survives_hang_up=True)


# -- move ----------------------------------------------------------------------------------------------------


class MoveArgs(TypedDict):
    now: bool  # even while answers are given


class MoveResult(TypedDict):
    """The outcome, in words: where to, or why not."""

    text: str


MOVE = Operation("move", MoveArgs, MoveResult)


# -- models, prune -------------------------------------------------------------------------------------------


class CopyMade(TypedDict):
    """A copy of the served model, in progress or begun."""

    member: str
    state: CopyPhase
    progress: float  # 0..1, verified
    rate: float  # bytes a second
    sources: int  # members that it comes from
    reason: str  # why it was not made, if so


class ModelHeld(TypedDict):
    name: str
    size: int
    sha256: str
    members: list[str]  # ids of those that hold it
    serving: bool
    source: NotRequired[str]  # of the served model, as the deployment has it
    projector: NotRequired[str]  # of the served model: the file by which it reads pictures
    copies_wanted: NotRequired[int]  # of the served model, at members that may lead
    copies: NotRequired[list[CopyMade]]


class ModelsResult(TypedDict):
    models: list[ModelHeld]


class Pruned(TypedDict):
    name: str
    size: int  # bytes that it took up
    sha256: str


class PruneResult(TypedDict):
    """Copies that were removed from this machine."""

    removed: list[Pruned]


MODELS = Operation("models", NoArgs, ModelsResult)
PRUNE = Operation("prune", NoArgs, PruneResult, survives_hang_up=True)


# -- models by name: fit, place, hold, fetch -----------------------------------------------------------------


class FitArgs(TypedDict):
    """Variants of one model, of which only a header is here: do they fit this pool?"""

    header: str  # absolute path of the beginning of one variant's first file
    size: int  # of that variant, in bytes: all its files
    sizes: list[int]  # of the variants, in bytes
    context: int | None
    slots: int | None
    layers: dict[str, int] | None
    kv: NotRequired[str | None]
    embeddings: NotRequired[bool]


class Fit(TypedDict):
    fits: bool
    reason: str  # why not
    tokens_per_second: float  # predicted; 0 where it does not fit


class FitResult(TypedDict):
    fits: list[Fit]  # of each size


class PlaceArgs(TypedDict):
    bytes: int


class PlaceResult(TypedDict):
    """The member that downloads: this machine unless something speaks against it."""

    member: str
    name: str
    here: bool
    reason: str  # why not here


class HoldArgs(TypedDict):
    files: list[str]  # absolute paths; of a split model, its parts in order
    sha256: list[str]  # of each, in hex; "" where it is not known


class HoldResult(TypedDict):
    name: str
    size: int
    sha256: str  # the root of its hash tree
    projector: NotRequired[str]  # the root, in hex, of the file by which it reads pictures, if it came along


class FetchFile(TypedDict):
    path: str  # in the repository
    size: int
    sha256: str


class FetchArgs(TypedDict):
    """Have a member download from the hub. No token travels, so it has to be open to all."""

    member: str
    repo: str
    commit: str
    files: list[FetchFile]
    held: int  # so many of the files, from the first, are the model; the others lie beside it


FIT = Operation("fit", FitArgs, FitResult)
PLACE = Operation("place", PlaceArgs, PlaceResult)
HOLD = Operation("hold", HoldArgs, HoldResult)
FETCH = Operation("fetch", FetchArgs, HoldResult)


# -- plan ----------------------------------------------------------------------------------------------------


class PlanArgs(TypedDict):
    model: str | None  # absolute path; None: the model that is deployed, if `held` is not given
    held: NotRequired[str]  # the root, in hex, of a model that the pool holds
    layers: dict[str, int] | None
    context: NotRequired[int | None]
    slots: NotRequired[int | None]
    kv: NotRequired[str | None]
    embeddings: NotRequired[bool]
    projector: NotRequired[str]
    projector_held: NotRequired[str]


class PlanStageResult(StageStatus):
    """A stage with the terms of its computation, which sum to ``milliseconds``."""

    name: str
    terms_ms: dict[str, float]  # such as {"rtt": 1.2, "layers": 20.1, "transfer": 0.4, "head": 3.0}, a token
    memory: dict[str, int]  # such as {"offered": ..., "layers": ..., "kv": ..., "compute": ..., "head": ...}


class LeftOut(TypedDict):
    member: str
    name: str
    reason: str


class PlanResult(TypedDict):
    model: str
    layers: int
    context: int
    slots: int
    predicted_tokens_per_second: float
    milliseconds_per_token: float
    stages: list[PlanStageResult]
    left_out: list[LeftOut]
    notes: list[str]  # sentences: why this plan


PLAN = Operation("plan", PlanArgs, PlanResult)


# -- invite, approve, evict ----------------------------------------------------------------------------------


class InviteArgs(TypedDict):
    rights: list[Right]
    expires: float  # seconds from now
    uses: int  # 0: unlimited


class InviteResult(TypedDict):
    token: str
    rights: list[Right]
    expires: float
    uses: int


class ApproveArgs(TypedDict):
    code: str  # as the waiting machine shows it
    rights: list[Right]


class ApproveResult(TypedDict):
    """The machine that is a member now."""

    id: str
    name: str
    rights: list[Right]


class EvictArgs(TypedDict):
    member: str  # its id


class EvictResult(TypedDict):
    """The evicted member; ``fallen`` are the ids of those that it alone had vouched for."""

    id: str
    name: str
    fallen: list[str]


INVITE = Operation("invite", InviteArgs, InviteResult)
APPROVE = Operation("approve", ApproveArgs, ApproveResult)
EVICT = Operation("evict", EvictArgs, EvictResult, survives_hang_up=True)
