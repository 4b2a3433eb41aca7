"""A sidecar as operations see it, with a real Node on a stage and doubles for all that has sockets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import trio

from leader.blame.quarantines import Exclusion
from leader.door.askers.usage import Usage
from leader.model.held_models import Models
from leader.placement.cost import DeviceKey
from mesh.admission.handshake import Admitted
from mesh.admission.invites import Invites
from mesh.control.operations import EngineStatus, ProgressEvent
from mesh.control.sidecar_options import NodeOptions
from mesh.member.stay import Stay
from mesh.protocol.base.effects import Effect
from mesh.runtime import status as views
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.node_context import NodeContext
from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import OWN_ADDRESS
from tests.mesh.protocol.stage import Stage as Scene

OPTIONS = NodeOptions(name="anna")
BUILDING: EngineStatus = {"state": "building", "progress": 0.5, "reason": ""}


class FakeKeeper:
    def accelerator(self) -> dict[str, str]:
        return {"kind": "cpu", "name": "EPYC", "reason": "nothing else is there"}

    def status(self) -> EngineStatus:
        return BUILDING


class FakeStreams:
    """Returns ``session`` for each stream that is opened, and records the arguments."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.session: Any = None

    async def open(self, peer: NodeId, hints: list[Endpoint], kind: str, arguments: Any) -> Any:
        self.opened.append((peer, kind, arguments))
        if isinstance(self.session, Exception):
            raise self.session
        return self.session


class FakeMachine:
    def __init__(self) -> None:
        self.changes = ChangeSignal()
        self.keeper = FakeKeeper()
        self.streams = FakeStreams()
        self.identity = None
        self.options = OPTIONS
        self.port = 50052
        self.state: StateDir


class FakeDriver:
    """Performs what is commanded on the stage."""

    def __init__(self, scene: Scene) -> None:
        self.node = scene.node
        self._scene = scene

    def command(self, step: Callable[..., list[Effect]], *args: Any) -> None:
        self._scene.perform(step(self._scene.now, *args))

    def endpoints(self, member: NodeId) -> list[Endpoint]:
        return [OWN_ADDRESS]


class FakeLeading:
    """Answers every move request; an answer that is an exception is raised."""

    def __init__(self) -> None:
        self.move_requests: list[bool] = []
        self.answer: str | Exception = "moved"
        self.counts: dict[str, Usage] = {}
        self.told: tuple[str, dict[DeviceKey, Exclusion]] = ("", {})

    def reasons(self) -> tuple[str, dict[DeviceKey, Exclusion]]:
        return self.told

    def has_served(self, member: bytes) -> bool:
        return False

    def usage(self) -> dict[str, Usage]:
        return self.counts

    async def move(self, at_once: bool) -> str:
        self.move_requests.append(at_once)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakePool:
    """A stay in the stage's pool."""

    copies: Any = None
    admission_server: Any = None

    def __init__(self, scene: Scene, machine: FakeMachine, state: StateDir) -> None:
        self.id, self.name, self.api = scene.pool, "swift-otter", "http://127.0.0.1:50080/v1"
        self.listen: str | None = None
        self.node = scene.node
        self.machine = machine
        self.driver = FakeDriver(scene)
        self.invites = Invites(state, lambda: 1000.0)
        self.models = Models(state.path / "models.json")
        self.leading = FakeLeading()

    def status(self) -> Any:
        return views.status(self.node, self.id, self.name, BUILDING, self.api)


class FakeHome:
    """In no pool at first; ``enter`` puts it into the stage's. What it was told to do is noted."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.scene = scene
        self.here = FakeMachine()
        self.machine = cast(NodeContext, self.here)
        self.options = OPTIONS
        self.state = self.here.state = StateDir(folder / "state")
        self.stay = FakePool(scene, self.here, self.state)
        self.pool: Stay | None = None
        self.joining = trio.Lock()
        self.leaving = False
        self.stopping = trio.Event()
        self.purge = False
        self.done: list[Any] = []

    def enter(self) -> None:
        self.pool = cast(Stay, self.stay)

    async def found(self) -> None:
        self.done.append("found")
        self.enter()

    async def admit(self, admitted: Admitted) -> None:
        self.done.append(admitted)
        self.enter()

    async def leave_pool(self, forget: bool) -> None:
        self.done.append(("leave", forget, self.leaving))


class Events(list[ProgressEvent]):
    """Notes what is emitted."""

    async def emit(self, event: ProgressEvent) -> None:
        self.append(event)


def leading(scene: Scene) -> Scene:
    """The same founder, once it has elected itself."""
    scene.wait(5)
    return scene


def admitted(rights: Rights) -> Scene:
    """A node that another has let into its pool with these rights."""
    founder, signer = Scene(), KeyedHash(2)
    founder.perform(founder.node.vouch(founder.now, signer.public_key, rights))
    return Scene(signer=signer, chain=founder.node.chain(signer.id))


def able(scene: Scene) -> Scene:
    """The same node, once it has an engine and offers memory for a model."""
    scene.republish(memory_offered=1 << 30, engine_state="ready", engine_commit="c", engine_rpc="7.0.0")
    return scene
