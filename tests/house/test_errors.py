"""Errors that people see say what to do next."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from mesh.wire.errors import MeshError
from tests.house import exceptions
from tests.house.tree import ROOT, name, parsed, product

NEAR_PEOPLE = (
    *("mesh/cli", "mesh/operations", "mesh/tools", "mesh/admission", "mesh/control", "mesh/hub"),
    *("leader/model", "leader/placement"),
)
"""The packages whose errors reach a person at the command line as they are."""


def _errors() -> dict[str, type[MeshError]]:
    """`MeshError` and all classes of the product that derive from it, by name."""
    bases: dict[str, tuple[Path, set[str]]] = {}
    for path in product():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = path, {base.id for base in node.bases if isinstance(base, ast.Name)}
    found: dict[str, type[MeshError]] = {"MeshError": MeshError}
    while more := [one for one, (_, above) in bases.items() if one not in found and above & found.keys()]:
        for one in more:
            module = bases[one][0].relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            found[one] = getattr(import_module(module), one)
    return found


def _brings_a_hint(error: type[MeshError]) -> bool:
    """Whether an error of this class has a hint though none is given: a usual one, or its own."""
    hint = inspect.signature(error).parameters.get("hint")
    return bool(error.usual_hint) or hint is None or hint.default != ""


def _is_given_one(call: ast.Call) -> bool:
    given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "hint")]
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    return starred or any(not (isinstance(one, ast.Constant) and not one.value) for one in given)


def _without_hint(tree: ast.AST, errors: dict[str, type[MeshError]]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            error = errors.get(node.func.id)
            if error is not None and not _is_given_one(node) and not _brings_a_hint(error):
                yield node


def test_errors_near_people_say_what_to_do_next() -> None:
    errors = _errors()
    near = [path for path in product() if name(path).startswith(tuple(f"{one}/" for one in NEAR_PEOPLE))]
    lacking = {
        name(path): [f"{name(path)}:{call.lineno} {ast.unparse(call)[:90]}" for call in found]
        for path in near
        if (found := list(_without_hint(parsed(path), errors)))
    }
    told = [one for path, found in lacking.items() if path not in exceptions.WITHOUT_HINT for one in found]
    assert told == []
    assert exceptions.WITHOUT_HINT.keys() - lacking.keys() == set()


def test_an_error_without_a_hint_is_found() -> None:
    lines = [
        'MeshError("bad")',
        'MeshError("bad", "")',
        'MeshError("bad", "do this")',
        'MeshError("bad", hint=advice)',
        'ControlError("bad")',
        'NotJoined("bad")',
        "NotRunning()",
        "MeshError(*told)",
        'ValueError("bad")',
    ]
    found = _without_hint(ast.parse("\n".join(lines)), _errors())
    assert [call.lineno for call in found] == [1, 2, 5]
