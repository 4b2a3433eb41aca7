"""What the rules are about: the project's own files."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("mesh", "worker", "leader")
PACKAGES = (*PRODUCT, "simulations")
SCRIPTS = ("join_pool.sh", "test.sh", "tests/gpu/run")
DOCUMENTS = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))
)


def sources() -> list[Path]:
    """The Python files of the packages."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def product() -> list[Path]:
    """Those of the packages that are installed."""
    return [path for path in sources() if path.relative_to(ROOT).parts[0] in PRODUCT]


def files_of_tests() -> list[Path]:
    """The Python files of the tests and their helpers."""
    return sorted((ROOT / "tests").rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods of a file, nested ones too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name(path: Path) -> str:
    """The path as one would type it at the root of the checkout."""
    return path.relative_to(ROOT).as_posix()
