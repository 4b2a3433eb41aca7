"""The name by which a pool knows a model: the root of a hash tree over its pieces.

The tree is RFC 6962's (section 2.1): ``leaf = SHA-256(0x00 | piece)``, ``node = SHA-256(0x01 | left |
right)``, where the left subtree holds the largest power of two of leaves. Pieces are 16 MiB, so that a copy
can be verified piece by piece against the root. The name of a model of several files is ``SHA-256(0x02 | size
of the first, 8 bytes big-endian | its root | ...)``; that of a single file is its root.

Where a file comes from, its plain SHA-256 may be known. Then the pass that computes the tree checks that too.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.wire.errors import MeshError

PIECE: Final = 16 << 20
CHUNK: Final = 1 << 20  # read at once, by each thread
MAX_THREADS: Final = 8
AHEAD: Final = 2  # pieces in memory whose leaves are computed, while the next one is read
REPORT_SECONDS: Final = 0.1
CACHED_FILES: Final = 64

Progress = Callable[[int, int], None]  # bytes done, bytes in all; called from threads


class HashError(MeshError):
    """A file could not be read, or changed meanwhile."""

    usual_hint = "leave the file as it is while it is read, and let this user read it"


class WrongHash(HashError):
    """The file at ``path`` is not the one that its source has; ``code`` is what the command line sees."""

    code = "wrong_hash"

    def __init__(self, path: Path, computed: str, expected: str) -> None:
        super().__init__(
            f"{path}: is not the file that its source has: its SHA-256 is {computed}, not {expected}",
            "delete it and download it again",
        )
        self.path = path
        self.expected = expected


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
    files: Sequence[Path],
    cache: Path,
    report: Progress = lambda done, total: None,
    sha256: Sequence[str] = (),
) -> tuple[bytes, list[FileHash]]:
    """The model's root and its files' trees; files that ``cache`` (a directory) knows are not read again.

    ``sha256`` has the plain hash of each file in lower-case hex, or "" where it is not known; empty: of none.
    Runs in threads, which a cancellation ends within a chunk. This task's thread calls ``report``.
    Raises HashError; WrongHash for a file that has another hash.
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

    hashes: list[FileHash] = []
    failure: HashError | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            try:
                hashes = await trio.to_thread.run_sync(
                    lambda: hash_files(files, cache, note, stop.is_set, sha256), abandon_on_cancel=True
                )
            except HashError as error:
                failure = error  # the nursery would wrap it
            nursery.cancel_scope.cancel()
    finally:
        stop.set()
    if failure is not None:
        raise failure
    report(*latest)
    return model_root(hashes), hashes


def hash_files(
    files: Sequence[Path],
    cache: Path | None = None,
    report: Progress = lambda done, total: None,
    abandoned: Callable[[], bool] = lambda: False,
    sha256: Sequence[str] = (),
) -> list[FileHash]:
    """Each file's tree, from ``cache`` where that has it. Blocks; see ``hash_model``."""
    stamps = [Stamp.of(path) for path in files]
    wanted = sha256 or [""] * len(files)
    known = [_cached(cache, *one) for one in zip(files, stamps, wanted, strict=True)]
    total = sum(stamp.size for stamp in stamps)
    counter = _Counter(total, sum(file.size for file in known if file), report, abandoned)
    result = []
    for path, stamp, plain, file in zip(files, stamps, wanted, known, strict=True):
        if file is None:
            file = _hash_file(path, stamp, counter, plain)
            if cache is not None:
                remember(cache, path, stamp, file, plain)
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


def leaf(piece: bytes | bytearray | memoryview) -> bytes:
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


def _hash_file(path: Path, stamp: Stamp, counter: _Counter, sha256: str) -> FileHash:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HashError(f"{path}: {error.strerror or error}") from error
    pool = ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1), "hash")
    plain = sha256
    try:
        if sha256:
            leaves, plain = _read_in_order(descriptor, path, stamp.size, counter, pool)
        else:
            starts = range(0, stamp.size, PIECE)
            leaves = tuple(
                pool.map(lambda start: _leaf_of(descriptor, path, start, stamp.size, counter), starts)
            )
    finally:
        pool.shutdown(cancel_futures=True)
        os.close(descriptor)
    if Stamp.of(path) != stamp:
        raise HashError(f"{path}: changed while it was read", "wait until it is complete")
    if plain != sha256:
        raise WrongHash(path, plain, sha256)
    return FileHash(stamp.size, leaves, tree_root(leaves))


def _read_in_order(
    descriptor: int, path: Path, size: int, counter: _Counter, pool: Executor
) -> tuple[tuple[bytes, ...], str]:
    """The file's leaves, which threads compute, and its plain SHA-256, for which it is read in order."""
    whole = hashlib.sha256()
    leaves: list[Future[bytes]] = []
    for start in range(0, size, PIECE):
        piece = bytearray()
        for chunk in _chunks(descriptor, path, start, min(start + PIECE, size)):
            whole.update(chunk)
            piece += chunk
            counter.add(len(chunk))
        leaves.append(pool.submit(leaf, piece))
        if len(leaves) > AHEAD:
            leaves[-1 - AHEAD].result()
    return tuple(one.result() for one in leaves), whole.hexdigest()


def _leaf_of(descriptor: int, path: Path, start: int, size: int, counter: _Counter) -> bytes:
    digest = hashlib.sha256(b"\x00")
    for chunk in _chunks(descriptor, path, start, min(start + PIECE, size)):
        digest.update(chunk)
        counter.add(len(chunk))
    return digest.digest()


def _chunks(descriptor: int, path: Path, start: int, end: int) -> Iterator[bytes]:
    """That part of the file. Raises HashError when it cannot be read, or ends before."""
    while start < end:
        try:
            chunk = os.pread(descriptor, min(CHUNK, end - start), start)
        except OSError as error:
            raise HashError(f"{path}: {error.strerror or error} at byte {start}") from error
        if not chunk:
            raise HashError(f"{path}: changed while it was read", "wait until it is complete")
        start += len(chunk)
        yield chunk


def _entry(cache: Path, path: Path) -> Path:
    return cache / (hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32] + ".json")


def _cached(cache: Path | None, path: Path, stamp: Stamp, sha256: str) -> FileHash | None:
    """The tree that was computed for this very state of the file, if ``sha256`` was checked with it.

    A damaged entry counts as unknown.
    """
    if cache is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        entry = json.loads(_entry(cache, path).read_bytes())
        checked = not sha256 or entry.get("sha256") == sha256
        if checked and entry["stamp"] == [stamp.size, stamp.mtime_ns, stamp.inode]:
            joined = bytes.fromhex(entry["leaves"])
            leaves = tuple(joined[at : at + 32] for at in range(0, len(joined), 32))
            if len(leaves) == -(-stamp.size // PIECE) and tree_root(leaves).hex() == entry["root"]:
                return FileHash(stamp.size, leaves, tree_root(leaves))
    return None


def remember(cache: Path, path: Path, stamp: Stamp, file: FileHash, sha256: str = "") -> None:
    """Note the tree of a file in that state, and its plain hash if that was checked.

    A cache that cannot be written costs time alone.
    """
    content = {
        "path": str(path.absolute()),
        "stamp": [stamp.size, stamp.mtime_ns, stamp.inode],
        "root": file.root.hex(),
        "leaves": b"".join(file.leaves).hex(),
        "sha256": sha256,
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
