"""A host that means ill and speaks the real wire: each attack is a program that a test runs on a host.

    python -m tests.lab.hostile ATTACK '{"target": "10.90.0.1:50052", ...}'

It prints one JSON object: what came of the attack, as far as the attacker can tell. Attacks of a stranger are
here, those of a member in `tests.lab.hostile_member` and `tests.lab.hostile_asker`.
"""

import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio

from mesh.admission.handshake import AdmissionClient, AdmissionRefused
from mesh.admission.invites import Token, invite_id, proof
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, node_id, parse_id
from mesh.wire.messages import Ping, encode
from mesh.wire.versions import SPOKEN

Arguments = dict[str, Any]
Attack = Callable[[Arguments], Awaitable[dict[str, Any]]]
CHUNK = bytes([SPOKEN.newest]) + os.urandom(1199)
"""Garbage that begins as a datagram of this version: if all were drawn, one in 128 would be malformed."""


def endpoint(arguments: Arguments) -> Endpoint:
    return Endpoint.parse(arguments["target"], 50052)


# --- asking to be let in


async def knock(arguments: Arguments) -> dict[str, Any]:
    """Ask for admission by each of ``tries``: a token, and what to do with it."""
    return {"errors": [await _try(endpoint(arguments), kind, text) for kind, text in arguments["tries"]]}


async def _try(there: Endpoint, kind: str, text: str) -> str | None:
    """``kind``: the token's invite none, given, altered, foreign or overheard, or the request unsigned."""
    identity = Identity.generate()
    request: dict[str, Any] = {}
    if kind not in ("none", "unsigned"):
        token = Token.parse(text)
        secret = os.urandom(16) if kind in ("altered", "foreign") else token.secret
        victim = Identity.generate() if kind == "overheard" else identity
        request["issuer"] = token.issuer
        request["invite"] = invite_id(secret if kind == "foreign" else token.secret)
        request["proof"] = proof(secret, token.pool, victim.public_key)
    if kind == "unsigned":
        request["signature"] = bytes(64)
    client = await AdmissionClient.connect(Streams(identity), there)
    try:
        await client.request(identity, "mallory", request)
        answer = await client.session.receive_message()
    finally:
        await client.aclose()
    error: str | None = answer.get("error")
    return error


async def cut_in(arguments: Arguments) -> dict[str, Any]:
    """Open streams of the kinds that members alone may open, with no certificate and with a stranger's."""
    refused: Counter[str] = Counter()
    stranger = Streams(Identity.generate())
    client = await AdmissionClient.connect(stranger, endpoint(arguments))
    await client.aclose()
    assert client.session.peer_key is not None
    member = node_id(client.session.peer_key)
    stranger.trust({member: client.session.peer_key})
    stranger.pool = client.greeting.pool
    for kind in ("gossip", "tunnel", "api", "redeem", "approve", "probe"):
        for how in ("no certificate", "a stranger's"):
            try:
                if how == "no certificate":
                    session = await stranger.open_unproven(endpoint(arguments), kind, {"term": 1})
                else:
                    session = await stranger.open(member, [endpoint(arguments)], kind, {"term": 1})
                await session.aclose()
                refused["not at all"] += 1
            except MeshError as error:
                refused[getattr(error, "code", type(error).__name__)] += 1
    return dict(refused)


async def replay_session(arguments: Arguments) -> dict[str, Any]:
    """Stand between a joiner and the target, pass everything on, and send what the joiner sent once more."""
    recorded = bytearray()
    done = trio.Event()

    async def pass_on(source: trio.SocketStream, sink: trio.SocketStream, record: bool) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for piece in source:
                if record:
                    recorded.extend(piece)
                await sink.send_all(piece)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await sink.send_eof()

    async def stand_between(joiner: trio.SocketStream) -> None:
        there = endpoint(arguments)
        async with (
            joiner,
            await trio.open_tcp_stream(there.host, there.port) as target,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pass_on, joiner, target, True)
            nursery.start_soon(pass_on, target, joiner, False)
        done.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_tcp, stand_between, arguments["listen"])
        print("listening", flush=True)
        await done.wait()
        nursery.cancel_scope.cancel()
    answers = [len(await _replayed(endpoint(arguments), bytes(recorded))) for _ in range(20)]
    return {"recorded": len(recorded), "answered": max(answers)}


