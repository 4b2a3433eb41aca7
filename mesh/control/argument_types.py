"""Checks arguments from the control socket against their operation's type, once and nowhere else."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from mesh.control.control_errors import ControlError
from mesh.control.operations import Operation

Args = TypeVar("Args", bound=Mapping[str, Any])
Result = TypeVar("Result", bound=Mapping[str, Any])

OTHER_VERSION = "it is of another version than this command: mesh restart"

WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def arguments_of(operation: Operation[Args, Result], given: Mapping[str, Any]) -> Args:
    """The arguments as the operation's type has them; a whole number becomes a float where one is wanted.

    Raises `ControlError` for a missing or unknown argument or one of another type. It quotes no value, for an
    argument may be a secret.
    """
    try:
        args: Args = _fields(operation.args, given)
    except _Misfit as misfit:
        raise ControlError(
            f"the sidecar does not understand the arguments of {operation.name}: {misfit}", OTHER_VERSION
        ) from None
    return args


class _Misfit(Exception):
    """What is wrong with a value, and where."""


def _fields(shape: Any, given: Mapping[str, Any]) -> Any:
    hints = get_type_hints(shape)
    for name in given:
        if name not in hints:
            raise _Misfit(f"{name[:40]} is unknown")
    for name in hints:
        if name in shape.__required_keys__ and name not in given:
            raise _Misfit(f"{name} is missing")
    return {name: _as(hints[name], value, name) for name, value in given.items()}


def _as(shape: Any, value: Any, where: str) -> Any:
    """The JSON ``value`` as the type ``shape``. The only unions that operations declare are ``X | None``."""
    origin, inner = get_origin(shape) or shape, get_args(shape)
    if origin is UnionType:
        return None if value is None else _as(inner[0], value, where)
    if is_typeddict(shape) and type(value) is dict:
        try:
            return _fields(shape, value)
        except _Misfit as misfit:
            raise _Misfit(f"{where}.{misfit}") from None
    if origin is Literal and type(value) is str and value in inner:
        return value
    if origin is list and type(value) is list:
        return [_as(inner[0], one, f"{where}[{index}]") for index, one in enumerate(value)]
    if origin is dict and type(value) is dict:
        return {name: _as(inner[1], one, f"{where}[{name!r}]") for name, one in value.items()}
    if origin is float and type(value) in (int, float):
        return float(value)
    if origin in (str, int, bool) and type(value) is origin:
        return value
    raise _Misfit(f"{where} is to be {_in_words(shape)}")


def _in_words(shape: Any) -> str:
    origin = get_origin(shape) or shape
    if is_typeddict(shape):
        return WORDS[dict]
    return f"one of {', '.join(get_args(shape))}" if origin is Literal else WORDS[origin]
