"""Invites: a secret that admits a machine; only its issuer redeems it.

The token carries the pool's id, so that an applicant checks the member before it proves anything. The secret
itself never leaves the applicant: it sends a MAC over its own key, worthless to a member that passes it on.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import msgpack

from mesh.runtime.state import StateDir
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, PoolId, id_text, node_id
from mesh.wire.rights import Rights

PREFIX = "mesh1:"
MAX_HINTS = 4
MAX_OPEN_INVITES = 256
SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class Token:
    """What `mesh join TOKEN` needs: the pool, the issuer that redeems it, the secret, and first addresses."""

    pool: PoolId
    issuer: NodeId
    secret: bytes
    hints: tuple[Endpoint, ...]

    def text(self) -> str:
        """One line of about 110 characters that fits any shell unquoted."""
        hints = [
            ip_address(hint.host).packed + hint.port.to_bytes(2, "big") for hint in self.hints[:MAX_HINTS]
        ]
        packed = msgpack.packb([self.pool, self.issuer, self.secret, hints])
        check = hashlib.sha256(packed).digest()[:3]
        return PREFIX + base64.urlsafe_b64encode(packed + check).rstrip(b"=").decode()

    @classmethod
    def parse(cls, text: str) -> "Token":
        """The token in ``text``; MeshError when it was mistyped, cut or is something else."""
        mistyped = MeshError(
            "that is not a whole mesh token", "copy the line that mesh invite printed again, all of it"
        )
        text = text.strip()
        if not text.startswith(PREFIX) or len(text) > 512:
            raise mistyped
        try:
            body = text[len(PREFIX) :]
            content = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            packed, check = content[:-3], content[-3:]
            if hashlib.sha256(packed).digest()[:3] != check:
                raise mistyped
            pool, issuer, secret, hints = msgpack.unpackb(packed)
            if [len(pool), len(issuer), len(secret)] != [16, 16, SECRET_BYTES]:
                raise mistyped
            places = tuple(
                Endpoint(str(ip_address(hint[:-2])), int.from_bytes(hint[-2:], "big"))
                for hint in hints[:MAX_HINTS]
            )
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise mistyped from error
        return cls(PoolId(pool), NodeId(issuer), secret, places)


def invite_id(secret: bytes) -> bytes:
    """The id of an invite, 8 bytes; it discloses nothing of the secret."""
    return hashlib.blake2b(secret, digest_size=8, person=b"mesh invite").digest()


def proof(secret: bytes, pool: PoolId, joiner_key: bytes) -> bytes:
    """Proves that the holder of ``joiner_key`` knows the secret; useless with any other key."""
    return hmac.digest(secret, b"mesh redeem" + pool + joiner_key, "sha256")


def _is_whole(entry: Any) -> bool:
    """Whether a stored invite is complete; a damaged one counts as none."""
    kinds = {"pool": str, "secret": str, "rights": int, "expires": float, "redeemed": list}
    if not isinstance(entry, dict) or any(type(entry.get(name)) is not kind for name, kind in kinds.items()):
        return False
    uses, secret = entry.get("uses", 0), entry["secret"]
    return (uses is None or type(uses) is int) and re.fullmatch(r"[0-9a-f]{32}", secret) is not None


def _id_of(key: str) -> NodeId | None:
    try:
        return node_id(bytes.fromhex(key))
    except (ValueError, TypeError):
        return None


class NotRedeemed(MeshError):
    """An invite that admits nobody; ``why`` is the reason in a word."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message, "ask an owner of the pool for a new one: mesh invite")
        self.why = why


class Invites:
    """The invites that this node has issued, counted on its own disk and against its own wall clock."""

    def __init__(self, state: StateDir, wall_clock: Callable[[], float]) -> None:
        self._state = state
        self._wall_clock = wall_clock
        self._open = {name: entry for name, entry in state.load("invites").items() if _is_whole(entry)}

    def create(
        self,
        pool: PoolId,
        issuer: NodeId,
        hints: Sequence[Endpoint],
        rights: Rights,
        expires: float,
        uses: int | None,
    ) -> Token:
        """Make an invite for ``expires`` seconds and ``uses`` machines (None: any number)."""
        self._forget_old()
        if len(self._open) >= MAX_OPEN_INVITES:
            raise MeshError(f"{MAX_OPEN_INVITES} invites are open", "wait until some of them expire")
        token = Token(pool, issuer, secrets.token_bytes(SECRET_BYTES), tuple(hints[:MAX_HINTS]))
        self._open[invite_id(token.secret).hex()] = {
            "pool": id_text(pool),
            "secret": token.secret.hex(),
            "rights": rights.value,
            "expires": self._wall_clock() + expires,
            "uses": uses,
            "redeemed": [],
        }
        self._state.save("invites", self._open)
        return token

    def unlimited(self, pool: PoolId, issuer: NodeId, hints: Sequence[Endpoint]) -> Token | None:
        """An invite that any number of machines may still use (the founder's first), if there is one."""
        for entry in self._open.values():
            if (
                entry["uses"] is None
                and not entry.get("closed")
                and entry["pool"] == id_text(pool)
                and entry["expires"] > self._wall_clock()
            ):
                return Token(pool, issuer, bytes.fromhex(entry["secret"]), tuple(hints[:MAX_HINTS]))
        return None

    def redeem(self, pool: PoolId, name: bytes, joiner_key: bytes, joiner_proof: bytes) -> Rights:
        """The rights that the invite grants to ``joiner_key``; a key is one use. Raises NotRedeemed."""
        entry = self._open.get(name.hex())
        if entry is None or entry["pool"] != id_text(pool):
            raise NotRedeemed("foreign_invite", "nobody here issued that invite")
        if not hmac.compare_digest(proof(bytes.fromhex(entry["secret"]), pool, joiner_key), joiner_proof):
            raise NotRedeemed("wrong_secret", "the invite's secret is wrong")
        if entry.get("closed"):
            raise NotRedeemed(
                "closed_invite", "that invite was closed when a machine that had used it was evicted"
            )
        if entry["expires"] <= self._wall_clock():
            raise NotRedeemed("expired_invite", "that invite has expired")
        if joiner_key.hex() not in entry["redeemed"]:
            if entry["uses"] is not None and entry["uses"] <= len(entry["redeemed"]):
                raise NotRedeemed("used_invite", "that invite is used up")
            entry["redeemed"].append(joiner_key.hex())
            self._state.save("invites", self._open)
        return Rights(entry["rights"])

    def close_for(self, evicted: NodeId) -> None:
        """Close the invites that an evicted machine used: it may come back with another key."""
        theirs = [
            entry
            for entry in self._open.values()
            if not entry.get("closed") and any(_id_of(key) == evicted for key in entry["redeemed"])
        ]
        for entry in theirs:
            entry["closed"] = True
        if theirs:
            self._state.save("invites", self._open)

    def _forget_old(self) -> None:
        day_ago = self._wall_clock() - 86400
        self._open = {name: entry for name, entry in self._open.items() if entry["expires"] > day_ago}
