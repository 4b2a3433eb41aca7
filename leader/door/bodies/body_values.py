"""Values of a request's body, of the type that they must have. Pure. All raise `Unacceptable`."""

import json
from typing import Any

from leader.door.orders import Unacceptable


def text_at(value: object, field: str) -> str:
    """Return a value that must be a string."""
    if not isinstance(value, str):
        raise Unacceptable(field, "must be a string")
    return value


def object_at(value: object, field: str) -> dict[str, Any]:
    """Return a value that must be an object."""
    if not isinstance(value, dict):
        raise Unacceptable(field, "must be an object")
    return value


def list_at(value: object, field: str) -> list[Any]:
    """Return a value that must be an array."""
    if not isinstance(value, list):
        raise Unacceptable(field, "must be an array")
    return value


def json_at(value: object, field: str) -> str:
    """Return a value as JSON, as chat completions carry what a tool is called with."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError) as error:
        raise Unacceptable(field, "is nested too deeply") from error
