"""Making a copy of a model: from all its holders at once, each piece verified before it counts.

A source that sends a wrong piece is left alone for ten minutes; one that breaks off or is too slow is asked
again soon. Verified pieces stay on the disk, whatever happens to this process, and are not fetched again.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import trio

from leader.model.model_hash import FileHash
from leader.model.model_names import refused_name
from mesh.copies.copy_policy import missing_room
from mesh.copies.copy_source import CopySource, NoSource, WrongData
from mesh.copies.copy_store import CopyStore, PartialCopy, new_leaf
from mesh.copies.hash_tree import ModelTree, Piece
from mesh.net.session import StreamError
from mesh.net.streams import Streams
from mesh.wire.amounts import size_text
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Model
from mesh.wire.recent_rate import RecentRate

log = logging.getLogger(__name__)

WRONG_DATA_SECONDS: Final = 600.0
SLOW_SECONDS: Final = 30.0  # for a piece, once other sources are idle
SLOW_BACKOFF_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 3.0  # before a source that broke off is asked again
LOOK_SECONDS: Final = 1.0
ROOM_SECONDS: Final = 5.0
GIVE_UP_SECONDS: Final = 30.0  # without a byte from any source
MAX_SOURCES: Final = 8

FetchPhase = Literal["asking", "checking", "copying", "finishing"]
Holders = Callable[[], Mapping[NodeId, Sequence[Endpoint]]]


@dataclass
class SourceBackoff:
    """Sources that must not be asked before a time."""

    until: dict[NodeId, float] = field(default_factory=dict)

    def hold_off(self, source: NodeId, seconds: float) -> None:
        self.until[source] = max(self.until.get(source, 0.0), trio.current_time() + seconds)

    def __contains__(self, source: NodeId) -> bool:
        return self.until.get(source, 0.0) > trio.current_time()


@dataclass
class SourceTransfer:
    """The transfer from one source; ``since`` is when its present piece was requested."""

    since: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Fetch:
    """One copy in the making. ``holders`` returns the members that hold the model, with their addresses."""

    def __init__(
        self, streams: Streams, model: Model, store: CopyStore, holders: Holders, backoff: SourceBackoff
    ) -> None:
        self.model = model
        self.phase: FetchPhase = "asking"
        self.sources: dict[NodeId, SourceTransfer] = {}
        self._streams = streams
        self._store = store
        self._holders = holders
        self._backoff = backoff
        self._pending: deque[int] = deque()
        self._arrived = 0
        self._recent_rate = RecentRate()
        self._change = trio.Event()
        self._partial: PartialCopy | None = None
        self._failure: MeshError | None = None
        self._heard = 0.0

    @property
    def done(self) -> int:
        """Bytes that are here and verified."""
        return 0 if self._partial is None else self._partial.done

    @property
    def files(self) -> tuple[FileHash, ...]:
        """The model's files, once their tree is known."""
        return () if self._partial is None else self._partial.tree.files

    def rate(self) -> float:
        """Bytes a second that arrived during the last seconds."""
        return self._recent_rate.see(trio.current_time(), self._arrived)

    async def run(self) -> tuple[Path, ...]:
        """Make the copy and return its files, whole and on the disk.

        Raises StoreError (the disk), NoSource (no source serves it), MeshError.
        """
        if refusal := refused_name(self.model.name):
            raise MeshError(refusal)
        await self._check_room(0)
        tree = await self._find_tree()
        self.phase = "checking"
        partial = await trio.to_thread.run_sync(self._store.open, tree, self.model.name)
        self._partial = partial
        try:
            await _recheck(partial)
            await self._check_room(partial.done)
            self.phase = "copying"
            await self._gather(partial)
            if self._failure is not None:
                raise self._failure
            self.phase = "finishing"
            return await trio.to_thread.run_sync(partial.finish)
        finally:
            partial.close()

    async def _check_room(self, done: int) -> None:
        free = await trio.to_thread.run_sync(self._store.free)
        if missing := missing_room(free, self.model.size, done):
            raise MeshError(f"lacks {size_text(missing)} of disk space for {self.model.name}")

    # --- the tree -----------------------------------------------------------------------------------

    async def _find_tree(self) -> ModelTree:
        kept = await trio.to_thread.run_sync(self._store.tree, self.model.root, self.model.size)
        if kept is not None:
            return kept
        for source, endpoints in self._holders().items():
            if source not in self._backoff:
                try:
                    return await self._ask_tree(source, endpoints)
                except (StreamError, DecodeError, MeshError, trio.TooSlowError) as error:
                    self._back_off(source, error)
        raise NoSource(f"nobody gives the hash tree of {self.model.name} at present")

    async def _ask_tree(self, source: NodeId, endpoints: Sequence[Endpoint]) -> ModelTree:
        async with aclosing(await self._open(source, endpoints)) as opened:
            return await opened.tree()

    async def _open(self, source: NodeId, endpoints: Sequence[Endpoint]) -> CopySource:
        return await CopySource.open(self._streams, self.model, source, endpoints)

    # --- the pieces ---------------------------------------------------------------------------------

    async def _gather(self, partial: PartialCopy) -> None:
        self._pending = deque(sorted(partial.missing))
        self._heard = trio.current_time()
        room_at = self._heard + ROOM_SECONDS
        async with trio.open_nursery() as nursery:
            while partial.missing and self._failure is None:
                now, holders = trio.current_time(), self._holders()
                idle = [one for one in holders if one not in self.sources and one not in self._backoff]
                for source in idle[: MAX_SOURCES - len(self.sources)] if self._pending else ():
                    self.sources[source] = SourceTransfer(now)
                    nursery.start_soon(self._fetch_from, source, holders[source], partial)
                if idle and not self._pending:
                    self._drop_the_slowest(now)
                if now - self._heard > GIVE_UP_SECONDS:
                    self._failure = NoSource(f"nobody gives {self.model.name} at present")
                if now >= room_at:
                    room_at = now + ROOM_SECONDS
                    await self._stop_when_full()
                self._change = trio.Event()
                with trio.move_on_after(LOOK_SECONDS):
                    await self._change.wait()
            nursery.cancel_scope.cancel()

    def _drop_the_slowest(self, now: float) -> None:
        """Let an idle source take the oldest piece in transfer, if that has taken too long."""
        source = min(self.sources, key=lambda one: self.sources[one].since, default=None)
        if source is not None and now - self.sources[source].since > SLOW_SECONDS:
            log.info("%s is too slow with %s", id_text(source), self.model.name)
            self._backoff.hold_off(source, SLOW_BACKOFF_SECONDS)
            self.sources[source].scope.cancel()

    async def _stop_when_full(self) -> None:
        """Other programs write on the disk too, and this node's durable writes need room there."""
        try:
            await self._check_room(self.done)
        except MeshError as error:
            self._failure = error

    async def _fetch_from(self, source: NodeId, endpoints: Sequence[Endpoint], partial: PartialCopy) -> None:
        """Fetch pieces from one source until none is left, or the source fails."""
        transfer = self.sources[source]
        piece: Piece | None = None
        try:
            with transfer.scope:
                async with aclosing(await self._open(source, endpoints)) as opened:
                    while self._pending:
                        piece = partial.tree.piece(self._pending.popleft())
                        transfer.since = trio.current_time()
                        await self._take(opened, piece, partial)
                        piece = None
        except (StreamError, DecodeError, WrongData, NoSource, trio.TooSlowError) as error:
            self._back_off(source, error)
        except MeshError as error:
            self._failure = error  # the disk: another source does not help
        finally:
            if piece is not None:
                self._pending.appendleft(piece.number)
            del self.sources[source]
            self._change.set()

    async def _take(self, source: CopySource, piece: Piece, partial: PartialCopy) -> None:
        await source.request(piece)
        digest, at = new_leaf(), 0
        while at < piece.length:
            chunk = await source.chunk(piece.length - at, self._note_heard)
            await trio.to_thread.run_sync(partial.write, piece, at, chunk, digest)
            at += len(chunk)
            self._arrived += len(chunk)
            self._recent_rate.see(trio.current_time(), self._arrived)
        if digest.digest() != piece.leaf:
            raise WrongData(f"piece {piece.number} is not the model's")
        await trio.to_thread.run_sync(partial.commit, piece)

    def _note_heard(self) -> None:
        self._heard = trio.current_time()

    def _back_off(self, source: NodeId, error: Exception) -> None:
        wrong = isinstance(error, WrongData)
        self._backoff.hold_off(source, WRONG_DATA_SECONDS if wrong else RETRY_SECONDS)
        level = logging.WARNING if wrong else logging.INFO
        log.log(level, "no copy of %s from %s: %s", self.model.name, id_text(source), error or "too slow")


async def _recheck(partial: PartialCopy) -> None:
    """Verify what an earlier run recorded; a cancellation ends it after the present piece."""
    stop = threading.Event()

    async def stop_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            stop.set()

    failure: MeshError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_when_cancelled)
        try:
            await trio.to_thread.run_sync(partial.recheck, stop.is_set)
        except MeshError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
