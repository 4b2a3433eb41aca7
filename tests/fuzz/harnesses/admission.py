"""Admission from both sides, approval by codes, and the control socket."""

import functools
from contextlib import suppress
from random import Random
from typing import Any, cast

import msgpack
import trio

from mesh.admission.admission_server import AdmissionServer
from mesh.admission.approval_joiner import wait_for_owner
from mesh.admission.approval_owner import _bytes, _raise_error
from mesh.admission.codes import Code
from mesh.admission.handshake import AdmissionClient, Greeting, admitted, answer, signed_request
from mesh.admission.invites import Invites, invite_id, proof
from mesh.admission.pairing_lobby import Applicant
from mesh.admission.pake import MESSAGE_BYTES, Pake, WrongCode, signed_opening
from mesh.control.control_errors import ControlError
from mesh.control.control_server import _ControlConnection
from mesh.net.session import StreamError
from mesh.net.streams import Streams
from mesh.protocol.base.settings import Settings
from mesh.protocol.node.node import Node
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId, pool_id, verify
from mesh.wire.profile import Profile
from mesh.wire.rights import ALL_RIGHTS
from tests.fuzz.harness import Harness
from tests.fuzz.harnesses.streams import HERE, ME, MEMBER, STRANGER, Talk
from tests.fuzz.tape import Tape, framed, in_frame, loose

POOL = pool_id(ME.public_key)
CODE = Code(42, ("swift", "otter", "elm"))
NONCE = bytes(16)


@functools.cache
def founder() -> Node:
    """The node of a pool that ``MEMBER`` was vouched into."""
    node = Node(Settings(), ME, verify, Random(1), {})
    node.found(1.0)
    node.start(1.0, Profile(name="founder", addresses=(HERE,)))
    node.vouch(1.0, MEMBER.public_key, ALL_RIGHTS)
    return node


class Driver:
    """What the admission server needs of a running member."""

    pool = POOL

    def __init__(self) -> None:
        self.node = founder()

    def command(self, work: Any, *arguments: Any) -> None:
        work(1.0, *arguments)

    def endpoints(self, member: NodeId) -> tuple[Endpoint, ...]:
        return (HERE,)


class Memory:
    """A disk."""

    def load(self, name: str) -> dict[str, Any]:
        return {}

    def save(self, name: str, value: Any) -> None:
        """Do nothing: no test reads it again."""


# --- the applicant's side


def greeting(data: bytes) -> None:
    """A member's greeting, checked against its proven key."""
    with suppress(MeshError):
        read = Greeting.parse(loose(data), MEMBER.public_key)
        assert len(read.nonce) == 16
        assert Greeting.parse(read.message(), MEMBER.public_key) == read
        assert read.pool == (POOL if read.state == "member" else pool_id(MEMBER.public_key))


def _greetings() -> list[bytes]:
    chain = tuple(founder().chain(MEMBER.id))
    member = Greeting("member", POOL, "pool", "bert", False, NONCE, chain)
    alone = Greeting("searching", pool_id(MEMBER.public_key), "", "bert", True, NONCE, ())
    return [msgpack.packb(each.message()) for each in (member, alone)]


def answered(data: bytes) -> None:
    """A member's answer to an applicant."""
    with suppress(MeshError):
        result = admitted(loose(data), POOL, MEMBER.public_key)
        assert result.pool == POOL
        assert len(result.peers) <= 64
        assert all(0 < peer.port < 65536 for peer in result.peers)


def _answers() -> list[bytes]:
    good = answer(founder().chain(MEMBER.id), [HERE, Endpoint("::1", 1)])
    refusal = {"error": "this pool admits by invite", "hint": "ask an owner", "uninvited": True}
    return [msgpack.packb(each) for each in (good, refusal)]


class WaitingApplicant:
    """An applicant that waits at a member; the approving owner has the right to, and sends anything.

    The first bytes are the owner's part of SPAKE2, signed; the rest is its verdict.
    """

    def __init__(self) -> None:
        self._chain = list(founder().chain(ME.id))

    def __call__(self, data: bytes) -> None:
        opening = data[:MESSAGE_BYTES]
        signature = ME.sign(signed_opening(POOL, STRANGER.public_key, opening))
        owner = {"chain": self._chain, "opening": opening, "signature": signature}
        said = framed({"waiting": True}, owner) + in_frame(data[MESSAGE_BYTES:])
        with suppress(MeshError):
            trio.run(self._wait, said)
            raise AssertionError("nobody knows the code")

    async def _wait(self, said: bytes) -> None:
        greeting = Greeting("member", POOL, "", "", False, NONCE, ())
        client = AdmissionClient(cast(Any, Talk(Tape(said))), greeting)
        await wait_for_owner(client, STRANGER, "carl", CODE)


def _owner_messages() -> list[bytes]:
    other = Code(42, ("swift", "otter", "fox"))
    opening = Pake("owner", other, POOL, ME.public_key, STRANGER.public_key).opening
    verdict = {**answer(founder().chain(MEMBER.id), [HERE]), "proof": bytes(32)}
    told = [opening + msgpack.packb(each) for each in (verdict, {"error": "no"})]
    return [*told, b"A" + bytes(32), b"A" + b"\1" * 32]


# --- the member's side


