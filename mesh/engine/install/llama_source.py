"""llama.cpp's source: the pinned distribution, fetched once and unpacked without what no build reads."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import trio

from mesh.engine.engine_errors import EngineError, NotFetched
from mesh.engine.install import pins
from mesh.engine.install.archives import unpack_tar
from mesh.engine.install.package_index import (
    IndexFile,
    download,
    index_url,
    list_files,
    open_client,
    sha256_of,
)

_UNUSED = frozenset({"models", "docs", "media", "benches", "tests", "gguf-py", ".devops", ".github"})


async def fetch_sdist(cache: Path, report: Callable[[int, int | None], None]) -> Path:
    """The checked source distribution; a file that a person put at this place needs no network."""
    target = cache / "downloads" / pins.SDIST_NAME
    if target.exists():
        if await trio.to_thread.run_sync(sha256_of, target) == pins.SDIST_SHA256:
            return target
        target.unlink()
    try:
        async with open_client() as client:
            files = await list_files(client, index_url(), pins.SDIST_PROJECT)
            file = choose_sdist(files)
            await download(client, file, target, report)
    except EngineError as error:
        raise type(error)(
            f"llama.cpp's source cannot be fetched: {error.message}",
            f"{error.hint}; or put {pins.SDIST_NAME} at {target}; or install llama.cpp yourself and set "
            "MESH_LLAMA_DIR to the folder of its programs",
        ) from error
    return target


def choose_sdist(files: list[IndexFile]) -> IndexFile:
    """The pinned distribution among an index's files, with the pinned checksum, whatever the index says."""
    for file in files:
        if file.name == pins.SDIST_NAME:
            return IndexFile(file.name, file.url, pins.SDIST_SHA256, pins.SDIST_SIZE)
    raise NotFetched(f"the package index has no {pins.SDIST_NAME}", "use another index with PIP_INDEX_URL")


async def unpack_source(sdist: Path, target: Path) -> None:
    """Make ``target`` llama.cpp's source tree: the whole tree or nothing."""
    await trio.to_thread.run_sync(unpack_tar, sdist, pins.SOURCE_PREFIX, target, is_needed)


def is_needed(path: PurePosixPath) -> bool:
    """Whether a build of the two programs reads this file of the source tree."""
    return path.parts[0] not in _UNUSED
