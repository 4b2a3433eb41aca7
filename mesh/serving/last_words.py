"""Both ends of the stream by which a leader learns what became of a worker's rpc-server.

A tunnel that breaks says no more than that. So the leader asks the worker, by a stream of kind `words` whose
argument is ``{"devices": [str]}``, as the tunnel's was. The worker answers ``{"ended", "reason", "lines"}``
or ``{"refused": text}``. What it says is a stranger's word: the leader bounds and cleans it, as the worker
did.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import trio

from mesh.engine.process.bare_paths import without_folders
from mesh.engine.process.exit_reason import telling_line
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.protocol.node.node import Node
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId
from mesh.wire.rights import Rights
from mesh.wire.strangers_words import printable
from worker.gate import named_devices

ASK_SECONDS: Final = 3.0
NOTICE_SECONDS: Final = 1.0
"""For which a worker waits for the end of an rpc-server, whose connections ended a moment before."""
MAX_LINES: Final = 20
MAX_BYTES: Final = 4096
"""Of all lines together, in UTF-8."""
MAX_REASON: Final = 200
_MAX_ANSWER: Final = 1 << 14
_SILENT: Final = (StreamError, DecodeError, OSError, trio.BrokenResourceError)


@dataclass(frozen=True, slots=True)
class LastWords:
    """Whether a worker's rpc-server ended since its last client came, why, and what it printed last."""

    ended: bool
    reason: str = ""
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The reason and the line that says most; empty where nothing ended."""
        line = telling_line(self.lines) if self.ended else ""
        return f"{self.reason}: {line}" if line else self.reason


async def handle_words(node: Node, work: WorkerLoop, session: Session) -> None:
    """Answer the leader that holds this worker's lease, or an owner."""
    holder, peer = work.holder(), session.peer
    holds = holder is not None and holder.author == peer
    if peer is None or not (holds or Rights.OWN in node.rights(NodeId(peer))):
        await session.send_message({"refused": "this worker is leased to another"})
        return
    try:
        words = await _words(work, named_devices(session.arguments) or ())
    except MeshError as error:
        await session.send_message({"refused": error.message})
        return
    with trio.move_on_after(ASK_SECONDS):  # for so long the asker listens
        await session.send_message({"ended": words.ended, "reason": words.reason, "lines": [*words.lines]})


async def _words(work: WorkerLoop, devices: Sequence[str]) -> LastWords:
    server = work.serving(devices)
    end = None if server is None else await server.ended(NOTICE_SECONDS)
    return LastWords(False) if end is None else _ended(end.reason, end.lines)


async def last_words(
    machine: NodeContext, driver: NodeDriver, worker: bytes, devices: Sequence[str]
) -> LastWords | None:
    """What became of the rpc-server of these devices, within `ASK_SECONDS`; empty names: of the first's.

    None where the worker does not say: it is gone, refuses, or runs an older program.
    """
    answer = None
    with suppress(*_SILENT), trio.move_on_after(ASK_SECONDS):
        member, named = NodeId(worker), [device for device in devices if device]
        session = await machine.streams.open(
            member, driver.endpoints(member), StreamKind.WORDS, {"devices": named}, ASK_SECONDS
        )
        try:
            answer = await session.receive_message(_MAX_ANSWER)
        finally:
            await session.aclose()
    return read_words(answer)


def read_words(answer: Any) -> LastWords | None:
    """A worker's answer, of which only bounded printable text is taken over; None for anything else."""
    match answer:
        case {"ended": False, "reason": str(), "lines": list()}:
            return LastWords(False)
        case {"ended": True, "reason": str(reason), "lines": list(lines)}:
            return _ended(reason, [line for line in lines[-MAX_LINES:] if isinstance(line, str)])
    return None


def _ended(reason: str, lines: Sequence[str]) -> LastWords:
    return LastWords(True, _clean(reason, MAX_REASON), _bounded(lines))


def _bounded(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines that there is room for, cleaned."""
    kept: list[str] = []
    room = MAX_BYTES
    for line in reversed(lines[-MAX_LINES:]):
        text = _clean(line, MAX_BYTES)
        room -= len(text.encode())
        if room < 0:
            break
        kept.append(text)
    return tuple(reversed(kept))


def _clean(text: str, most: int) -> str:
    """Printable, without folders, which name a machine's users, and at most so many characters."""
    return without_folders(printable(text, MAX_BYTES))[:most]
