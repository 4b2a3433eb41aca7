"""What documents repeat of the code: packages' docstrings, tables of transitions, settings, bounds, fields.

A document marks such a part by ``<!-- made from the code: PART -->`` and ``<!-- end -->``. ``python -m
tests.house.pages`` writes all of them anew; tests.house.test_documents holds that they are current.
"""

import ast
import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from mesh.protocol.base.settings import Settings
from mesh.protocol.base.transitions import markdown
from tests.house import wire_fields
from tests.house.bounds import BOUNDS
from tests.house.tree import DOCUMENTS, PACKAGES, ROOT, parsed

_MARKED = re.compile(r"(<!-- made from the code: (.+?) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def written(text: str) -> str:
    """The document with its marked parts as the code has them now. KeyError for a part of no known kind."""

    def anew(marked: re.Match[str]) -> str:
        begin, part, end = marked.groups()
        kind, _, about = part.partition(" ")
        return "\n".join([begin, *_KINDS[kind](about), "", end])

    return _MARKED.sub(anew, text)


def packages() -> list[str]:
    """The names of all packages, each before those inside it."""
    files = [file for name in PACKAGES for file in sorted((ROOT / name).rglob("__init__.py"))]
    return sorted(".".join(file.parent.relative_to(ROOT).parts) for file in files)


def docstring(package: str) -> str:
    """What a package says of itself; empty when it says nothing."""
    return ast.get_docstring(parsed(ROOT.joinpath(*package.split("."), "__init__.py"))) or ""


def _package(name: str) -> list[str]:
    return docstring(name).splitlines()


def _packages(_: str) -> list[str]:
    lines: list[str] = []
    for name in packages():
        lines += [f"## {name}", "", *docstring(name).splitlines(), ""]
    return lines[:-1]


def _transitions(about: str) -> list[str]:
    """``PACKAGE STATES``: the table in that package whose states are the enum of that name."""
    package, states = about.split()
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        for table in vars(importlib.import_module(module.name)).values():
            if isinstance(table, dict) and _is_of(states, table):
                return markdown(table, next(iter(table))[0])
    raise KeyError(f"{package} has no table of transitions between {states}")


def _is_of(states: str, table: dict[Any, Any]) -> bool:
    after = next(iter(table.values()), None)
    return isinstance(after, StrEnum) and type(after).__name__ == states


def _settings(_: str) -> list[str]:
    """Three to a line: a table of some fifty rows would be long."""
    cells = [
        f"`{field.name}` {_number(getattr(Settings(), field.name))}" for field in dataclasses.fields(Settings)
    ]
    cells += [""] * (-len(cells) % 3)
    rows = [f"| {' | '.join(cells[at : at + 3])} |" for at in range(0, len(cells), 3)]
    return ["| | | |", "|---|---|---|", *rows]


def _bounds(area: str) -> list[str]:
    lines = ["| at most | of | where |", "|---|---|---|"]
    for bound in BOUNDS[area]:
        named = {key.lstrip("_"): value for key, value in vars(importlib.import_module(bound.module)).items()}
        numbers = [_number(named[constant]) for constant in bound.constants]
        where = f"{bound.module.replace('.', '/')}.py"
        lines.append(f"| {', '.join(numbers)} | {bound.what} | `{where}` |")
    return lines


def _number(value: float) -> str:
    if isinstance(value, int) and value >= 1 << 20 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


_KINDS: dict[str, Callable[[str], list[str]]] = {
    "package": _package,
    "packages": _packages,
    "transitions": _transitions,
    "settings": _settings,
    "bounds": _bounds,
    "fields": wire_fields.markdown,
}


def main() -> None:
    """Write all documents anew."""
    for document in DOCUMENTS:
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        path.write_text(written(text), encoding="utf-8")


if __name__ == "__main__":
    main()
