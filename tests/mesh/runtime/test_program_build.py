import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mesh.runtime.program_build import MAX_BUILD, PACKAGES, build, digest, digest_of, version
from tests.house.tree import ROOT


def program(folder: Path) -> Path:
    """A small program with the packages' names."""
    for package in PACKAGES:
        (folder / package / "inner").mkdir(parents=True)
        (folder / package / "inner" / "one.py").write_text(f"name = {package!r}\n")
    return folder


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert version() == project["project"]["version"]


def test_a_build_names_the_version_and_fits_a_record() -> None:
    assert build() == f"{version()}+{digest_of(str(ROOT))}"
    assert digest() == digest_of(str(ROOT))
    assert len(build().encode()) <= MAX_BUILD


def test_a_long_version_is_cut_and_the_digest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mesh.runtime.program_build.version", lambda: "1.2.3.post4+a.long.local.version.of.somebody"
    )
    build.cache_clear()
    try:
        assert len(build()) == MAX_BUILD
        assert build().endswith(f"+{digest()}")
    finally:
        build.cache_clear()


def test_the_same_sources_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    assert digest_of(str(program(tmp_path / "a"))) == digest_of(str(program(tmp_path / "b")))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_changed_a_renamed_and_an_added_source_are_another_build(tmp_path: Path, package: str) -> None:
    file = program(tmp_path) / package / "inner" / "one.py"
    digests = [digest_of(str(tmp_path))]
    file.write_text("name = 'other'\n")
    digests.append(digest_of(str(tmp_path)))
    file.rename(file.with_name("two.py"))
    digests.append(digest_of(str(tmp_path)))
    file.write_text("")
    digests.append(digest_of(str(tmp_path)))
    assert len(set(digests)) == 4


def test_what_is_no_source_and_a_source_that_goes_away_are_left_out(tmp_path: Path) -> None:
    before = digest_of(str(program(tmp_path)))
    (tmp_path / "mesh" / "page.html").write_text("changed")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("changed")
    (tmp_path / "mesh" / "gone.py").symlink_to(tmp_path / "nowhere")
    assert digest_of(str(tmp_path)) == before


def test_asking_for_the_digest_loads_nothing_slow() -> None:
    slow = ["importlib.metadata", "trio", "pathlib"]
    asking = "import sys; from mesh.runtime.program_build import digest; digest(); "
    code = asking + f"print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
