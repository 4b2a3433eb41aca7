"""Copies of models on this machine's disk, whole ones and partial ones.

::

    <folder>/<root>/             a whole copy: its files, by the names that the engine wants
    <folder>/<root>.part/        a partial copy: files with holes
        .tree                    the model's hash tree, checked against its root when it is read
        .pieces                  the numbers of verified pieces, 4 bytes each, in the order of their arrival

A piece's number is recorded once all of it is in the file. A crash of the process loses nothing. A crash of
the machine may, so a resumed copy reads the recorded pieces again and keeps those that are right. Everything
here blocks.
"""

import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import msgpack

from leader.model import model_hash
from leader.model.model_hash import CHUNK
from leader.model.model_names import file_names
from mesh.copies.hash_tree import HASH_BYTES, ModelTree, Piece, WrongTree, checked_tree
from mesh.wire.errors import MeshError

TREE: Final = ".tree"
LOG: Final = ".pieces"
PART: Final = ".part"
_NUMBER: Final = struct.Struct("<I")


class StoreError(MeshError):
    """The disk fails to store or return what it should."""


class Digest(Protocol):
    """Hashes a piece while it arrives."""

    def update(self, data: bytes, /) -> None:
        """Add more bytes."""

    def digest(self) -> bytes:
        """The leaf of the bytes so far."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A copy on the disk; ``size`` is its space there, in bytes."""

    root: bytes
    name: str
    size: int
    whole: bool
    path: Path


