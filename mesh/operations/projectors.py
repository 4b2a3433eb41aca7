"""The file by which a model reads pictures: given, held by the pool, or downloaded beside the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import trio

from leader.model.model_names import file_names, told_name
from leader.model.projector import refuse_no_projector
from mesh.hub.quantisations import Variant, projector_for, projectors
from mesh.hub.repository import HubFile
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent
from mesh.operations.pulling.held_elsewhere import model_held_by, root_of
from mesh.operations.pulling.holding import hash_files, note_held
from mesh.wire.errors import MeshError
from mesh.wire.profile import Model

MAX_BESIDE = 256
"""Files of a folder that are looked at."""


@dataclass(frozen=True, slots=True)
class Projector:
    """A projector of ``size`` bytes: a file here, or one that others hold."""

    size: int
    path: Path | None = None
    elsewhere: Model | None = None

    async def held(self, pool: Stay, sha256: str, emit: EmitEvent) -> Model:
        """The file as the pool knows it; one that is here is hashed, and noted as held. Raises MeshError."""
        if self.elsewhere is not None:
            return self.elsewhere
        assert self.path is not None
        name = told_name(self.path.name)
        hashes = [sha256] if sha256 else []
        model = await hash_files(pool, name, [self.path], self.size, hashes, emit)
        await note_held(pool, model, [self.path])
        return model


async def projector_meant(pool: Stay, asked: Mapping[str, Any], beside: Sequence[Path]) -> Projector | None:
    """The projector that is asked for: ``projector``, a path, or ``projector_held``, a root in hex.

    Where neither is there, the one that the hub's cache holds beside the model's files, if any: they were
    downloaded together. Raises MeshError for a file that is none.
    """
    if root := asked.get("projector_held"):
        return await _held(pool, root_of(root))
    path = asked.get("projector")
    if path is None:
        return await trio.to_thread.run_sync(_downloaded_with, tuple(beside))
    return await trio.to_thread.run_sync(projector_in, Path(path)) if path else None


async def _held(pool: Stay, root: bytes) -> Projector:
    held = await trio.to_thread.run_sync(pool.models.find, root)
    if held is not None:
        return await trio.to_thread.run_sync(projector_in, held.files[0])
    for member in pool.node.members():
        if (model := model_held_by(member, root)) is not None:
            return Projector(model.size, elsewhere=model)
    raise MeshError("no machine that is alive holds that projector", "see who holds what: mesh models")


def projector_in(path: Path) -> Projector:
    """The projector in that file. Raises GgufError for one that is none. Blocks."""
    refuse_no_projector(path)
    file_names(told_name(path.name), 1)  # refuses what no machine could keep a copy of
    return Projector(path.stat().st_size, path)


def _downloaded_with(files: Sequence[Path]) -> Projector | None:
    """What the hub's cache has beside these files, in the same snapshot of their repository."""
    snapshot = next((folder for file in files[:1] for folder in file.parents if _is_snapshot(folder)), None)
    if snapshot is None:
        return None
    there = islice(snapshot.rglob("*.gguf"), MAX_BESIDE)
    found = projectors(HubFile(str(path.relative_to(snapshot)), 0) for path in there)
    model = Variant("", tuple(HubFile(str(file.relative_to(snapshot)), 0) for file in files))
    chosen = projector_for(model, found)
    return None if chosen is None else projector_in(snapshot / chosen.path)


def _is_snapshot(folder: Path) -> bool:
    """Whether it is one of a repository, as the hub's library lays them out."""
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
