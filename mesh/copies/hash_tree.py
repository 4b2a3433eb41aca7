"""A model's hash tree as copies need it: its pieces, the place of each, and its leaf.

With the root, which the deployment names, a member can check a tree from any source, and then each piece by
itself.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from leader.model import model_hash
from leader.model.model_hash import FileHash, model_root, tree_root
from mesh.wire.errors import MeshError

HASH_BYTES: Final = 32
MAX_FILES: Final = 1000
MAX_PIECES: Final = 1 << 18  # 4 TiB; their leaves are 8 MiB


class WrongTree(MeshError):
    """A tree that is not that of the model."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes at ``offset`` of the file with index ``file``."""

    number: int
    file: int
    offset: int
    length: int
    leaf: bytes


class ModelTree:
    """All files of one model; pieces are numbered through them, in order."""

    def __init__(self, files: Sequence[FileHash]) -> None:
        self.files = tuple(files)
        self.root = model_root(self.files)
        self.size = sum(file.size for file in self.files)
        self._starts = [0, *accumulate(len(file.leaves) for file in self.files)]

    def __len__(self) -> int:
        """The number of pieces."""
        return self._starts[-1]

    def piece(self, number: int) -> Piece:
        """The piece of that number. Raises IndexError if there is none."""
        if not 0 <= number < len(self):
            raise IndexError(f"there is no piece {number}")
        index = bisect_right(self._starts, number) - 1
        file, at = self.files[index], number - self._starts[index]
        offset = at * model_hash.PIECE
        length = min(model_hash.PIECE, file.size - offset)
        return Piece(number, index, offset, length, file.leaves[at])

    def pieces(self) -> Iterator[Piece]:
        """All of them, in order."""
        return map(self.piece, range(len(self)))


def leaf_counts(sizes: Sequence[int], size: int) -> list[int]:
    """How many leaves files of these sizes have; WrongTree unless they make a model of ``size`` bytes.

    Called before leaves are received, so that no more are received than a model can have.
    """
    fits = 0 < len(sizes) <= MAX_FILES and all(type(one) is int and one > 0 for one in sizes)
    if not fits or sum(sizes) != size:
        raise WrongTree("the files are not those of the model")
    counts = [-(-one // model_hash.PIECE) for one in sizes]
    if sum(counts) > MAX_PIECES:
        raise WrongTree(f"a model of more than {MAX_PIECES} pieces cannot be copied")
    return counts


def checked_tree(sizes: Sequence[int], leaves: bytes, root: bytes, size: int) -> ModelTree:
    """The tree with these ``leaves`` (of all files, joined); WrongTree unless its root is ``root``."""
    counts = leaf_counts(sizes, size)
    if len(leaves) != sum(counts) * HASH_BYTES:
        raise WrongTree("the hash tree has not as many leaves as the model has pieces")
    every = [leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)]
    files, at = [], 0
    for one, count in zip(sizes, counts, strict=True):
        mine = tuple(every[at : at + count])
        files.append(FileHash(one, mine, tree_root(mine)))
        at += count
    tree = ModelTree(files)
    if tree.root != root:
        raise WrongTree("the hash tree is not that of the deployed model")
    return tree
