"""A holder's side of a copy: it serves the model's hash tree and its pieces to members that may lead.

The stream is of kind `copy`; its argument is the model's root. The holder answers with the sizes of the
model's files, or why not. Then the member sends one request at a time. ``{"tree": True}`` returns the leaves
of all files, joined, in messages; ``{"piece": N}`` returns that piece, in messages. One pacer for all copiers
limits the rate by their round trips (`mesh.net.pacing`).
"""

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import trio

from leader.model.held_models import HeldModel, Models
from leader.model.model_hash import CHUNK, hash_model
from mesh.copies.hash_tree import ModelTree, Piece
from mesh.net.pacing import Pacer
from mesh.net.session import Session
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, id_text

log = logging.getLogger(__name__)

BLOCK: Final = 64 * 1024
"""Bytes of a piece, or of a tree, in one message."""

MAX_SERVED: Final = 16
MAX_OF_A_PEER: Final = 2
REQUEST_SECONDS: Final = 60.0
BLOCK_SECONDS: Final = 60.0
JUDGE_SECONDS: Final = 0.25
UNSENT_BYTES: Final = 256 * 1024
"""Bytes that may wait in the kernel, so that a connection that is cut has not taken up more."""


RoundTrips = Callable[[], Mapping[NodeId, float]]
"""Seconds to each member, as far as they are known."""


class CopyServer:
    """Serves all members that copy from this machine."""

    def __init__(
        self, may_copy: Callable[[NodeId], bool], round_trips: RoundTrips, models: Models, hashes: Path
    ) -> None:
        """``hashes`` is the folder where hash trees are kept (`leader.model.model_hash`)."""
        self._may_copy = may_copy
        self._round_trips = round_trips
        self._models = models
        self._hashes = hashes
        self._hashing = trio.Lock()
        self._served: Counter[NodeId] = Counter()
        self._pacer: Pacer | None = None
        self._judged = 0.0

    async def handle(self, session: Session) -> None:
        """Serve one member, from its request to its last piece."""
        peer, root = session.peer, session.arguments.get("model")
        if peer is None or not isinstance(root, bytes):
            return
        held = await trio.to_thread.run_sync(self._models.find, root)
        reason = self._why_not(peer, held)
        if reason or held is None:
            await session.send_message({"ok": False, "reason": reason})
            return
        self._served[peer] += 1
        try:
            async with self._hashing:  # hash once for all; later the cache knows
                _, hashes = await hash_model(held.files, self._hashes)
            await self._serve(session, peer, held, ModelTree(hashes))
        except trio.TooSlowError:
            log.info("%s requests nothing any more, or reads nothing", id_text(peer))
        finally:
            self._served[peer] -= 1
            self._served += Counter()  # drop peers that copy no longer

    def _why_not(self, peer: NodeId, held: HeldModel | None) -> str:
        if not self._may_copy(peer):
            return "only members that may lead copy models"
        if held is None:
            return "it is not here any more"
        if self._served[peer] >= MAX_OF_A_PEER or self._served.total() >= MAX_SERVED:
            return "too many copy from here already"
        return ""

    async def _serve(self, session: Session, peer: NodeId, held: HeldModel, tree: ModelTree) -> None:
        if (option := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            session.stream.transport_stream.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
        await session.send_message({"ok": True, "sizes": [file.size for file in tree.files]})
        while True:
            with trio.fail_after(REQUEST_SECONDS):
                request = await session.receive_message()
            if not await trio.to_thread.run_sync(held.unchanged):
                await session.send_message({"gone": "its files were changed"})
                return
            if request == {"tree": True}:
                leaves = b"".join(leaf for file in tree.files for leaf in file.leaves)
                for at in range(0, len(leaves), BLOCK):
                    await self._send(session, leaves[at : at + BLOCK])
                continue
            try:
                piece = tree.piece(request["piece"])
            except (TypeError, KeyError, IndexError) as error:
                raise MeshError("a member asked for a piece that is none") from error
            await self._send_piece(session, held.files[piece.file], piece)

    async def _send_piece(self, session: Session, path: Path, piece: Piece) -> None:
        at, end = piece.offset, piece.offset + piece.length
        while at < end:
            chunk = await trio.to_thread.run_sync(_read, path, at, min(CHUNK, end - at))
            for start in range(0, len(chunk), BLOCK):
                await self._send(session, chunk[start : start + BLOCK])
            at += len(chunk)

    async def _send(self, session: Session, block: bytes) -> None:
        now = trio.current_time()
        if self._pacer is None:
            self._pacer = Pacer(now)
        if now - self._judged >= JUDGE_SECONDS:
            self._judged = now
            trips = self._round_trips()
            self._pacer.judge(now, {bytes(peer): trips[peer] for peer in trips if peer in self._served})
        await trio.sleep(self._pacer.delay(now, len(block)))
        with trio.fail_after(BLOCK_SECONDS):
            await session.send_message(block)

    @property
    def rate(self) -> float:
        """Bytes a second that may be sent at present."""
        return 0.0 if self._pacer is None else self._pacer.rate


def _read(path: Path, at: int, count: int) -> bytes:
    """Read that part of a file, at least one byte of it. Raises MeshError when it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            chunk = os.pread(file.fileno(), count, at)
    except OSError as error:
        raise MeshError(f"cannot read {path}: {error.strerror or error}") from error
    if not chunk:
        raise MeshError(f"{path} ended early")
    return chunk
