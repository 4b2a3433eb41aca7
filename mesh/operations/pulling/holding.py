"""Making a model one that this machine holds: its files are hashed, and checked if their hashes are known."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import trio

from leader.model.model_hash import hash_model
from leader.model.model_info import ModelInfo
from leader.model.model_names import file_names, told_name
from mesh.control.operations import ProgressEvent
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent
from mesh.wire.errors import MeshError
from mesh.wire.profile import Model
from mesh.wire.recent_rate import RecentRate

TELL_SECONDS: Final = 0.5

T = TypeVar("T")

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class ReadingPace:
    """How fast bytes are read, over the last seconds."""

    def __init__(self) -> None:
        self._rate = RecentRate()

    def event(self, text: str, done: int, total: int) -> ProgressEvent:
        """What a waiting person is told at this moment."""
        event: ProgressEvent = {"text": text, "progress": done / max(total, 1), "done": done, "total": total}
        if rate := self._rate.see(trio.current_time(), done):
            event["rate"], event["eta_seconds"] = rate, (total - done) / rate
        return event


def pool_name_of(model_info: ModelInfo) -> str:
    """What the pool calls a model by its first file. Raises MeshError for what no copy could be called."""
    name = told_name(model_info.files[0].name)
    file_names(name, len(model_info.files))
    return name


def checked_hashes(sha256: Sequence[str], count: int) -> list[str]:
    """The hashes of ``count`` files in lower case; none may be given. Raises MeshError for what are none."""
    hashes = [one.lower() for one in sha256]
    if hashes and len(hashes) != count:
        raise MeshError(f"{len(hashes)} SHA-256 were given for {count} files", "give one for each file")
    for one in hashes:
        if one and not _SHA256.fullmatch(one):
            raise MeshError(f"{one[:80]!a} is no SHA-256", "it has 64 hexadecimal digits")
    return hashes


async def hash_told(pool: Stay, model_info: ModelInfo, sha256: Sequence[str], emit: EmitEvent) -> Model:
    """The same as `hash_files`, of the files of a model."""
    name = pool_name_of(model_info)
    return await hash_files(pool, name, model_info.files, model_info.total_bytes, sha256, emit)


async def hash_files(
    pool: Stay, name: str, files: Sequence[Path], size: int, sha256: Sequence[str], emit: EmitEvent
) -> Model:
    """Read the files once to name them by their hash tree; afterwards their stamps suffice.

    ``size`` is in bytes, of all together. Raises HashError; WrongHash where a file has not the hash that
    ``sha256`` tells.
    """
    hashes = checked_hashes(sha256, len(files))
    latest, pace = (0, size), ReadingPace()

    def report(read: int, total: int) -> None:
        nonlocal latest
        latest = (read, total)

    async def tell() -> None:
        await emit(pace.event(f"reading {files[0].name}", *latest))

    cache = pool.machine.state.path / "hashes"
    root, _ = await while_telling(tell, TELL_SECONDS, lambda: hash_model(files, cache, report, hashes))
    return Model(name, size, root)


async def while_telling(
    tell: Callable[[], Awaitable[None]], pause: float, work: Callable[[], Awaitable[T]]
) -> T:
    """What ``work`` returns; ``tell`` is called after each ``pause`` seconds until then.

    Raises the MeshError of ``work``.
    """
    result: T | MeshError

    async def telling() -> None:
        while True:
            await trio.sleep(pause)
            await tell()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(telling)
        try:
            result = await work()
        except MeshError as error:
            result = error  # the nursery would wrap it
        nursery.cancel_scope.cancel()
    if isinstance(result, MeshError):
        raise result
    return result


async def note_held(pool: Stay, model: Model, files: Sequence[Path]) -> None:
    """Note that this machine holds the files, which were hashed just now, and tell the pool."""
    try:
        await trio.to_thread.run_sync(pool.models.add, model.name, model.root, files)
    except OSError as error:
        raise MeshError(f"cannot note the model: {error.strerror}", "free some disk space") from error
    pool.machine.changes.notify()


async def hold(pool: Stay, model_info: ModelInfo, sha256: Sequence[str], emit: EmitEvent) -> Model:
    """Hash the model's files and note that this machine holds it."""
    model = await hash_told(pool, model_info, sha256, emit)
    await note_held(pool, model, model_info.files)
    return model
