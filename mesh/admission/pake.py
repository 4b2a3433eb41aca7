"""How an owner and an applicant prove to each other that they know the same code: SPAKE2 (RFC 9382).

The code itself never travels, and the messages disclose nothing of it. A machine in the middle can try one
guess, and a wrong one is noticed. Pool, owner's key and applicant's key go into the exchange, so that it
cannot be replayed to another pool or for another machine.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Literal

from mesh.admission.codes import Code
from mesh.wire.errors import MeshError
from mesh.wire.identity import PoolId

MESSAGE_BYTES = 33
Side = Literal["owner", "joiner"]


class WrongCode(MeshError):
    """The other side does not know the code."""

    usual_hint = "the machine that waits shows a new code: type that one"


class Pake:
    """One side of one exchange; ``opening`` is its first message."""

    def __init__(self, side: Side, code: Code, pool: PoolId, owner_key: bytes, joiner_key: bytes) -> None:
        # Imported here, where a person waits anyway: its setup takes some ten milliseconds.
        from spake2 import SPAKE2_A, SPAKE2_B

        kind: Any = SPAKE2_A if side == "owner" else SPAKE2_B
        self._spake = kind(code.secret, idA=b"owner" + pool + owner_key, idB=b"joiner" + pool + joiner_key)
        self.opening: bytes = self._spake.start()
        self._key: bytes | None = None

    def agree(self, opening: bytes) -> None:
        """Process the other side's opening; WrongCode if no holder of the code would send it."""
        if len(opening) != MESSAGE_BYTES:
            raise WrongCode("the other side's message makes no sense")
        try:
            self._key = self._spake.finish(opening)
        except Exception as error:
            # Points that are off the curve or of a small group: the library has no one error for these.
            raise WrongCode("the other side's message makes no sense") from error

    def proof(self, side: Side, said: Sequence[bytes] = ()) -> bytes:
        """The proof that only a holder of the code can send as ``side``, over the parts ``said`` with it."""
        assert self._key is not None, "agree comes first"
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in said)).digest()
        return hmac.digest(self._key, b"mesh approve " + side.encode() + digest, "sha256")

    def check(self, proof: bytes, side: Side, said: Sequence[bytes] = ()) -> None:
        """Raise WrongCode unless the proof is that side's."""
        if not hmac.compare_digest(proof, self.proof(side, said)):
            raise WrongCode("that code is wrong")


def signed_opening(pool: PoolId, joiner_key: bytes, opening: bytes) -> bytes:
    """The bytes that the owner signs, so that no other machine can use a code up."""
    return b"mesh approve opening" + pool + joiner_key + opening
