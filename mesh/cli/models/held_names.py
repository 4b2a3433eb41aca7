"""Finding a model that the pool holds by what a person calls it."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from mesh.control.operations import ModelHeld
from mesh.wire.errors import MeshError

HASH_DIGITS: Final = 8
"""So many digits of a model's hash name it, and what is longer."""
MAX_TOLD: Final = 12

_SUFFIX: Final = re.compile(r"(-\d{5}-of-\d{5})?\.gguf$", re.IGNORECASE)


def held_model(models: Sequence[ModelHeld], text: str) -> ModelHeld:
    """The one of the held models that ``text`` means: its name, in any case and without .gguf, or its hash.

    Raises `MeshError` with what might be meant, what the pool holds, and how to name what it does not.
    """
    wanted = _plain(text)
    found = [model for model in models if _plain(model["name"]) == wanted]
    if not found and re.fullmatch(rf"[0-9a-fA-F]{{{HASH_DIGITS},64}}", text):
        found = [model for model in models if model["sha256"].startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        hashes = " or ".join(model["sha256"][:12] for model in found[:MAX_TOLD])
        raise MeshError(f"the pool holds {len(found)} models called {text}", f"say which: {hashes}")
    names = {_plain(model["name"]): short_name(model["name"]) for model in models}
    near = [name for name in names if wanted in name] or get_close_matches(wanted, names, n=3)
    guess = f"did you mean {' or '.join(names[name] for name in near[:3])}? " if near else ""
    raise MeshError(
        f"the pool holds no model called {text}",
        f"{guess}{_held(models)}; one of the hub is called hf:OWNER/REPO, a file ./model.gguf",
    )


def short_name(name: str) -> str:
    """What one types for a model: its name without .gguf, and without the number of its first part."""
    return _SUFFIX.sub("", name.strip())


def _plain(name: str) -> str:
    return short_name(name).casefold()


def _held(models: Sequence[ModelHeld]) -> str:
    if not models:
        return "it holds none as yet"
    more = f" and {len(models) - MAX_TOLD} more" if len(models) > MAX_TOLD else ""
    return "it holds " + ", ".join(short_name(model["name"]) for model in models[:MAX_TOLD]) + more
