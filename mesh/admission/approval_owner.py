"""`mesh approve CODE`: an owner's node finds the applicant that shows the code, and admits it.

The owner's node tries the code on a few applicants at most, and vouches for a machine only after that has
proven that it knows the code. So a false applicant gets one guess each time that an owner types a code.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import trio

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.codes import Code
from mesh.admission.handshake import OddAnswer, refusal
from mesh.admission.pairing_lobby import REPLY_SECONDS, WAIT_THERE, Applicant, Ask
from mesh.admission.pake import Pake, WrongCode, signed_opening
from mesh.net.session import StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.protocol.membership.peers import MemberState
from mesh.runtime.node_driver import NodeDriver
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import Identity, NodeId
from mesh.wire.rights import Rights

LIST_SECONDS = 2.0
ASKED_AT_ONCE = 16
MAX_TRIED = 3
MAX_WRONG = 10
WRONG_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class FoundApplicant:
    """A waiting applicant, and the member at which it waits (None: this one)."""

    applicant: Applicant
    at: NodeId | None


class Approver:
    """Approves for one node, which must be an owner. Counts the wrong codes of the last ten minutes."""

    def __init__(
        self,
        identity: Identity,
        streams: Streams,
        admission_server: AdmissionServer,
        now: Callable[[], float],
    ) -> None:
        self._identity = identity
        self._streams = streams
        self._admission_server = admission_server
        self._now = now
        self._wrong: list[float] = []

    async def approve(self, driver: NodeDriver, code: Code, rights: Rights) -> Applicant:
        """Admit the applicant that shows ``code``. MeshError when there is none, or it shows another code."""
        self._refuse_guessing()
        found = await self._find(driver, code.slot)
        if not found:
            raise MeshError(
                f"no machine that waits shows a code with the number {code.slot}",
                "does mesh join still wait there? It shows a code for each pool: type the one for this pool",
            )
        failures: list[MeshError] = []
        for one in found[:MAX_TRIED]:
            try:
                with trio.fail_after(2 * REPLY_SECONDS):
                    await self._admit(driver, one, code, rights)
                return one.applicant
            except trio.TooSlowError:
                failures.append(MeshError(f"{one.applicant.name} does not answer", WAIT_THERE))
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

    # --- which applicants wait, and where

    async def _find(self, driver: NodeDriver, slot: int) -> list[FoundApplicant]:
        """Those that show a code with this number, each once, at any member."""
        found = {one.key: FoundApplicant(one, None) for one in self._admission_server.lobby.applicants(slot)}
        limit = trio.CapacityLimiter(ASKED_AT_ONCE)

        async def ask(member: NodeId) -> None:
            async with limit:
                for applicant in await self._listed(driver, member, slot):
                    found.setdefault(applicant.key, FoundApplicant(applicant, member))

        async with trio.open_nursery() as nursery:
            for member in driver.node.members():
                if member.state is MemberState.ALIVE and member.id != self._identity.id:
                    nursery.start_soon(ask, member.id)
        return list(found.values())

    async def _listed(self, driver: NodeDriver, member: NodeId, slot: int) -> list[Applicant]:
        with trio.move_on_after(LIST_SECONDS):
            try:
                async with self._stream(driver, member, {"slot": slot}) as (_, heard):
                    return [Applicant.parse(one) for one in heard["visitors"][:ASKED_AT_ONCE]]
            except (StreamError, DecodeError, KeyError, TypeError, ValueError):
                return []  # a member that is away or makes no sense lists no applicant
        return []

    @asynccontextmanager
    async def _stream(
        self, driver: NodeDriver, member: NodeId, arguments: dict[str, Any]
    ) -> AsyncIterator[tuple[Ask, Any]]:
        """A stream of kind ``approve``: a function that asks over it, and the first message that arrived."""
        session = await self._streams.open(member, driver.endpoints(member), StreamKind.APPROVE, arguments)

        async def ask(message: Any) -> Any:
            await session.send_message(message)
            return await session.receive_message()

        try:
            yield ask, await session.receive_message()
        finally:
            await session.aclose()

    # --- one attempt

    async def _admit(self, driver: NodeDriver, found: FoundApplicant, code: Code, rights: Rights) -> None:
        if found.at is None:
            async with self._admission_server.lobby.turn(found.applicant.key) as ask:
                await self._converse(driver, ask, found.applicant, code, rights)
            return
        async with self._stream(driver, found.at, {"key": found.applicant.key}) as (ask, heard):
            _raise_error(heard)
            await self._converse(driver, ask, found.applicant, code, rights)

    async def _converse(
        self, driver: NodeDriver, ask: Ask, applicant: Applicant, code: Code, rights: Rights
    ) -> None:
        key, own = applicant.key, self._identity.public_key
        exchange = Pake("owner", code, driver.pool, own, key)
        reply = await ask(
            {
                "chain": list(driver.node.chain(self._identity.id)),
                "opening": exchange.opening,
                "signature": self._identity.sign(signed_opening(driver.pool, key, exchange.opening)),
            }
        )
        _raise_error(reply)
        try:
            exchange.agree(_bytes(reply, "opening"))
            exchange.check(_bytes(reply, "proof"), "joiner")
            answer = self._admission_server.vouch(key, rights)
        except MeshError as error:
            with suppress(MeshError):
                await ask(refusal(error))
            raise
        answer["proof"] = exchange.proof("owner", answer["chain"])
        _raise_error(await ask(answer))


def _raise_error(message: Any) -> None:
    if not isinstance(message, dict):
        raise OddAnswer("the waiting machine's answer makes no sense")
    if "error" in message:
        raise MeshError(str(message["error"])[:500], str(message.get("hint", ""))[:500] or WAIT_THERE)


def _bytes(message: dict[str, Any], name: str) -> bytes:
    value = message.get(name)
    if not isinstance(value, bytes):
        raise OddAnswer("the waiting machine's answer makes no sense")
    return value
