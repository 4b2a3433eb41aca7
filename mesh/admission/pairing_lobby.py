"""The machines that stand at this node's door until an owner approves them, wherever that owner sits.

A waiting machine keeps its stream open. An owner's node asks every member who waits (a stream of kind
``approve``), and talks with the machine through the member that it waits at, which only passes messages on.
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
ROUNDS = 2
"""Messages of an owner in one attempt, each of which the waiting machine answers."""

Ask = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Applicant:
    """A waiting machine as an owner's node is told of it; nothing of this is proven."""

    key: bytes
    name: str
    slot: int
    host: str

    def message(self) -> dict[str, Any]:
        return {"key": self.key, "name": self.name, "slot": self.slot, "host": self.host}

    @classmethod
    def parse(cls, message: Any) -> "Applicant":
        """Raises KeyError, TypeError or ValueError for anything else than a visitor."""
        key, slot = message["key"], message["slot"]
        if not isinstance(key, bytes) or len(key) != 32 or type(slot) is not int or not 0 <= slot < SLOTS:
            raise ValueError
        return cls(key, str(message["name"])[:MAX_NAME], slot, str(message["host"])[:MAX_NAME])


@dataclass(slots=True, eq=False)
class _Place:
    """One that waits: its stream, what it said and nobody has taken yet, and whose turn it is to talk."""

    applicant: Applicant
    session: Session
    said: trio.MemoryReceiveChannel[Any]
    turn: trio.Lock = field(default_factory=trio.Lock)


class PairingLobby:
    """Those that wait here."""

    def __init__(self) -> None:
        self._places: dict[bytes, _Place] = {}

    def applicants(self, slot: int) -> list[Applicant]:
        """Who shows a code with this number."""
        return [place.applicant for place in self._places.values() if place.applicant.slot == slot]

    def check_room(self, applicant: Applicant) -> None:
        """MeshError when there is no room for this machine."""
        same_host = [place for place in self._places.values() if place.applicant.host == applicant.host]
        if len(self._places) >= MAX_WAITING or len(same_host) >= MAX_WAITING_OF_A_HOST:
            raise MeshError("too many machines wait at this door", "try again in a few minutes")
        if applicant.key in self._places:
            raise MeshError("this machine waits here already")

    async def wait(self, session: Session, applicant: Applicant) -> None:
        """Keep a machine waiting until it goes."""
        self.check_room(applicant)
        hear, said = trio.open_memory_channel[Any](1)
        self._places[applicant.key] = _Place(applicant, session, said)
        try:
            while True:
                # Who says more than it was asked for is sent away.
                hear.send_nowait(await session.receive_message())
        except (trio.WouldBlock, StreamError, DecodeError):
            pass
        finally:
            del self._places[applicant.key]
            hear.close()

    @asynccontextmanager
    async def turn(self, key: bytes) -> AsyncIterator[Ask]:
        """Talk with a waiting machine, one owner at a time. MeshError when it is gone, or is talked to."""
        place = self._places.get(key)
        if place is None or place.turn.locked():
            raise MeshError("that machine does not wait here")

        async def ask(message: Any) -> Any:
            with trio.move_on_after(REPLY_SECONDS):
                try:
                    await place.session.send_message(message)
                    return await place.said.receive()
                except (StreamError, trio.EndOfChannel) as error:
                    raise MeshError("that machine waits no longer") from error
            raise MeshError("the waiting machine does not answer")

        async with place.turn:
            yield ask

    async def pass_on(self, session: Session) -> None:
        """An owner's stream of kind ``approve``: who waits, or its messages to one that does."""
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
