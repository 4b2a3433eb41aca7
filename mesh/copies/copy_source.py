"""The copier's end of a stream of kind `copy`: one holder's hash tree and pieces.

What it yields of a piece is verified by its caller, for a caller writes while it hashes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from leader.model.model_hash import CHUNK
from mesh.copies.copy_server import BLOCK
from mesh.copies.hash_tree import HASH_BYTES, ModelTree, Piece, WrongTree, checked_tree, leaf_counts
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId
from mesh.wire.profile import Model

STALL_SECONDS: Final = 20.0  # for one message


class WrongData(MeshError):
    """A source sent something else than the model."""


class NoSource(MeshError):
    """No source serves the model at present."""


class CopySource:
    """An open stream to a holder of ``model``; one request at a time.

    The methods raise NoSource where it serves the model no longer, WrongData, StreamError, DecodeError, and
    trio.TooSlowError where nothing comes for `STALL_SECONDS`.
    """

    def __init__(self, session: Session, model: Model, sizes: list[int]) -> None:
        self._session = session
        self._model = model
        self._sizes = sizes

    @classmethod
    async def open(
        cls, streams: Streams, model: Model, source: NodeId, endpoints: Sequence[Endpoint]
    ) -> "CopySource":
        """Ask ``source`` for the model."""
        session = await streams.open(source, endpoints, StreamKind.COPY, {"model": model.root})
        try:
            with trio.fail_after(STALL_SECONDS):
                answer: Any = await session.receive_message()
            if not isinstance(answer, dict) or not isinstance(answer.get("sizes"), list):
                raise NoSource(str(answer.get("reason", ""))[:100] if isinstance(answer, dict) else "")
        except BaseException:
            await session.aclose()
            raise
        return cls(session, model, answer["sizes"])

    async def aclose(self) -> None:
        await self._session.aclose()

    async def tree(self) -> ModelTree:
        """The model's tree, checked against its root."""
        try:
            count = sum(leaf_counts(self._sizes, self._model.size)) * HASH_BYTES
            await self._session.send_message({"tree": True})
            leaves = bytearray()
            while len(leaves) < count:
                leaves += await receive_block(self._session, count - len(leaves))
            received = (self._sizes, bytes(leaves), self._model.root, self._model.size)
            return await trio.to_thread.run_sync(checked_tree, *received)
        except WrongTree as error:
            raise WrongData(error.message) from error

    async def request(self, piece: Piece) -> None:
        """Ask for a piece, which `chunk` then returns."""
        await self._session.send_message({"piece": piece.number})

    async def chunk(self, left: int, heard: Callable[[], None] = lambda: None) -> bytes:
        """The next bytes of a piece that has ``left`` more; ``heard`` is called whenever some came."""
        gathered = bytearray()
        while len(gathered) < min(CHUNK, left):
            gathered += await receive_block(self._session, left - len(gathered))
            heard()
        return bytes(gathered)


async def receive_block(session: Session, most: int) -> bytes:
    """The next bytes, at most so many. WrongData for anything else; NoSource if the source lost the model."""
    with trio.fail_after(STALL_SECONDS):
        block = await session.receive_message(BLOCK + 16)
    if isinstance(block, dict) and "gone" in block:
        raise NoSource(str(block["gone"])[:100])
    if not isinstance(block, bytes) or not 0 < len(block) <= most:
        raise WrongData("what came is no part of the model")
    return block
