"""Admission: how a machine that is not yet a member asks a member, and how that answers.

On a stream of kind ``admit`` the applicant shows no certificate; TLS proves the member's key. In turn:
1. member: a greeting (pool, voucher chain, nonce), which the applicant checks against the key TLS proved;
2. applicant: its key, a signature over the member's id and the nonce, and an invite's proof if it has one;
3. member: the applicant's voucher chain and addresses of other members, or an error with the reason.

An applicant without an invite may wait for an owner's approval instead (`mesh.admission.pairing_lobby`).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesh.admission.invites import Token, invite_id, proof
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.protocol.trust.chain import verify_chain
from mesh.protocol.trust.roster import MAX_CHAIN
from mesh.wire.codec import ENDPOINT
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, NodeId, PoolId, node_id, pool_id, verify

NONCE_BYTES = 16
MAX_PEERS = 64


class OddAnswer(MeshError):
    """What answers is no member, speaks another protocol, or lies."""

    usual_hint = "ask another machine of the pool, with mesh join HOST; mesh doctor there tells what is wrong"


class AdmissionRefused(MeshError):
    """The pool answered no; ``why`` is the reason in a word, for the drop counters."""

    def __init__(self, message: str, hint: str = "", why: str = "other") -> None:
        super().__init__(message, hint)
        self.why = why


class Uninvited(AdmissionRefused):
    """The pool would admit this machine with an invite, or when an owner approves it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, "no_invite")


@dataclass(frozen=True, slots=True)
class Greeting:
    """A node's first message: ``member`` of ``pool``; if ``searching`` or ``moving``, without a chain."""

    state: str
    pool: PoolId
    pool_name: str
    name: str
    alone: bool
    nonce: bytes
    chain: tuple[bytes, ...]

    def message(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "pool": self.pool,
            "pool_name": self.pool_name,
            "name": self.name,
            "alone": self.alone,
            "nonce": self.nonce,
            "chain": list(self.chain),
        }

    @classmethod
    def parse(cls, message: Any, proven_key: bytes) -> "Greeting":
        """Parse the greeting of the machine with ``proven_key``; MeshError when it lies about its pool."""
        try:
            greeting = cls(
                state=str(message["state"]),
                pool=PoolId(raw(message["pool"])),
                pool_name=str(message["pool_name"])[:64],
                name=str(message["name"])[:64],
                alone=bool(message["alone"]),
                nonce=raw(message["nonce"]),
                chain=tuple(raw(link) for link in message["chain"][: MAX_CHAIN + 1]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise OddAnswer("the machine at the door does not speak this protocol") from error
        if len(greeting.nonce) != NONCE_BYTES:
            raise OddAnswer("the machine at the door does not speak this protocol")
        if greeting.state == "member":
            pool, key, _ = verify_chain(greeting.chain, verify)
            if pool != greeting.pool or key != proven_key:
                raise OddAnswer("the machine at the door claims a pool that it is no member of")
        elif greeting.pool != pool_id(proven_key):
            raise OddAnswer("the machine at the door claims a pool that is not its own")
        return greeting


@dataclass(frozen=True, slots=True)
class Admitted:
    """The applicant's own voucher chain, and addresses of members to greet."""

    pool: PoolId
    chain: tuple[bytes, ...]
    peers: tuple[Endpoint, ...]


def raw(value: Any) -> bytes:
    """``value`` if it is bytes, else TypeError: ``bytes(number)`` would make a gigabyte of zeros."""
    if not isinstance(value, bytes):
        raise TypeError("not bytes")
    return value


def signed_request(member: NodeId, nonce: bytes) -> bytes:
    return b"mesh admit" + member + nonce


class AdmissionClient:
    """The applicant's side of one ``admit`` stream."""

    def __init__(self, session: Session, greeting: Greeting) -> None:
        self.session = session
        self.greeting = greeting

    @classmethod
    async def connect(cls, streams: Streams, endpoint: Endpoint) -> "AdmissionClient":
        """Open a stream and read the greeting; MeshError when no mesh answers there."""
        session = await streams.open_unproven(endpoint, StreamKind.ADMIT, {})
        try:
            if session.peer_key is None:
                raise OddAnswer("the machine at the door did not prove its key")
            return cls(session, Greeting.parse(await session.receive_message(), session.peer_key))
        except BaseException:
            await session.aclose()
            raise

    async def ask(self, identity: Identity, name: str, token: Token | None) -> Admitted:
        """Ask to be admitted; AdmissionRefused with the member's reason when the answer is no."""
        invite: dict[str, Any] = {}
        if token is not None:
            if token.pool != self.greeting.pool:
                raise MeshError(
                    "this machine belongs to another pool than the token",
                    "join by the token alone, or ask this pool for one: mesh invite",
                )
            invite["issuer"] = token.issuer
            invite["invite"] = invite_id(token.secret)
            invite["proof"] = proof(token.secret, token.pool, identity.public_key)
        await self.request(identity, name, invite)
        return admitted(await self.session.receive_message(), self.greeting.pool, identity.public_key)

    async def request(self, identity: Identity, name: str, more: dict[str, Any]) -> None:
        """Send the applicant's key and name, signed for this member and this stream, and ``more``."""
        assert self.session.peer_key is not None
        member = node_id(self.session.peer_key)
        signature = identity.sign(signed_request(member, self.greeting.nonce))
        await self.session.send_message(
            {"key": identity.public_key, "name": name, "signature": signature, **more}
        )

    async def aclose(self) -> None:
        await self.session.aclose()


def admitted(answer: Any, pool: PoolId, key: bytes) -> Admitted:
    """Check the member's answer: the chain must lead from the founder of ``pool`` to ``key``."""
    if not isinstance(answer, dict):
        raise OddAnswer("the member's answer makes no sense")
    try:
        if "error" in answer:
            kind = Uninvited if answer.get("uninvited") is True else AdmissionRefused
            raise kind(str(answer["error"])[:500], str(answer.get("hint", ""))[:500])
        chain = tuple(raw(link) for link in answer["chain"][: MAX_CHAIN + 1])
        peers = tuple(ENDPOINT.load(peer) for peer in answer["peers"][:MAX_PEERS])
    except (KeyError, TypeError, ValueError) as error:
        raise OddAnswer("the member's answer makes no sense") from error
    vouched_pool, vouched_key, _ = verify_chain(chain, verify)
    if vouched_pool != pool or vouched_key != key:
        raise OddAnswer("the member answered with a voucher for somebody else")
    return Admitted(pool, chain, peers)


def answer(chain: Sequence[bytes], peers: Sequence[Endpoint]) -> dict[str, Any]:
    return {"chain": list(chain), "peers": [[peer.host, peer.port] for peer in peers[:MAX_PEERS]]}


def refusal(error: MeshError) -> dict[str, Any]:
    return {"error": error.message, "hint": error.hint, "uninvited": isinstance(error, Uninvited)}


def new_nonce() -> bytes:
    return secrets.token_bytes(NONCE_BYTES)
