"""Where a deployed model was downloaded, with the revision: kept in the deployment's options.

The text, such as ``hf:OWNER/REPO@COMMIT/FILE``, is longer than an option's value may be (64 bytes). So it is
cut into options ``source``, ``source1`` and so on, which members of this wire version read already.
"""

from collections.abc import Iterator
from typing import Final

from mesh.wire.errors import MeshError
from mesh.wire.facts import DeploymentOptions

KEYS: Final = ("source", *(f"source{number}" for number in range(1, 8)))
VALUE_BYTES: Final = 64


def with_source(options: DeploymentOptions, source: str) -> DeploymentOptions:
    """The options with this source in place of a former one. Raises MeshError for what is no source.

    One that is too long is left out: nothing but what people read depends on it, and the model is here.
    """
    if not source or not source.isprintable():
        raise MeshError(f"a model's source cannot be {source[:80]!a}", "it is one line of text")
    values = list(_cut(source))
    if len(values) > len(KEYS):
        values = []
    others = {key: value for key, value in options if key not in KEYS}
    return tuple(sorted({**others, **dict(zip(KEYS, values, strict=False))}.items()))


def source_of(options: DeploymentOptions) -> str:
    """The source in the options; empty where there is none."""
    told = dict(options)
    return "".join(told.get(key, "") for key in KEYS)


def _cut(text: str) -> Iterator[str]:
    """The text in values that are within the bound, none of which ends within a character."""
    value = ""
    for character in text:
        if len((value + character).encode()) > VALUE_BYTES:
            yield value
            value = ""
        value += character
    yield value
