"""The state directory: the node's key, its durable writes for each pool, its settings.

Layout::

    identity.key             32 bytes of Ed25519 seed, mode 0600
    lock                     held by the one sidecar that uses this directory
    settings.json            the options of the last `mesh join`
    current                  the id of the pool this node belongs to
    evicted                  a sentence: by whom it was evicted from its last pool
    pools/<pool id>/<key>    what the protocol asked to have persisted (it survives `mesh leave`)
    invites.json peers.json models.json
    hashes/ copies/          hash trees of models; models copied from other members
    slots/                   conversations, for as long as a move takes

Each file is written to a temporary file, flushed to the disk and renamed: a crash leaves the old or the new.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mesh.control.paths import eviction_path
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, PoolId, id_text, parse_id


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by ``content`` (mode 0600); it is on the disk before this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MeshError(
            f"cannot write {path}: {error.strerror}", "free some disk space or check the permissions"
        ) from error


class StateDir:
    """One node's directory. Only one sidecar may hold it at a time (``lock``)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file: int | None = None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MeshError(
                f"cannot create {path}: {error.strerror}", "choose another with --state-dir"
            ) from error
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise MeshError(f"{path} belongs to another user", "choose another with --state-dir")
        if found.st_mode & 0o077:
            raise MeshError(
                f"others can look into {path}, where keys are kept",
                f"chmod 700 {path}, or another --state-dir",
            )

    def lock(self) -> None:
        """Hold the directory until the process ends; MeshError when another sidecar does."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MeshError(
                f"cannot write in {self.path}: {error.strerror}", "choose another directory with --state-dir"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise MeshError(
                f"another sidecar runs on {self.path}", "see it with mesh status, or use another --state-dir"
            ) from error
        self._lock_file = descriptor

    def identity(self) -> Identity:
        """The node's key, made on first use. Raises MeshError when others can read it."""
        path = self.path / "identity.key"
        if not path.exists():
            identity = Identity.generate()
            write_durably(path, identity.seed)
            return identity
        if path.stat().st_mode & 0o077:
            raise MeshError(f"others can read the key {path}", f"chmod 600 {path}")
        seed = path.read_bytes()
        if len(seed) != 32:
            raise MeshError(
                f"{path} is not a key: {len(seed)} bytes instead of 32",
                "restore it, or remove it to become a new node",
            )
        return Identity.from_seed(seed)

    # --- the pool ---------------------------------------------------------------------------------

    def current_pool(self) -> PoolId | None:
        path = self.path / "current"
        try:
            return PoolId(parse_id(path.read_text().strip()))
        except FileNotFoundError:
            return None
        except (MeshError, UnicodeDecodeError) as error:
            raise MeshError(
                f"{path} is damaged: it names no pool", f"remove it, then join again: rm {path}"
            ) from error

    def enter(self, pool: PoolId) -> None:
        self._pool_dir(pool).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self.path / "current", id_text(pool).encode())
        Path(eviction_path(str(self.path))).unlink(missing_ok=True)

    def note_expulsion(self, text: str) -> None:
        """Leave the pool and record why: commands show it until this node is in a pool again."""
        write_durably(Path(eviction_path(str(self.path))), text.encode())
        self.abandon()

    def abandon(self) -> None:
        """Leave the pool. Its durable writes stay, for a node that comes back must still honour them."""
        (self.path / "current").unlink(missing_ok=True)

    def persist(self, pool: PoolId, key: str, value: bytes) -> None:
        directory = self._pool_dir(pool)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(directory / key, value)

    def stored(self, pool: PoolId) -> Mapping[str, bytes]:
        directory = self._pool_dir(pool)
        if not directory.is_dir():
            return {}
        return {file.name: file.read_bytes() for file in directory.iterdir() if not file.name.startswith(".")}

    def _pool_dir(self, pool: PoolId) -> Path:
        return self.path / "pools" / id_text(pool)

    # --- small JSON files -------------------------------------------------------------------------

    def load(self, name: str) -> dict[str, Any]:
        """The object in ``name``.json; empty when there is none. A damaged file is set aside."""
        path = self.path / f"{name}.json"
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (ValueError, UnicodeDecodeError):
            path.replace(path.with_suffix(".damaged"))
            return {}
        return content if isinstance(content, dict) else {}

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        write_durably(self.path / f"{name}.json", json.dumps(content, indent=1).encode())

    def purge(self) -> None:
        """Remove everything, the key included."""
        shutil.rmtree(self.path, ignore_errors=True)
