"""Models as people merge them: layers of a model stacked, and files by the engine's own tool."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import gguf

from tests.oracle.build import Oracle

_BLOCK = re.compile(r"^blk\.(\d+)\.")
_TOOL_SECONDS = 60.0


def stack(source: Path, target: Path, layers: Sequence[int]) -> Path:
    """Make ``target`` the model ``source`` with these of its layers in this order: a passthrough merge."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = len(layers) if name.endswith(".block_count") else field.contents()
        kinds = field.types
        writer.add_key_value(name, value, kinds[0], kinds[-1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        block = _BLOCK.match(tensor.name)
        places = [place for place, layer in enumerate(layers) if block and int(block[1]) == layer]
        for name in (
            [_BLOCK.sub(f"blk.{place}.", tensor.name) for place in places] if block else [tensor.name]
        ):
            writer.add_tensor(name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def split(oracle: Oracle, model: Path, folder: Path, tensors: int) -> list[Path]:
    """The parts that the engine's tool makes of ``model``, of so many tensors each."""
    folder.mkdir()
    _run(oracle, "--split", "--split-max-tensors", str(tensors), str(model), str(folder / "part"))
    return sorted(folder.glob("*.gguf"))


def merge(oracle: Oracle, first: Path, target: Path) -> Path:
    """The file that the engine's tool makes of a model's parts."""
    _run(oracle, "--merge", str(first), str(target))
    return target


def _run(oracle: Oracle, *arguments: str) -> None:
    argv = [str(oracle.gguf_split), *arguments]
    done = subprocess.run(argv, capture_output=True, timeout=_TOOL_SECONDS, check=False, text=True)
    assert done.returncode == 0, done.stderr
