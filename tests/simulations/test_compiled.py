from pathlib import Path

import pytest

from mesh.wire.errors import MeshError
from simulations import compiled


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A tree as small as can be."""
    for package in ("mesh/wire", "mesh/protocol", "worker", "leader", "simulations/measures"):
        (tmp_path / "sources" / package).mkdir(parents=True)
    (tmp_path / "sources/mesh/wire/codec.py").write_text("MOST = 1\n")
    (tmp_path / "sources/mesh/wire/facts.py").write_text("")
    (tmp_path / "sources/mesh/wire/__init__.py").write_text("")
    return tmp_path / "sources"


def test_all_that_is_named_exists_but_what_mypyc_cannot_take_is_left_plain() -> None:
    modules = compiled.modules(compiled.ROOT)
    assert {"mesh/wire/codec.py", "mesh/protocol/node/node.py", "simulations/world.py"} <= set(modules)
    assert not {"mesh/wire/facts.py", "mesh/wire/__init__.py"} & set(modules)
    assert all((compiled.ROOT / module).is_file() for module in modules)


def test_a_build_is_named_by_all_its_sources(sources: Path) -> None:
    before = compiled.name_of(sources)
    assert compiled.name_of(sources) == before
    (sources / "leader/cost.py").write_text("")
    assert compiled.name_of(sources) != before


def test_what_is_built_already_is_not_built_again(sources: Path, tmp_path: Path) -> None:
    built = tmp_path / "cache" / compiled.name_of(sources)
    built.mkdir(parents=True)
    assert compiled.build(sources, tmp_path / "cache") == built
    assert list(built.iterdir()) == []


def test_what_cannot_be_compiled_is_said_and_leaves_nothing(sources: Path, tmp_path: Path) -> None:
    (sources / "mesh/wire/codec.py").write_text("def broken(:\n")
    with pytest.raises(MeshError, match="could not be compiled"):
        compiled.build(sources, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
