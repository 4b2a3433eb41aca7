"""The house's own rules."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.house.tree import DOCUMENTS, ROOT, SCRIPTS, files_of_tests, functions, name, parsed, sources

MOST_LINES_OF_A_FILE = 700
"""A file has one subject; what is longer has two."""
MOST_LINES_OF_A_FUNCTION = 70
# Tests that are of no single source file: of several programs together, of the lab, of the house, of tools.
WITHOUT_ONE_SOURCE = ("tests/e2e/", "tests/lab/", "tests/house/", "tests/benchmarks/", "tests/fuzz/")
# Written apart, so that this file does not break the rule it states.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")


def test_every_file_has_one_subject_and_at_most_700_lines() -> None:
    lengths = {
        name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*sources(), *files_of_tests()]
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_every_function_fits_a_screen() -> None:
    long = [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in [*sources(), *files_of_tests()]
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_every_test_stands_where_its_source_stands() -> None:
    astray = [
        name(path) for path in files_of_tests() if path.name.startswith("test_") and not _source_exists(path)
    ]
    assert astray == []


def _source_exists(test: Path) -> bool:
    """Beside a source ``x.py``: ``test_x.py``, for ``__main__.py`` ``test_main.py``, and ``test_x_with_y.py``
    where the real y takes part. A helper of the tests has its own test beside it.
    """
    if name(test).startswith(WITHOUT_ONE_SOURCE):
        return True
    stem = test.stem.removeprefix("test_").partition("_with_")[0]
    folder = ROOT / test.parent.relative_to(ROOT / "tests")
    names = (f"{stem}.py", f"__{stem}__.py", f"{stem}.sh")
    beside = (test.with_name(f"{stem}.py"), test.with_name(stem))  # a script has no ending
    return any((folder / one).exists() for one in names) or any(path.is_file() for path in beside)


def test_no_test_sleeps_by_the_clock() -> None:
    assert [place for path in files_of_tests() for place in _sleeps(path)] == []


def _sleeps(path: Path) -> list[str]:
    places = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute | ast.ImportFrom):
            words = ast.unparse(node).split()
            if words == ["time.sleep"] or (words[:2] == ["from", "time"] and "sleep" in words):
                places.append(f"{name(path)}:{node.lineno}")
    return places


def test_nothing_is_marked_as_unfinished() -> None:
    files = [*sources(), *files_of_tests(), *(ROOT / file for file in (*SCRIPTS, *DOCUMENTS))]
    marked = [name(path) for path in files if UNFINISHED.search(path.read_text(encoding="utf-8"))]
    assert marked == []


def test_every_module_says_what_it_is_for() -> None:
    mute = [
        name(path)
        for path in sources()
        if path.name != "__init__.py" and parsed(path).body and not ast.get_docstring(parsed(path))
    ]
    assert mute == []


def test_the_gate_asked_for_help_says_what_there_is_and_starts_nothing() -> None:
    result = subprocess.run(
        ["bash", "test.sh", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == ""
    assert {"--fast", "--coverage", "--help"} <= set(result.stdout.split())


def test_asking_for_the_status_loads_neither_trio_nor_numpy_nor_tls(tmp_path: Path) -> None:
    program = (
        "import sys; from mesh.cli.main import main; code = main(['status', '--json']);"
        "heavy = {'trio', 'numpy', 'ssl', 'cryptography', 'httpx'} & set(sys.modules);"
        "print(code, *sorted(heavy), file=sys.stderr)"
    )
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.stderr.split() == ["3"]
