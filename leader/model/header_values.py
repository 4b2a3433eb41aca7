"""Numbers from a model's header, in every form in which the engine reads them, and safe where it does not.

A file may give a number as any whole type, as a float that is whole, or as a truth value; and one number for
all layers or a list with one for each. What is missing, skipped, negative or of another kind gives the
default: the keys that are read here feed estimates, which never refuse a model. Pure.
"""

from collections.abc import Mapping

Scalar = int | float | bool | str | None  # None: a value that is there but was skipped
Value = Scalar | tuple[int, ...]
Metadata = Mapping[str, Value]

MAX_NUMBER = 1 << 24
"""A width or count of a model is taken to be at most this: what would be more is an estimate's limit."""


def number(metadata: Metadata, key: str, default: int, most: int = MAX_NUMBER) -> int:
    """The whole number of ``key``, at most ``most``; of a list its largest; else ``default``."""
    found = _whole(metadata.get(key))
    return default if found is None else min(found, most)


def _whole(value: Value) -> int | None:
    """The whole number that ``value`` is, or the largest of those that it has; None of any other."""
    if isinstance(value, tuple):
        return max((entry for entry in value if entry >= 0), default=None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return int(value) if isinstance(value, int) and value >= 0 else None