async def _replayed(there: Endpoint, recorded: bytes) -> bytes:
    """What comes back for a session that was recorded, beyond the first flight, which greets anybody."""
    heard = b""
    with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(3):
        async with await trio.open_tcp_stream(there.host, there.port) as stream:
            await stream.send_all(recorded)
            async for piece in stream:
                heard += piece
    return heard


# --- too much of everything


async def connect_everywhere(arguments: Arguments) -> dict[str, Any]:
    """Connect to each TCP port of the target, and send noise to those that open."""
    host, found = endpoint(arguments).host, []
    for port in range(1, 65536):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one, suppress(OSError):
            one.settimeout(2)
            one.connect((host, port))
            found.append(port)
            one.sendall(CHUNK * 50)
    return {"open": found}


async def half_open(arguments: Arguments) -> dict[str, Any]:
    """Keep so many connections that begin and go no further; those that are closed are opened again.

    They begin a handshake, or the request that ``begun`` says.
    """
    there, opened, held, most = endpoint(arguments), 0, 0, 0
    hello = arguments.get("begun", "").encode() or bytes.fromhex("160301020001")

    async def hold(begins: bool) -> None:
        nonlocal opened, held, most
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(there.host, there.port) as stream:
                    opened, held = opened + 1, held + 1
                    most = max(most, held)
                    try:
                        if begins:
                            await stream.send_all(hello)
                        await stream.receive_some(1)
                    finally:
                        held -= 1
            await trio.sleep(0.2)

    with trio.move_on_after(arguments["seconds"]):
        async with trio.open_nursery() as nursery:
            for number in range(arguments["count"]):
                nursery.start_soon(hold, number % 2 == 0)
    return {"opened": opened, "most": most}


async def gigabyte(arguments: Arguments) -> dict[str, Any]:
    """Send so many ``bytes``, half as datagrams, half down one connection after the other."""
    there, wanted = endpoint(arguments), arguments["bytes"] // 2
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(there)
        datagrams = 0
        while datagrams * len(CHUNK) < wanted:
            with suppress(OSError):
                one.send(CHUNK)
            datagrams += 1
    sent, block = 0, CHUNK * 200
    while sent < wanted:
        with suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(there.host, there.port) as stream:
                while sent < wanted:
                    sent += len(block)
                    await stream.send_all(block)
    return {"datagrams": datagrams, "seconds": time.monotonic() - begun}


async def pour(arguments: Arguments) -> dict[str, Any]:
    """Send forged pings of a member to all ``targets`` in turn, ``rate`` a second, until told to end."""
    targets = [Endpoint.parse(target, 50052) for target in arguments["targets"]]
    head = bytes([SPOKEN.oldest]) + parse_id(arguments["pool"]) + parse_id(arguments["sender"])
    body, sent, begun = encode(Ping(1, bytes(8), 1, 0)), 0, time.monotonic()
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        while not ended:
            due = int((time.monotonic() - begun) * arguments["rate"])
            for _ in range(max(0, due - sent)):
                sent += 1
                number = ((1 << 63) | (1 << 45) | sent).to_bytes(8, "big")
                with suppress(OSError):
                    one.sendto(head + number + body + CHUNK[:64], targets[sent % len(targets)])
            await trio.sleep(0.001)
    return {"rate": sent / (time.monotonic() - begun)}


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (knock, cut_in, replay_session, connect_everywhere, half_open, gigabyte, pour)
}


def main() -> None:
    from tests.lab.hostile_asker import ask_raw, fuzz_door, guess, keep_silent
    from tests.lab.hostile_member import lie

    of_members: dict[str, Attack] = {
        attack.__name__: attack for attack in (lie, ask_raw, fuzz_door, guess, keep_silent)
    }
    attack, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        result = trio.run((ATTACKS | of_members)[attack], arguments)
    except AdmissionRefused as error:
        result = {"error": error.message}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
