"""Where things stand and what they are called: one name a thing, one test file a source, small folders.

The sources without a test file of their own stand in ``exceptions.py``: the list may only shrink.
"""

import ast
import tomllib
from collections import Counter, defaultdict
from pathlib import Path

from tests.house import exceptions
from tests.house.tree import PRODUCT, ROOT, files_of_tests, functions, name, parsed, product, sources

MOST_MODULES_OF_A_FOLDER = 20
CROWDED = "mesh/cli/commands"
"""One module for each command, however many there are."""
MOST_LINES_OF_ROOT = 700
MOST_CHARACTERS_OF_A_TEST = 80
CALLED_BY_COMMANDS = tuple(f"mesh/{package}/" for package in ("operations", "tools", "root", "runtime"))
"""What a command calls may have its name."""


def test_no_file_name_of_the_product_stands_for_two_things() -> None:
    named = defaultdict(list)
    for path in product():
        if not path.stem.startswith("__"):
            named[path.stem].append(name(path))
    twice = [stem for stem, paths in named.items() if len(paths) > 1 and not _command_and_operation(paths)]
    assert twice == []


def _command_and_operation(paths: list[str]) -> bool:
    rest = [path for path in paths if not path.startswith(f"{CROWDED}/")]
    return len(paths) == 2 and len(rest) == 1 and rest[0].startswith(CALLED_BY_COMMANDS)


def test_no_class_name_of_the_product_stands_for_two_things() -> None:
    named = Counter(
        node.name for path in product() for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)
    )
    twice = [one for one, times in named.items() if times > 1]
    assert twice == []


def test_every_package_of_the_product_introduces_itself() -> None:
    mute = [
        name(path.parent)
        for path in product()
        if path.name == "__init__.py" and not ast.get_docstring(parsed(path))
    ]
    assert mute == []


def test_no_folder_of_the_product_is_crowded() -> None:
    modules = Counter(name(path.parent) for path in product() if path.name != "__init__.py")
    crowded = {folder: count for folder, count in modules.items() if count > MOST_MODULES_OF_A_FOLDER}
    assert set(crowded) - {CROWDED} == set(), crowded


def test_the_root_only_composes() -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in _below("mesh/root"))
    assert lines <= MOST_LINES_OF_ROOT


def _below(folder: str) -> list[Path]:
    return [path for path in product() if name(path).startswith(f"{folder}/")]


def test_every_source_has_a_test_where_it_stands() -> None:
    untested = [name(path) for path in sources() if path.name != "__init__.py" and not _has_test(path)]
    assert (set(untested) - set(exceptions.WITHOUT_TEST), set(exceptions.WITHOUT_TEST) - set(untested)) == (
        set(),
        set(),
    )


def _has_test(source: Path) -> bool:
    """Beside the tests of its folder: ``test_x.py`` for ``x.py``, or ``test_x_with_y.py``."""
    folder = ROOT / "tests" / source.parent.relative_to(ROOT)
    stem = source.stem.strip("_")
    return (folder / f"test_{stem}.py").exists() or any(folder.glob(f"test_{stem}_with_*.py"))


def test_the_name_of_a_test_fits_a_line() -> None:
    long = [
        f"{name(path)} {function.name}"
        for path in files_of_tests()
        if path.name.startswith("test_")
        for function in functions(path)
        if function.name.startswith("test_") and len(function.name) > MOST_CHARACTERS_OF_A_TEST
    ]
    assert long == []


def test_the_product_is_what_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PRODUCT)
