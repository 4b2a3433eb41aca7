"""The models whose files this node holds: by root, in a small file of the state directory."""

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from leader.model.model_hash import HashError, Stamp

MAX_MODELS: Final = 64


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model on this machine; the first of ``files`` is the one to load. ``size`` in bytes, of all files."""

    name: str
    root: bytes
    size: int
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def unchanged(self) -> bool:
        """Whether the files are still those that were hashed."""
        return not self.changed()

    def changed(self) -> list[Path]:
        """The files that are not those that were hashed."""
        return [path for path, stamp in zip(self.files, self.stamps, strict=True) if _stamp(path) != stamp]


def _stamp(path: Path) -> Stamp | None:
    try:
        return Stamp.of(path)
    except HashError:
        return None


class Models:
    """The registry. A model whose files vanished or changed is not held; it is held again once they are back.

    That is so for a disk that was not mounted for a while.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._models = {model.root: model for model in _load(path)}

    def held(self) -> list[HeldModel]:
        """All models, the latest added first."""
        return [model for model in self._models.values() if model.unchanged()][::-1]

    def find(self, root: bytes) -> HeldModel | None:
        """The model of that root, if its files are unchanged."""
        model = self._models.get(root)
        return model if model is not None and model.unchanged() else None

    def lost(self, root: bytes) -> str:
        """The name of the changed or missing file because of which a known model is not held; else empty."""
        model = self._models.get(root)
        changed = [] if model is None else model.changed()
        return changed[0].name if changed else ""

    def add(self, name: str, root: bytes, files: Sequence[Path]) -> HeldModel:
        """Note a model whose files were hashed just now.

        Raises HashError if one is gone, OSError if the disk is full.
        """
        paths = tuple(path.absolute() for path in files)
        stamps = tuple(Stamp.of(path) for path in paths)
        model = HeldModel(name, root, sum(stamp.size for stamp in stamps), paths, stamps)
        with self._turn:  # a copy may end while a person serves another model
            others = [held for one, held in self._models.items() if one != root]
            models = [*others, model][-MAX_MODELS:]
            if models != list(self._models.values()):  # a full disk must not prevent serving a known model
                self._save(models)
                self._models = {held.root: held for held in models}
        return model

    def _save(self, models: Sequence[HeldModel]) -> None:
        content = [
            {
                "name": model.name,
                "root": model.root.hex(),
                "files": [
                    [str(path), stamp.size, stamp.mtime_ns, stamp.inode]
                    for path, stamp in zip(model.files, model.stamps, strict=True)
                ],
            }
            for model in models
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        with temporary.open("w") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _load(path: Path) -> list[HeldModel]:
    """The file's models; none if it is missing or damaged: models can be served again."""
    try:
        content = json.loads(path.read_bytes())
        return [_model(entry) for entry in content[-MAX_MODELS:]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _model(entry: dict[str, Any]) -> HeldModel:
    paths = tuple(Path(str(file[0])) for file in entry["files"])
    stamps = tuple(Stamp(*map(int, file[1:])) for file in entry["files"])
    root = bytes.fromhex(entry["root"])
    return HeldModel(str(entry["name"]), root, sum(stamp.size for stamp in stamps), paths, stamps)