class PartialCopy:
    """A copy in the making. Several threads may write pieces, each piece by one."""

    def __init__(self, folder: Path, tree: ModelTree, name: str) -> None:
        """Resume the copy in ``folder``, or begin it. Raises StoreError.

        No piece counts as present until ``recheck`` has read it.
        """
        self.tree = tree
        self.done = 0
        self.missing = set(range(len(tree)))
        self._folder = folder
        self._paths = [folder / file for file in file_names(name, len(tree.files))]
        self._files: list[int] = []
        self._log = -1
        self._turn = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_tree(folder / TREE, tree)
            for path, file in zip(self._paths, tree.files, strict=True):
                self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                os.ftruncate(self._files[-1], file.size)
            self._log = os.open(folder / LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self.close()
            raise _store_error(folder, error) from error

    def recheck(self, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Count the recorded pieces that are right; returns early when ``abandoned``. Raises StoreError."""
        try:
            log = os.pread(self._log, _NUMBER.size * 2 * len(self.tree), 0)
            recorded = {number for (number,) in _NUMBER.iter_unpack(log[: len(log) // 4 * 4])}
            for number in sorted(recorded & self.missing):
                if abandoned():
                    return
                piece = self.tree.piece(number)
                if self._hash(piece) == piece.leaf:
                    self._count(piece)
            self._rewrite_log()
        except OSError as error:
            raise _store_error(self._folder, error) from error

    def write(self, piece: Piece, at: int, data: bytes, digest: Digest) -> None:
        """Write bytes of a piece, ``at`` from its beginning, and add them to ``digest``.

        Raises StoreError.
        """
        digest.update(data)
        try:
            view, offset = memoryview(data), piece.offset + at
            while view:
                count = os.pwrite(self._files[piece.file], view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise _store_error(self._folder, error) from error

    def commit(self, piece: Piece) -> None:
        """Record a piece that is in its file and verified. Raises StoreError."""
        with self._turn:
            if piece.number in self.missing:
                try:
                    os.write(self._log, _NUMBER.pack(piece.number))
                except OSError as error:
                    raise _store_error(self._folder, error) from error
                self._count(piece)

    def finish(self) -> tuple[Path, ...]:
        """Move a complete copy to its place, flushed to the disk; return its files. Raises StoreError."""
        assert not self.missing, "a copy is whole when no piece is missing"
        whole = self._folder.with_name(self._folder.name.removesuffix(PART))
        try:
            for file in self._files:
                os.fsync(file)
            self.close()
            if whole.exists():
                shutil.rmtree(whole)
            self._folder.rename(whole)
        except OSError as error:
            raise _store_error(self._folder, error) from error
        return tuple(whole / path.name for path in self._paths)

    def close(self) -> None:
        """Close the files; may be called twice."""
        for descriptor in [*self._files, *([self._log] if self._log >= 0 else [])]:
            os.close(descriptor)
        self._files, self._log = [], -1

    def _count(self, piece: Piece) -> None:
        self.missing.discard(piece.number)
        self.done += piece.length

    def _hash(self, piece: Piece) -> bytes:
        digest = new_leaf()
        at, end = piece.offset, piece.offset + piece.length
        while at < end:
            chunk = os.pread(self._files[piece.file], min(CHUNK, end - at), at)
            if not chunk:
                return b""
            digest.update(chunk)
            at += len(chunk)
        return digest.digest()

    def _rewrite_log(self) -> None:
        """Keep only right pieces recorded, so that the log does not grow from one try to the next."""
        there = sorted(set(range(len(self.tree))) - self.missing)
        os.ftruncate(self._log, 0)
        os.write(self._log, b"".join(map(_NUMBER.pack, there)))


class CopyStore:
    """The folder of this machine's copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def free(self) -> int:
        """Bytes that are free for this user on the disk of the copies. Raises StoreError."""
        place = self.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            return shutil.disk_usage(place).free
        except OSError as error:
            raise _store_error(place, error) from error

    def tree(self, root: bytes, size: int) -> ModelTree | None:
        """The tree that was kept with a copy, if it is that root's."""
        for folder in (self._part(root), self._whole(root)):
            try:
                sizes, leaves = msgpack.unpackb((folder / TREE).read_bytes())
                return checked_tree(sizes, leaves, root, size)
            except (OSError, ValueError, TypeError, WrongTree):
                continue
        return None

    def recorded(self, root: bytes) -> int:
        """Bytes of a partial copy, estimated from the number of recorded pieces."""
        try:
            pieces = (self._part(root) / LOG).stat().st_size // _NUMBER.size
        except OSError:
            return 0
        return pieces * model_hash.PIECE

    def open(self, tree: ModelTree, name: str) -> PartialCopy:
        """Begin a copy, or resume it. Raises StoreError.

        A whole copy that this node no longer holds (its files changed, or the process ended before it
        recorded them) is checked again like a partial one.
        """
        part, whole = self._part(tree.root), self._whole(tree.root)
        try:
            if whole.exists() and not part.exists():
                whole.rename(part)
        except OSError as error:
            raise _store_error(whole, error) from error
        return PartialCopy(part, tree, name)

    def stored(self) -> list[Stored]:
        """All copies, whole or partial. Raises StoreError."""
        found = []
        try:
            for path in sorted(self.folder.iterdir()) if self.folder.exists() else ():
                text = path.name.removesuffix(PART)
                if len(text) == 2 * HASH_BYTES and path.is_dir():
                    files = [file for file in path.iterdir() if file.is_file()]
                    names = sorted(file.name for file in files if file.name not in (TREE, LOG))
                    size = sum(file.stat().st_blocks * 512 for file in files)
                    whole = not path.name.endswith(PART)
                    found.append(Stored(bytes.fromhex(text), names[0] if names else "", size, whole, path))
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot look into {self.folder}: {error}") from error
        return found

    def prune(self, kept: Callable[[Stored], bool]) -> list[Stored]:
        """Remove the copies that are not ``kept``; return those removed. Raises StoreError."""
        gone = [stored for stored in self.stored() if not kept(stored)]
        for stored in gone:
            try:
                shutil.rmtree(stored.path)
            except OSError as error:
                raise StoreError(f"cannot remove {stored.path}: {error.strerror or error}") from error
        return gone

    def _whole(self, root: bytes) -> Path:
        return self.folder / root.hex()

    def _part(self, root: bytes) -> Path:
        return self.folder / (root.hex() + PART)


def new_leaf() -> Digest:
    """Hashes one piece to its leaf, as `leader.model.model_hash.leaf` does in one go."""
    return sha256(b"\x00")


def within(files: Iterable[Path], folder: Path) -> bool:
    """Whether these files are those of the copy in ``folder``."""
    return all(file.parent == folder for file in files)


def _write_tree(path: Path, tree: ModelTree) -> None:
    sizes: Sequence[int] = [file.size for file in tree.files]
    content = msgpack.packb([sizes, b"".join(leaf for file in tree.files for leaf in file.leaves)])
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _store_error(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path.parent}: {error.strerror or error}", "free some disk space")
