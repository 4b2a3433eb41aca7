"""JSON as clients send it: read into plain values, and checked where it is passed on as it is. Pure."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from leader.door.orders import Unacceptable

MOST_BYTES = 48 << 20
"""Of a request's body: thirty-two MiB of images as base64, with their text."""
MOST_LEVELS = 64
MOST_VALUES = 100_000
MOST_KEYS = 1024
"""Of one object: the engine looks its keys up one by one."""
MOST_DIGITS = 2**64
"""Whole numbers below it are whole numbers to the engine as well; others it rounds."""


def read_object(content: bytes) -> dict[str, Any]:
    """The object that a body is. Unacceptable says what is wrong with it."""
    try:
        value = json.loads(content.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise Unacceptable("", f"the body is no UTF-8: a wrong byte at {error.start}") from None
    except json.JSONDecodeError as error:
        raise Unacceptable("", f"the body is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Unacceptable("", f"the body is nested deeper than {MOST_LEVELS} levels") from None
    except ValueError as error:
        # Names of no numbers, and whole numbers of thousands of digits.
        raise Unacceptable("", f"the body holds a number that is none: {str(error)[:80]}") from None
    if not isinstance(value, dict):
        raise Unacceptable("", "the body must be a JSON object")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def written(value: object, field: str = "") -> bytes:
    """``value`` as JSON that every reader takes: strings are Unicode, numbers finite."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        raise Unacceptable(field, "a string holds half a surrogate pair, which is no Unicode") from None
    except ValueError:
        raise Unacceptable(field, "a number is too large") from None
    except RecursionError:
        raise Unacceptable(field, f"it is nested deeper than {MOST_LEVELS} levels") from None


def checked(
    value: object, field: str, levels: int = MOST_LEVELS, values: int = MOST_VALUES, key_size: int = 256
) -> int:
    """How many values there are in what goes to the engine as it is; Unacceptable beyond the bounds.

    It goes level by level, so that deep nesting costs no recursion here.
    """
    level: list[object] = [value]
    seen = 0
    for _ in range(levels):
        seen += len(level)
        if seen > values:
            raise Unacceptable(field, f"it holds more than {values} values")
        level = list(chain.from_iterable(_inside(one, field, key_size) for one in level))
        if not level:
            return seen
    raise Unacceptable(field, f"it is nested deeper than {levels} levels")


def _inside(value: object, field: str, key_size: int) -> Iterator[object]:
    if isinstance(value, dict):
        if len(value) > MOST_KEYS:
            raise Unacceptable(field, f"an object in it has more than {MOST_KEYS} keys")
        if any(len(key) > key_size for key in value):
            raise Unacceptable(field, f"a key in it is longer than {key_size} characters")
        yield from value.values()
    elif isinstance(value, list):
        yield from value
    elif type(value) is int and not -MOST_DIGITS < value < MOST_DIGITS:
        raise Unacceptable(field, "a whole number in it is too large")