class Applications:
    """Applicants' requests, signed like honest ones unless the data says otherwise."""

    def __init__(self) -> None:
        invites = Invites(cast(Any, Memory()), lambda: 1.0)
        token = invites.create(POOL, ME.id, [HERE], ALL_RIGHTS, 3600.0, None)
        self._secret = token.secret
        self._admission_server = AdmissionServer(ME, "anna", Streams(ME), invites, ())
        self._admission_server.driver = cast(Any, Driver())

    def __call__(self, data: bytes) -> None:
        said = loose(data[1:])
        more = {str(key): value for key, value in said.items()} if isinstance(said, dict) else {}
        arguments = {"invite": invite_id(self._secret), "key": MEMBER.public_key, **more}
        arguments.setdefault("proof", proof(self._secret, POOL, MEMBER.public_key))
        talk = Talk(Tape(in_frame(data[1:]) * 2), arguments)
        trio.run(self._serve, talk, more, data[0] % 4 if data else 0)
        assert len(founder().keys()) <= 3

    async def _serve(self, talk: Talk, more: dict[str, Any], what: int) -> None:
        if what == 0:
            await self._admission_server.handle(cast(Any, HonestApplicant(talk, more, self._secret)))
        elif what == 1:
            await self._admission_server.handle_redeem(cast(Any, talk))
        elif what == 2:
            with suppress(StreamError, DecodeError):
                await self._admission_server.handle_approve(cast(Any, talk))
        else:
            with suppress(StreamError, DecodeError):
                await self._admission_server.handle(cast(Any, talk))


class HonestApplicant:
    """An applicant that proves its key to the member that greets it, and sends ``more``."""

    def __init__(self, talk: Talk, more: dict[str, Any], secret: bytes) -> None:
        self._talk = talk
        self._more = more
        self._secret = secret
        self.remote = talk.remote
        self._nonce = b""

    async def send_message(self, message: Any) -> None:
        self._nonce = self._nonce or message.get("nonce", b"")

    async def receive_message(self) -> Any:
        if not self._nonce:
            return await self._talk.receive_message()
        request = {
            "key": STRANGER.public_key,
            "name": "carl",
            "signature": STRANGER.sign(signed_request(ME.id, self._nonce)),
            "issuer": ME.id,
            "invite": invite_id(self._secret),
            "proof": proof(self._secret, POOL, STRANGER.public_key),
            **self._more,
        }
        self._nonce = b""
        return {name: value for name, value in request.items() if value is not None}


def _requests() -> list[bytes]:
    said: list[dict[str, Any]] = [
        {},
        {"slot": 42},
        {"issuer": None},
        {"slot": 42, "key": MEMBER.public_key},
        {"proof": bytes(32)},
    ]
    return [bytes([what]) + msgpack.packb(each) for what in range(4) for each in said]


def approver(data: bytes) -> None:
    """What an owner reads from members and from applicants."""
    heard = loose(data)
    with suppress(MeshError):
        _raise_error(heard)
        _bytes(heard, "opening")
    with suppress(KeyError, TypeError, ValueError):
        applicants = [Applicant.parse(one) for one in heard["visitors"][:16]]
        assert all(len(applicant.name) <= 64 and 0 <= applicant.slot < 100 for applicant in applicants)


def _heard() -> list[bytes]:
    applicant = Applicant(bytes(32), "carl", 42, "10.0.0.3").message()
    return [
        msgpack.packb({"visitors": [applicant]}),
        msgpack.packb({"opening": bytes(33), "proof": bytes(32)}),
    ]


def spake(data: bytes) -> None:
    """The other side's part of SPAKE2: whatever its bytes, a machine with another code is not believed."""
    exchange = Pake("joiner", CODE, POOL, ME.public_key, STRANGER.public_key)
    with suppress(WrongCode):
        exchange.agree(data)
        exchange.check(data[:32], "owner")
        raise AssertionError("nobody knows the code")


# --- the control socket


def control(data: bytes) -> None:
    """A request at the control socket."""
    connection = _ControlConnection(cast(Any, Tape(data, 1 + len(data) // 2)), {}, ())

    async def read() -> None:
        with suppress(ControlError):
            op, arguments = await connection._request()
            assert op is None or isinstance(op, str)
            assert isinstance(arguments, dict)

    trio.run(read)


HARNESSES = (
    Harness("greeting", "mesh.admission.handshake, mesh.protocol.trust.chain", lambda: greeting, _greetings),
    Harness("answer", "mesh.admission.handshake, by the joiner", lambda: answered, _answers),
    Harness("application", "mesh.admission.admission_server, pairing_lobby", Applications, _requests, 2048),
    Harness("approver", "mesh.admission.approval_owner, pairing_lobby", lambda: approver, _heard),
    Harness(
        "approval",
        "mesh.admission.approval_joiner, exchange",
        WaitingApplicant,
        _owner_messages,
        1024,
        milliseconds=1000.0,
    ),
    Harness("spake", "mesh.admission.pake", lambda: spake, lambda: [_owner_messages()[0][:33]], 64, 1000.0),
    Harness(
        "control",
        "mesh.control.control_server",
        lambda: control,
        lambda: [b'{"op": "status", "args": {"a": [1, 2.5, null, "x"]}}\n', b'{"op": 1}\n'],
    ),
)
