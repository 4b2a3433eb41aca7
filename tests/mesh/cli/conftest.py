"""A stand-in for the sidecar, and ``mesh`` run against it in this process."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.cli.main import main
from mesh.control import operations, paths
from mesh.control.argument_types import arguments_of
from mesh.control.control_errors import ControlError
from mesh.control.control_server import Emit, Handler, serve_control
from tests.mesh.cli import examples
from tests.mesh.cli.fake_hub import FakeHub

OPERATIONS = {one.name: one for one in vars(operations).values() if isinstance(one, operations.Operation)}

Answer = Mapping[str, Any] | Exception


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Terminal:
    """Runs command lines as a person would type them, against one state directory."""

    state_dir: Path
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *argv: str) -> Outcome:
        return await trio.to_thread.run_sync(self.run, *argv)

    def run(self, *argv: str) -> Outcome:
        self.capture.readouterr()
        code = main(["--state-dir", str(self.state_dir), *argv])
        out, err = self.capture.readouterr()
        return Outcome(code, out, err)


@dataclass
class FakeSidecar:
    """Gives canned answers and notes what it was asked, if that has the types that are declared.

    An answer that is an exception is raised; of a list of them, each is given once; a function makes one of
    the arguments. Every command asks first for ``info``, which is not noted.
    """

    answers: dict[str, Answer | list[Answer] | Callable[[dict[str, Any]], Answer]] = field(
        default_factory=dict
    )
    events: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def handlers(self) -> dict[str, Handler]:
        return {op: self._handler(op) for op in OPERATIONS}

    def _handler(self, op: str) -> Handler:
        async def handle(args: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
            typed = dict(arguments_of(OPERATIONS[op], args))
            if op != "info":
                self.asked.append((op, typed))
            for event in self.events.get(op, []):
                await emit(event)
            answer = self.answers.get(op, ControlError(f"no answer to {op} is prepared"))
            if isinstance(answer, list):
                answer = answer.pop(0)
            if callable(answer):
                answer = answer(typed)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return handle


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the options and directories of the person that runs the tests."""
    for name in [name for name in os.environ if name.startswith("MESH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    short = tempfile.mkdtemp(prefix="mesh-")  # pytest's own directories are too long for a socket
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        directory = Path(short, variable)
        directory.mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(directory))
    yield
    shutil.rmtree(short)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def mesh(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(state_dir, capsys)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHub:
    """The hub's client replaced by one that asks nobody."""
    import mesh.hub

    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(mesh.hub, "hub_client", fake, raising=False)
    monkeypatch.setitem(sys.modules, "mesh.hub.hub_client", fake)
    return fake


@pytest.fixture
async def sidecar(state_dir: Path) -> AsyncIterator[FakeSidecar]:
    state = paths.state_dir(str(state_dir))
    fake = FakeSidecar({"info": {"state_dir": state}})
    async with trio.open_nursery() as nursery:
        socket = paths.socket_path(state)
        await nursery.start(serve_control, socket, fake.handlers())
        yield fake
        nursery.cancel_scope.cancel()
    with suppress(FileNotFoundError):
        os.unlink(Path(socket).with_suffix(".lock"))


@pytest.fixture
async def owner(sidecar: FakeSidecar) -> FakeSidecar:
    """The sidecar of a member that may serve and downloads itself."""
    status = examples.status()
    sidecar.answers |= {
        "status": status,
        "place": {"member": examples.ALPHA, "name": "alpha", "here": True, "reason": ""},
        "serve": {"deployment": status["deployment"], "plan": None, "api": status["api"]},
        "hold": {"name": "model-Q8_0.gguf", "size": 8 << 30, "sha256": "e" * 64},
    }
    return sidecar
