"""The rules of the simulations: they see the product by its public face alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import ROOT, name, parsed

BREAKS_THE_PRODUCT = "simulations/mutants.py"
"""Mutants replace what is private: that is what they are for."""
DOCUMENTED = {"_exit", "_replace", "_SubParsersAction"}
"""Names of the standard library: two that its documentation makes public, one that type hints need."""


def private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every private name that is read from something else than ``self``, ``cls`` and ``super()``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            read = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            read = [] if ast.unparse(node.value) in ("self", "cls", "super()") else [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "attrgetter"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            read = [part for text in texts if isinstance(text, str) for part in text.split(".")]
        else:
            continue
        yield from ((node.lineno, each) for each in read if _is_private(each))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def _files() -> list[Path]:
    files = sorted((ROOT / "simulations").rglob("*.py"))
    return [path for path in files if name(path) != BREAKS_THE_PRODUCT]


def test_no_simulation_reads_a_private_name() -> None:
    read = [f"{name(path)}:{line} {each}" for path in _files() for line, each in private_names(parsed(path))]
    assert read == []


def test_private_names_are_found_however_they_are_read() -> None:
    source = """
from mesh.protocol.dissemination.gossip import _MAX
node._parts.context
getattr(node, "_core")
attrgetter("roster._fallen")(node)
self._own + cls._own + super()._own + node.__class__ + os._exit + tilt._replace
"""
    found = [each for _, each in private_names(ast.parse(source))]
    assert sorted(found) == ["_MAX", "_core", "_fallen", "_parts"]
