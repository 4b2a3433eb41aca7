"""The shape of a model that another member holds: the beginnings of its files, fetched, read and deleted.

What is read is verified like a copy: the tree against the model's root, each piece against its leaf.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

import trio

from leader.model import model_hash
from leader.model.gguf_reader import ShortHeader
from leader.model.model_info import ModelInfo
from leader.model.model_names import file_names
from leader.placement.reading import read_header, read_headers
from mesh.copies.copy_source import CopySource, NoSource, WrongData
from mesh.copies.copy_store import new_leaf
from mesh.copies.hash_tree import ModelTree
from mesh.net.session import StreamError
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId
from mesh.wire.profile import Model

ANSWER_SECONDS: Final = 5.0
"""Seconds that a holder has to answer and to give the tree."""

HEADER_SECONDS: Final = 60.0
"""Seconds that the beginnings may take: the pieces are paced like any copy."""

MAX_HOLDERS: Final = 4
"""Holders that are asked, one after another, so that a person is told soon that none answers."""

MAX_HEADERS: Final = 64 << 20
"""Bytes that are fetched at most. The largest known vocabularies take some 20 MB."""


async def fetch_shape(
    streams: Streams, model: Model, holders: Mapping[NodeId, Sequence[Endpoint]], names: Mapping[NodeId, str]
) -> ModelInfo:
    """The model's shape, from the first of the holders that gives it.

    Exact where its files begin within `MAX_HEADERS`, a piece each at least; of a model of more files an
    estimate by the first one. Raises MeshError, with what each holder said, where none gives it, and for a
    file that is no model.
    """
    said = []
    for holder, endpoints in islice(holders.items(), MAX_HOLDERS):
        name = names[holder]
        try:
            with trio.fail_after(HEADER_SECONDS):
                return await _fetch_from(streams, model, holder, endpoints)
        except (StreamError, DecodeError, WrongData, NoSource) as error:
            said.append(f"{name}: {error.message if isinstance(error, MeshError) else error}")
        except trio.TooSlowError:
            said.append(f"{name} is too slow")
    raise MeshError(
        f"no machine gives the header of {model.name} ({'; '.join(said) or 'none that holds it is alive'})",
        "try again, or serve it on a machine that holds it",
    )


async def _fetch_from(
    streams: Streams, model: Model, holder: NodeId, endpoints: Sequence[Endpoint]
) -> ModelInfo:
    with trio.fail_after(ANSWER_SECONDS):
        source = await CopySource.open(streams, model, holder, endpoints)
    async with aclosing(source):
        with trio.fail_after(ANSWER_SECONDS):
            tree = await source.tree()
        with tempfile.TemporaryDirectory(prefix="mesh-header-") as folder:
            return await _Beginnings(source, tree, model, Path(folder)).read()


class _Beginnings:
    """The first pieces of a model's files, in a folder."""

    def __init__(self, source: CopySource, tree: ModelTree, model: Model, folder: Path) -> None:
        self._source = source
        self._tree = tree
        self._size = model.size
        self._paths = [folder / name for name in file_names(model.name, len(tree.files))]
        self._left = MAX_HEADERS
        counts = [len(file.leaves) for file in tree.files]
        self._ends = list(accumulate(counts))
        self._next = [end - count for end, count in zip(self._ends, counts, strict=True)]

    async def read(self) -> ModelInfo:
        """Fetch a piece of each file, and more of all whose headers are longer, until they can be read."""
        whole = len(self._tree.files) * model_hash.PIECE <= MAX_HEADERS
        files = range(len(self._tree.files) if whole else 1)
        sizes = [file.size for file in self._tree.files]
        while True:
            fetched = [await self._fetch_next(file) for file in files]
            try:
                if whole:
                    return await trio.to_thread.run_sync(read_headers, self._paths[0], sizes)
                return await trio.to_thread.run_sync(read_header, self._paths[0], self._size)
            except ShortHeader:
                if not any(fetched):
                    raise MeshError("its header is longer than any known model's") from None

    async def _fetch_next(self, file: int) -> bool:
        """Append the file's next piece, if it has one and the bound allows it."""
        if self._next[file] == self._ends[file]:
            return False
        piece = self._tree.piece(self._next[file])
        if piece.length > self._left:
            return False
        self._next[file] += 1
        self._left -= piece.length
        await self._source.request(piece)
        digest, content = new_leaf(), bytearray()
        while len(content) < piece.length:
            chunk = await self._source.chunk(piece.length - len(content))
            digest.update(chunk)
            content += chunk
        if digest.digest() != piece.leaf:
            raise WrongData(f"piece {piece.number} is not the model's")
        await trio.to_thread.run_sync(_append, self._paths[file], content)
        return True


def _append(path: Path, content: bytearray) -> None:
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise MeshError(f"{path}: {error.strerror or error}", "free some disk space") from error
