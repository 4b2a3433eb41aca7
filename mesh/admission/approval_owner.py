"""`mesh approve CODE`: an owner's node finds the machine that shows the code, and lets it in.

The code is tried against a few machines at most, and a machine is vouched for only after it has proven that
it knows the code; so whoever pretends to wait gets one guess for each time that an owner types one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import trio

from mesh.admission.admission_server import Desk
from mesh.admission.codes import Code
from mesh.admission.handshake import refusal
from mesh.admission.pairing_lobby import APPROVE, REPLY_SECONDS, Ask, Visitor
from mesh.admission.pake import Exchange, WrongCode, signed_opening
from mesh.net.session import StreamError
from mesh.net.streams import Streams
from mesh.runtime.driver import Shell
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import Identity, NodeId
from mesh.wire.rights import Rights

LIST_SECONDS = 2.0
ASKED_AT_ONCE = 16
MAX_TRIED = 3
MAX_WRONG = 10
WRONG_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A waiting machine, and the member at whose door it stands (None: this one)."""

    visitor: Visitor
    at: NodeId | None


class Approver:
    """Approves for one node, which is to be an owner. It counts the wrong codes of the last ten minutes."""

    def __init__(self, identity: Identity, streams: Streams, desk: Desk, now: Callable[[], float]) -> None:
        self._identity = identity
        self._streams = streams
        self._desk = desk
        self._now = now
        self._wrong: list[float] = []

    async def approve(self, shell: Shell, code: Code, rights: Rights) -> Visitor:
        """Let the machine that shows ``code`` in. MeshError when there is none, or it shows another code."""
        self._refuse_guessing()
        seen = await self._seen(shell, code.slot)
        if not seen:
            raise MeshError(
                f"no machine waits with a code that begins with {code.slot}",
                "is mesh join still waiting there, and does it show this pool's name?",
            )
        failures: list[MeshError] = []
        for one in seen[:MAX_TRIED]:
            try:
                with trio.fail_after(2 * REPLY_SECONDS):
                    await self._admit(shell, one, code, rights)
                return one.visitor
            except trio.TooSlowError:
                failures.append(MeshError(f"{one.visitor.name} does not answer"))
            except WrongCode as error:
                failures.append(error)
            except (StreamError, DecodeError, MeshError) as error:
                failures.append(error)
        if any(isinstance(failure, WrongCode) for failure in failures):
            self._wrong.append(self._now())
            raise MeshError(
                "that code is wrong",
                "it can be tried once: type the one that the machine shows by now",
            )
        raise failures[0]

    def _refuse_guessing(self) -> None:
        self._wrong = [at for at in self._wrong if self._now() - at < WRONG_SECONDS]
        if len(self._wrong) >= MAX_WRONG:
            wait = WRONG_SECONDS - (self._now() - self._wrong[0])
            raise MeshError(f"{MAX_WRONG} codes were wrong", f"wait {wait:.0f} s, or use mesh invite")

    # --- who waits, and where

    async def _seen(self, shell: Shell, slot: int) -> list[Seen]:
        """Those that show a code with this number, each once, at whatever member's door."""
        found = {one.key: Seen(one, None) for one in self._desk.waiting.visitors(slot)}
        limit = trio.CapacityLimiter(ASKED_AT_ONCE)

        async def ask(member: NodeId) -> None:
            async with limit:
                for visitor in await self._listed(shell, member, slot):
                    found.setdefault(visitor.key, Seen(visitor, member))

        async with trio.open_nursery() as nursery:
            for member in shell.node.members():
                if member.state == "alive" and member.id != self._identity.id:
                    nursery.start_soon(ask, member.id)
        return list(found.values())

    async def _listed(self, shell: Shell, member: NodeId, slot: int) -> list[Visitor]:
        with trio.move_on_after(LIST_SECONDS):
            try:
                async with self._stream(shell, member, {"slot": slot}) as (_, heard):
                    return [Visitor.parse(one) for one in heard["visitors"][:ASKED_AT_ONCE]]
            except (StreamError, DecodeError, KeyError, TypeError, ValueError):
                return []  # a member that is away or talks nonsense has nobody at its door
        return []

    @asynccontextmanager
    async def _stream(
        self, shell: Shell, member: NodeId, arguments: dict[str, Any]
    ) -> AsyncIterator[tuple[Ask, Any]]:
        """A stream of kind ``approve``: what asks over it, and the first message that came."""
        session = await self._streams.open(member, shell.endpoints(member), APPROVE, arguments)

        async def ask(message: Any) -> Any:
            await session.send_message(message)
            return await session.receive_message()

        try:
            yield ask, await session.receive_message()
        finally:
            await session.aclose()

    # --- one attempt

    async def _admit(self, shell: Shell, seen: Seen, code: Code, rights: Rights) -> None:
        if seen.at is None:
            async with self._desk.waiting.turn(seen.visitor.key) as ask:
                await self._converse(shell, ask, seen.visitor, code, rights)
            return
        async with self._stream(shell, seen.at, {"key": seen.visitor.key}) as (ask, heard):
            _raise_error(heard)
            await self._converse(shell, ask, seen.visitor, code, rights)

    async def _converse(self, shell: Shell, ask: Ask, visitor: Visitor, code: Code, rights: Rights) -> None:
        key, own = visitor.key, self._identity.public_key
        exchange = Exchange("owner", code, shell.pool, own, key)
        reply = await ask(
            {
                "chain": list(shell.node.chain(self._identity.id)),
                "opening": exchange.opening,
                "signature": self._identity.sign(signed_opening(shell.pool, key, exchange.opening)),
            }
        )
        _raise_error(reply)
        try:
            exchange.agree(_bytes(reply, "opening"))
            exchange.check(_bytes(reply, "proof"), "joiner")
            answer = self._desk.vouch(key, rights)
        except MeshError as error:
            with suppress(MeshError):
                await ask(refusal(error))
            raise
        answer["proof"] = exchange.proof("owner", answer["chain"])
        _raise_error(await ask(answer))


def _raise_error(message: Any) -> None:
    if not isinstance(message, dict):
        raise MeshError("the waiting machine's answer makes no sense")
    if "error" in message:
        raise MeshError(str(message["error"])[:500])


def _bytes(message: dict[str, Any], name: str) -> bytes:
    value = message.get(name)
    if not isinstance(value, bytes):
        raise MeshError("the waiting machine's answer makes no sense")
    return value
