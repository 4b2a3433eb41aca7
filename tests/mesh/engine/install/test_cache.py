from pathlib import Path

import pytest

from mesh.engine.install import pins
from mesh.engine.install.cache import (
    cache_dir,
    engine_dir,
    find_built,
    processor_identity,
    read_marker,
    settings_hash,
    write_atomically,
    write_marker,
)
from mesh.engine.types import Engine

FLAGS = ("-DX=1",)


def finished(cache: Path, *, compiler: str = "gcc 12", flags: tuple[str, ...] = FLAGS) -> Engine:
    settings = settings_hash(flags, processor_identity())
    directory = engine_dir(cache, "cpu", settings, compiler)
    directory.mkdir(parents=True)
    for name in ("llama-server", "ggml-rpc-server"):
        (directory / name).write_text("program")
        (directory / name).chmod(0o755)
    engine = Engine(
        directory / "llama-server",
        directory / "ggml-rpc-server",
        pins.COMMIT,
        pins.RPC_VERSION,
        "cpu",
        "built",
    )
    write_marker(directory, engine, settings, compiler)
    return engine


def test_the_place_can_be_chosen(tmp_path: Path) -> None:
    assert cache_dir({"MESH_CACHE_DIR": str(tmp_path)}) == tmp_path
    assert cache_dir({}).name == "frankenstein-mesh"


def test_a_finished_engine_is_found_whatever_compiler_built_it(tmp_path: Path) -> None:
    engine = finished(tmp_path, compiler="zig")
    assert find_built(tmp_path, "cpu", FLAGS) == engine


def test_an_engine_of_other_flags_or_another_backend_is_not(tmp_path: Path) -> None:
    finished(tmp_path)
    assert find_built(tmp_path, "cpu", ("-DX=2",)) is None
    assert find_built(tmp_path, "cuda", FLAGS) is None


def test_an_engine_that_is_not_finished_is_not_found(tmp_path: Path) -> None:
    engine = finished(tmp_path)
    (engine.llama_server.parent / "engine.json").unlink()
    assert find_built(tmp_path, "cpu", FLAGS) is None


@pytest.mark.parametrize("damage", ["cut", "gone", "not executable"])
def test_a_damaged_engine_is_not_found(tmp_path: Path, damage: str) -> None:
    program = finished(tmp_path).rpc_server
    if damage == "cut":
        program.write_text("prog")
    elif damage == "gone":
        program.unlink()
    else:
        program.chmod(0o644)
    assert find_built(tmp_path, "cpu", FLAGS) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", '{"settings": 1, "sizes": []}', '{"settings": "s", "sizes": 3}']
)
def test_a_marker_that_is_none_is_no_engine(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.json").write_text(text)
    assert read_marker(tmp_path, "s") is None


def test_each_processor_has_engines_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("processor : 0\nflags\t\t: sse avx2\n")
    other.write_text("processor : 0\nflags\t\t: avx512f sse avx2\n")
    same = tmp_path / "same"
    same.write_text("processor : 7\nflags\t\t: avx2 sse\n")
    assert processor_identity(one) != processor_identity(other)
    assert processor_identity(one) == processor_identity(same)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", "one")
    write_atomically(tmp_path / "x", "two")
    assert (tmp_path / "x").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1
