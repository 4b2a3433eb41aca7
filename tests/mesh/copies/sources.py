"""Holders of a model for tests: an honest one, and one that does as the test says; both over real streams."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from leader.model.held_models import Models
from leader.model.model_hash import hash_files
from mesh.copies.copy_server import BLOCK, CopyServer
from mesh.copies.hash_tree import ModelTree
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.wire.identity import NodeId
from mesh.wire.profile import Model
from tests.mesh.machines import Here


@dataclass(frozen=True)
class Weights:
    """A model on the disk."""

    model: Model
    files: tuple[Path, ...]
    contents: tuple[bytes, ...]
    tree: ModelTree


def weights(folder: Path, *contents: bytes, name: str = "toy.gguf") -> Weights:
    """A model with these files, whose pieces are as large as `leader.model.model_hash` says."""
    files = []
    for number, content in enumerate(contents):
        files.append(folder / f"weights-{number}")
        files[-1].write_bytes(content)
    tree = ModelTree(hash_files(files))
    return Weights(Model(name, tree.size, tree.root), tuple(files), contents, tree)


def honest(
    here: Here, weights: Weights, may_copy: Callable[[NodeId], bool] = lambda peer: True
) -> CopyServer:
    """Let the machine hold the model and serve it."""
    models = Models(here.state.path / "models.json")
    models.add(weights.model.name, weights.model.root, weights.files)
    serving = CopyServer(may_copy, dict, models, here.state.path / "hashes")
    here.handlers[StreamKind.COPY] = serving.handle
    return serving


def _open() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@dataclass
class Scripted:
    """A holder whose answers may be wrong. ``change`` alters what it gives of a piece, by its number;
    ``before`` is called with the number of each piece that is asked for, and may end the stream; no piece is
    given before ``hold`` is set.
    """

    weights: Weights
    change: Callable[[int, bytes], bytes] = lambda number, data: data
    before: Callable[[int, Session], None] = lambda number, session: None
    leaves: bytes | None = None
    hold: trio.Event = field(default_factory=_open)
    asked: list[int] = field(default_factory=list)
    trees: int = 0
    open: int = 0

    def at(self, here: Here) -> "Scripted":
        here.handlers[StreamKind.COPY] = self.handle
        return self

    async def handle(self, session: Session) -> None:
        self.open += 1
        tree = self.weights.tree
        await session.send_message({"ok": True, "sizes": [file.size for file in tree.files]})
        while True:
            request = await session.receive_message()
            if request == {"tree": True}:
                self.trees += 1
                every = b"".join(leaf for file in tree.files for leaf in file.leaves)
                await session.send_message(every if self.leaves is None else self.leaves)
                continue
            number = request["piece"]
            self.asked.append(number)
            self.before(number, session)
            await self.hold.wait()
            piece = tree.piece(number)
            data = self.weights.contents[piece.file][piece.offset : piece.offset + piece.length]
            data = self.change(number, data)
            for at in range(0, len(data), BLOCK):
                await session.send_message(data[at : at + BLOCK])
            await trio.lowlevel.checkpoint()
