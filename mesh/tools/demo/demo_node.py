"""A node of the demo: a sidecar with a state directory of its own, which ends when the demo does."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from mesh.control import paths
from mesh.control.control_client import send
from mesh.control.control_errors import NotRunning
from mesh.control.operations import INFO, STATUS, OperationRequest, Status
from mesh.engine.process.child import Process
from mesh.tools.demo.step_failed import StepFailed

GRACE_SECONDS: Final = 3.0
"""For a node to say goodbye when the demo is over."""
LAST_LINES: Final = 8

Result = TypeVar("Result", bound=Mapping[str, Any])


class DemoNode:
    """A node by the name of ``name``, below the folder of the demo. It is started in the main thread."""

    def __init__(self, name: str, folder: Path, memory: int) -> None:
        self.name = name
        self.state = Path(paths.state_dir(str(folder / name)))
        self._printed: deque[str] = deque(maxlen=LAST_LINES)
        self._killed = False
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        options = [f"--name={name}", f"--memory={memory}", "--bind=127.0.0.1", "--port=0", "--api-port=0"]
        options.append("--tailscaled-socket=off")
        command = [sys.executable, "-P", "-m", "mesh.cli", "--state-dir", str(self.state), "sidecar"]
        # What a killed node leaves among the temporary files is removed with the folder.
        environment = os.environ | {"TMPDIR": str(temporary)}
        self._process = Process([*command, *options], environment=environment, directory=folder)

    async def run(self) -> None:
        """Until it ends; a cancellation ends it. Raises MeshError if it ends without being killed."""
        code = await self._process.run(self._printed.append, grace=GRACE_SECONDS)
        if not self._killed:
            raise StepFailed("\n".join([f"the sidecar of {self.name} ended with {code}", *self._printed]))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._killed = True
        self._process.signal_group(signal.SIGKILL)

    async def is_up(self) -> None:
        """Return when it answers."""
        while True:
            with suppress(NotRunning):
                await self.ask(INFO.request({}))
                return
            await trio.sleep(0.02)

    async def ask(
        self,
        request: OperationRequest[Result],
        on_event: Callable[[Mapping[str, Any]], None] = lambda event: None,
    ) -> Result:
        """What the sidecar answers to an operation."""

        def tell(event: dict[str, Any]) -> None:
            trio.from_thread.run_sync(on_event, event)

        return await trio.to_thread.run_sync(send, str(self.state), request, tell, abandon_on_cancel=True)

    async def status(self) -> Status:
        return await self.ask(STATUS.request({}))

    async def status_when(self, holds: Callable[[Status], bool]) -> Status:
        """Its status as soon as something holds of it."""
        while True:
            status = await self.status()
            if holds(status):
                return status
            await trio.sleep(0.05)

    def clean(self) -> None:
        """Remove its socket, which is elsewhere where the path of its state directory is too long."""
        for path in (self.socket, self.socket.with_suffix(".lock")):
            path.unlink(missing_ok=True)

    @property
    def socket(self) -> Path:
        """Where it is asked."""
        return Path(paths.socket_path(str(self.state)))
