"""The name by which a pool knows a model: the root of a hash tree over its pieces.

The tree is RFC 6962's (section 2.1): ``leaf = SHA-256(0x00 | piece)``, ``node = SHA-256(0x01 | left |
right)``, where the left subtree holds the largest power of two of leaves. Pieces are 16 MiB, so that a copy
can be verified piece by piece against the root. The name of a model of several files is ``SHA-256(0x02 | size
of the first, 8 bytes big-endian | its root | ...)``; that of a single file is its root.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.wire.errors import MeshError

PIECE: Final = 16 << 20
CHUNK: Final = 1 << 20  # read at once, by each thread
MAX_THREADS: Final = 8
REPORT_SECONDS: Final = 0.1
CACHED_FILES: Final = 64

Progress = Callable[[int, int], None]  # bytes done, bytes in all; called from threads


class HashError(MeshError):
    """A file could not be read, or changed meanwhile."""

    usual_hint = "leave the file as it is while it is read, and let this user read it"


class _Abandoned(Exception):
    """The task that wanted the result was cancelled."""


@dataclass(frozen=True, slots=True)
class FileHash:
    """A file's tree: its leaves in order and its root."""

    size: int
    leaves: tuple[bytes, ...]
    root: bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file does."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The stamp of ``path`` now. Raises HashError when there is no such file."""
        try:
            status = path.stat()
        except OSError as error:
            raise HashError(f"{path}: {error.strerror or error}") from error
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


async def hash_model(
    files: Sequence[Path], cache: Path, report: Progress = lambda done, total: None
) -> tuple[bytes, list[FileHash]]:
    """The model's root and its files' trees; files that ``cache`` (a directory) knows are not read again.

    Runs in threads, which a cancellation ends within a chunk. This task's thread calls ``report``.
    Raises HashError.
    """
    stop = threading.Event()
    latest = (0, 0)

    def note(done: int, total: int) -> None:
        nonlocal latest
        latest = (done, total)

    async def tell() -> None:
        while True:
            await trio.sleep(REPORT_SECONDS)
            report(*latest)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            hashes = await trio.to_thread.run_sync(
                lambda: hash_files(files, cache, note, stop.is_set), abandon_on_cancel=True
            )
            nursery.cancel_scope.cancel()
    finally:
        stop.set()
    report(*latest)
    return model_root(hashes), hashes


def hash_files(
    files: Sequence[Path],
    cache: Path | None = None,
    report: Progress = lambda done, total: None,
    abandoned: Callable[[], bool] = lambda: False,
) -> list[FileHash]:
    """Each file's tree, from ``cache`` where that has it. Blocks; see ``hash_model``."""
    stamps = [Stamp.of(path) for path in files]
    known = [_cached(cache, path, stamp) for path, stamp in zip(files, stamps, strict=True)]
    total = sum(stamp.size for stamp in stamps)
    counter = _Counter(total, sum(file.size for file in known if file), report, abandoned)
    result = []
    for path, stamp, file in zip(files, stamps, known, strict=True):
        if file is None:
            file = _hash_file(path, stamp, counter)
            if cache is not None:
                remember(cache, path, stamp, file)
        result.append(file)
    report(total, total)
    return result


def model_root(files: Sequence[FileHash]) -> bytes:
    """The name of the model that consists of these files."""
    if len(files) == 1:
        return files[0].root
    named = (file.size.to_bytes(8, "big") + file.root for file in files)
    return hashlib.sha256(b"\x02" + b"".join(named)).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes; of none, SHA-256 of nothing (RFC 6962)."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(leaves[:left]) + tree_root(leaves[left:])).digest()


def leaf(piece: bytes | memoryview) -> bytes:
    """The leaf hash of one piece, which verifies a copied piece."""
    digest = hashlib.sha256(b"\x00")
    digest.update(piece)
    return digest.digest()


class _Counter:
    """Counts the bytes that all threads have done."""

    def __init__(self, total: int, done: int, report: Progress, abandoned: Callable[[], bool]) -> None:
        self._lock = threading.Lock()
        self._total = total
        self._done = done
        self._report = report
        self._abandoned = abandoned

    def add(self, length: int) -> None:
        if self._abandoned():
            raise _Abandoned
        with self._lock:
            self._done += length
            self._report(self._done, self._total)


def _hash_file(path: Path, stamp: Stamp, counter: _Counter) -> FileHash:
    starts = range(0, stamp.size, PIECE)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HashError(f"{path}: {error.strerror or error}") from error
    try:
        pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1), "hash")
        try:
            leaves = tuple(
                pool.map(lambda start: _leaf_of(descriptor, path, start, stamp.size, counter), starts)
            )
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        os.close(descriptor)
    if Stamp.of(path) != stamp:
        raise HashError(f"{path}: changed while it was read", "wait until it is complete")
    return FileHash(stamp.size, leaves, tree_root(leaves))


def _leaf_of(descriptor: int, path: Path, start: int, size: int, counter: _Counter) -> bytes:
    digest = hashlib.sha256(b"\x00")
    end = min(start + PIECE, size)
    while start < end:
        try:
            chunk = os.pread(descriptor, min(CHUNK, end - start), start)
        except OSError as error:
            raise HashError(f"{path}: {error.strerror or error} at byte {start}") from error
        if not chunk:
            raise HashError(f"{path}: changed while it was read", "wait until it is complete")
        digest.update(chunk)
        start += len(chunk)
        counter.add(len(chunk))
    return digest.digest()


def _entry(cache: Path, path: Path) -> Path:
    return cache / (hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32] + ".json")


def _cached(cache: Path | None, path: Path, stamp: Stamp) -> FileHash | None:
    """The tree that was computed for this very state of the file; a damaged entry counts as unknown."""
    if cache is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        entry = json.loads(_entry(cache, path).read_bytes())
        if entry["stamp"] == [stamp.size, stamp.mtime_ns, stamp.inode]:
            joined = bytes.fromhex(entry["leaves"])
            leaves = tuple(joined[at : at + 32] for at in range(0, len(joined), 32))
            if len(leaves) == -(-stamp.size // PIECE) and tree_root(leaves).hex() == entry["root"]:
                return FileHash(stamp.size, leaves, tree_root(leaves))
    return None


def remember(cache: Path, path: Path, stamp: Stamp, file: FileHash) -> None:
    """Note the tree of a file in that state. A cache that cannot be written costs time alone."""
    content = {
        "path": str(path.absolute()),
        "stamp": [stamp.size, stamp.mtime_ns, stamp.inode],
        "root": file.root.hex(),
        "leaves": b"".join(file.leaves).hex(),
    }
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        entry = _entry(cache, path)
        temporary = entry.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content))
        temporary.replace(entry)
        entries = sorted(cache.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for old in entries[:-CACHED_FILES]:
            old.unlink(missing_ok=True)
