"""The applicants that wait at this node until an owner approves them, at whichever node the owner is.

A waiting applicant keeps its stream open. An owner's node asks every member which applicants wait (a stream
of kind ``approve``). It talks with an applicant through the member at which that waits, which only passes
messages on.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from mesh.admission.codes import SLOTS
from mesh.net.session import Session, StreamError
from mesh.wire.errors import DecodeError, MeshError

MAX_WAITING = 16
MAX_WAITING_OF_A_HOST = 2
MAX_NAME = 64
REPLY_SECONDS = 10.0
WAIT_THERE = "type mesh join there again, and the code that it shows then"
ROUNDS = 2
"""Messages of an owner in one attempt; the applicant answers each."""

Ask = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Applicant:
    """A waiting machine as an owner's node hears of it; nothing of this is proven."""

    key: bytes
    name: str
    slot: int
    host: str

    def message(self) -> dict[str, Any]:
        return {"key": self.key, "name": self.name, "slot": self.slot, "host": self.host}

    @classmethod
    def parse(cls, message: Any) -> "Applicant":
        """Parse an applicant. Raises KeyError, TypeError or ValueError for anything else."""
        key, slot = message["key"], message["slot"]
        if not isinstance(key, bytes) or len(key) != 32 or type(slot) is not int or not 0 <= slot < SLOTS:
            raise ValueError
        return cls(key, str(message["name"])[:MAX_NAME], slot, str(message["host"])[:MAX_NAME])


@dataclass(slots=True, eq=False)
class _Waiting:
    """A waiting applicant: its stream, its unread message, and a lock for one talk at a time."""

    applicant: Applicant
    session: Session
    said: trio.MemoryReceiveChannel[Any]
    turn: trio.Lock = field(default_factory=trio.Lock)


class PairingLobby:
    """The applicants that wait here."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, _Waiting] = {}

    def applicants(self, slot: int) -> list[Applicant]:
        """Applicants that show a code with this number."""
        return [waiting.applicant for waiting in self._waiting.values() if waiting.applicant.slot == slot]

    def check_room(self, applicant: Applicant) -> None:
        """Raise MeshError when there is no room for this applicant."""
        same_host = [
            waiting for waiting in self._waiting.values() if waiting.applicant.host == applicant.host
        ]
        if len(self._waiting) >= MAX_WAITING or len(same_host) >= MAX_WAITING_OF_A_HOST:
            raise MeshError("too many machines wait at this door", "try again in a few minutes")
        if applicant.key in self._waiting:
            raise MeshError("this machine waits here already", "end the other mesh join, or wait there")

    async def wait(self, session: Session, applicant: Applicant) -> None:
        """Keep an applicant waiting until its stream ends."""
        self.check_room(applicant)
        hear, said = trio.open_memory_channel[Any](1)
        self._waiting[applicant.key] = _Waiting(applicant, session, said)
        try:
            while True:
                # An applicant that sends more than it was asked for is dropped.
                hear.send_nowait(await session.receive_message())
        except (trio.WouldBlock, StreamError, DecodeError):
            pass
        finally:
            del self._waiting[applicant.key]
            hear.close()

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[Ask]:
        """Talk with an applicant, one owner at a time. MeshError when it is gone, or in another talk."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.turn.locked():
            raise MeshError("that machine does not wait here", WAIT_THERE)

        async def ask(message: Any) -> Any:
            with trio.move_on_after(REPLY_SECONDS):
                try:
                    await waiting.session.send_message(message)
                    return await waiting.said.receive()
                except (StreamError, trio.EndOfChannel) as error:
                    raise MeshError("that machine waits no longer", WAIT_THERE) from error
            raise MeshError("the waiting machine does not answer", WAIT_THERE)

        async with waiting.turn:
            yield ask

    async def pass_on(self, session: Session) -> None:
        """Serve an owner's stream of kind ``approve``: list applicants, or pass its messages on to one."""
        arguments = session.arguments
        slot, key = arguments.get("slot"), arguments.get("key")
        if type(slot) is int:
            await session.send_message({"visitors": [one.message() for one in self.applicants(slot)]})
            return
        try:
            async with self.turn(key if isinstance(key, bytes) else b"") as ask:
                await session.send_message({"ok": True})
                with trio.move_on_after(ROUNDS * REPLY_SECONDS):
                    for _ in range(ROUNDS):
                        await session.send_message(await ask(await session.receive_message()))
        except StreamError:
            raise
        except MeshError as error:
            await session.send_message({"error": error.message})
