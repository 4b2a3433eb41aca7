"""A member that was let in to ask, and speaks to the leader as no gateway does."""

import json
import re
from collections import Counter
from random import Random
from typing import Any

import trio

from mesh.admission.handshake import AdmissionClient
from mesh.admission.invites import Token
from mesh.net.session import Session, StreamError
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, NodeId, node_id
from tests.fuzz.requests import random_request
from tests.lab.hostile_requests import Request

ANSWER_SECONDS = 60.0
RANDOM_SECONDS = 5.0
"""After which it hangs up on a random request: many ask for an answer without end."""
AT_A_TIME = 4
OUR_FAULTS = (500, 502, 504)
"""Statuses that nothing in a request deserves."""


class Asker:
    """Opens streams to the leader, where it was let in."""

    def __init__(self, streams: Streams, leader: NodeId, there: Endpoint) -> None:
        self._streams = streams
        self._leader = leader
        self._there = there

    @classmethod
    async def join(cls, target: str, token: str) -> "Asker":
        """Be let in by the leader itself, so that it knows this member at once."""
        identity, there = Identity.generate(), Endpoint.parse(target, 50052)
        streams = Streams(identity)
        client = await AdmissionClient.connect(streams, there)
        admitted = await client.ask(identity, "mallory", Token.parse(token))
        await client.aclose()
        assert client.session.peer_key is not None
        leader = node_id(client.session.peer_key)
        streams.trust({leader: client.session.peer_key})
        streams.pool = admitted.pool
        return cls(streams, leader, there)

    async def open(self, kind: str = "api") -> Session:
        """A raw stream to the leader."""
        return await self._streams.open(self._leader, [self._there], kind)

    async def send(self, request: Request) -> dict[str, Any]:
        """Send a request on a stream of its own; say what came of it: status, the answer's end, who left."""
        kind, seconds = request.get("kind", "api"), request.get("leave_after", ANSWER_SECONDS)
        return await self._send(encoded(request), kind, seconds)

    async def send_random(self, number: int) -> dict[str, Any]:
        """Send the random request of this number."""
        method, target, body = random_request(Random(number))
        line = method.encode() + b" " + target
        head = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        return await self._send(line + head + body, "api", RANDOM_SECONDS)

    async def _send(self, content: bytes, kind: str, seconds: float) -> dict[str, Any]:
        try:
            session = await self.open(kind)
        except StreamError as error:
            return {"status": None, "text": str(error)}
        answer = b""
        try:
            with trio.move_on_after(seconds) as patience:
                await session.stream.send_all(content)
                while piece := await session.stream.receive_some(65536):
                    answer += piece
                    answer = answer[:64] + answer[64:][-8192:]
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await session.aclose()
        status = answer[9:12]
        text = answer.partition(b"\r\n\r\n")[2] or answer
        return {
            "status": int(status) if status.isdigit() else None,
            "text": text[-600:].decode(errors="replace"),
            "left": patience.cancelled_caught,
        }


def encoded(request: Request) -> bytes:
    """A request as the bytes of HTTP/1.1, which ask for the connection's end."""
    body = (request["text"] if "text" in request else json.dumps(request.get("body", {}))).encode()
    lines = [f"{request['method']} {request['path']} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in request.get("headers", [])]
    if not request.get("raw"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask_raw(arguments: dict[str, Any]) -> dict[str, Any]:
    """Join by ``token`` at the leader ``target``, and send each of the ``requests`` (a file of them)."""
    asker = await Asker.join(arguments["target"], arguments["token"])
    with open(arguments["requests"], encoding="utf-8") as file:  # noqa: ASYNC230
        requests = json.load(file)
    results: list[dict[str, Any] | None] = [None] * len(requests)
    limiter = trio.CapacityLimiter(AT_A_TIME)

    async def one(number: int) -> None:
        async with limiter:
            results[number] = await asker.send(requests[number])

    async with trio.open_nursery() as nursery:
        for number in range(len(requests)):
            nursery.start_soon(one, number)
    return {"results": results}


async def keep_silent(arguments: dict[str, Any]) -> dict[str, Any]:
    """Open ``count`` streams on which nothing is asked, and say how long the leader kept each."""
    asker = await Asker.join(arguments["target"], arguments["token"])
    kept: list[float] = []
    opening = trio.CapacityLimiter(AT_A_TIME)

    async def one() -> None:
        async with opening:
            session, begun = await asker.open(), trio.current_time()
        try:
            with trio.move_on_after(arguments["seconds"]):
                await session.stream.receive_some(1)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        kept.append(trio.current_time() - begun)
        await session.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(arguments["count"]):
            nursery.start_soon(one)
    return {"kept": kept}


async def fuzz_door(arguments: dict[str, Any]) -> dict[str, Any]:
    """Join, and send ``count`` random requests from the number ``first`` on.

    Says which statuses came, and which requests the leader gave no answer, or a fault of ours.
    """
    asker = await Asker.join(arguments["target"], arguments["token"])
    statuses: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    limiter = trio.CapacityLimiter(AT_A_TIME)

    async def one(number: int) -> None:
        async with limiter:
            told = await asker.send_random(number)
        statuses[outcome(told)] += 1
        if is_fault(told):
            faults.append({"number": number, **told})

    async with trio.open_nursery() as nursery:
        for number in range(arguments["first"], arguments["first"] + arguments["count"]):
            nursery.start_soon(one, number)
    return {"statuses": statuses, "faults": faults}


def outcome(told: dict[str, Any]) -> str:
    """What came of a request, in a word: its status, or who hung up before there was one."""
    if told["status"] is not None:
        return str(told["status"])
    return "left" if told["left"] else "none"


def is_fault(told: dict[str, Any]) -> bool:
    """Whether the leader hung up without an answer, or answered with a fault of ours."""
    return outcome(told) == "none" or told["status"] in OUR_FAULTS


async def guess(arguments: dict[str, Any]) -> dict[str, Any]:
    """Join as ``count`` members, who at once ask what another member has asked: ``secret``.

    Says how many tokens of it each was told to have found. Each asks once, so that none finds its own.
    """
    askers = [await Asker.join(arguments["target"], arguments["token"]) for _ in range(arguments["count"])]
    body = {"prompt": arguments["secret"], "n_predict": 1}
    found: list[int | None] = []

    async def one(asker: Asker) -> None:
        told = await asker.send({"method": "POST", "path": "/completion", "body": body})
        cached = re.search(r'"cache_n":(\d+)', told["text"])
        found.append(int(cached[1]) if cached else None)

    async with trio.open_nursery() as nursery:
        for asker in askers:
            nursery.start_soon(one, asker)
    return {"found": found}
