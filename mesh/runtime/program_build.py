"""Which program this is: its version, and its build, which tells two checkouts of one version apart.

Standard library alone, and no import that takes its time: ``mesh status`` asks it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import blake2b

PACKAGES = ("leader", "mesh", "worker")
MAX_BUILD = 40
"""Bytes of a build, which a record has room for."""
_DIGEST_BYTES = 4
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@cache
def version() -> str:
    """The version of the installed distribution, such as ``0.1.0``, when it was first asked for."""
    from importlib import metadata  # 20 ms

    return metadata.version("frankenstein-mesh")


@cache
def digest() -> str:
    """Eight hexadecimal digits for the program's sources, as they were when this was first asked for."""
    return digest_of(_ROOT)


@cache
def build() -> str:
    """Version and digest, such as ``0.1.0+1a2b3c4d``; at most `MAX_BUILD` bytes."""
    return f"{version()[: MAX_BUILD - 2 * _DIGEST_BYTES - 1]}+{digest()}"


def digest_of(root: str) -> str:
    """The digest of the sources in this folder. A file that goes away meanwhile counts as absent."""
    hashed = blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(_sources(root)):
        with suppress(OSError), open(os.path.join(root, name), "rb") as file:
            content = file.read()
            hashed.update(f"{name}\0{len(content)}\0".encode() + content)
    return hashed.hexdigest()


def _sources(root: str) -> Iterator[str]:
    """The names of all sources, relative to the folder that holds the packages."""
    for package in PACKAGES:
        for folder, _, names in os.walk(os.path.join(root, package)):
            inside = os.path.relpath(folder, root)
            yield from (f"{inside}/{name}" for name in names if name.endswith(".py"))
