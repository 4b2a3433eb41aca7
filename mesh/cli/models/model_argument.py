"""The argument MODEL: a file, the name of a model that the pool holds, a model of the hub, or an address."""

import argparse
import os
import re
from typing import Final

from mesh.cli.asking import ask_sidecar
from mesh.cli.models.bringing import Brought, from_address, from_hub
from mesh.cli.models.choosing import Wishes
from mesh.cli.models.held_names import held_model
from mesh.control.operations import MODELS
from mesh.hub.references import (
    FileReference,
    HubReference,
    NameReference,
    Reference,
    UrlReference,
    parse_reference,
)
from mesh.wire.errors import MeshError

MAGIC: Final = b"GGUF"
MAX_PARTS: Final = 1000
_OF_HUB: Final = re.compile(r"[A-Za-z0-9][^/]*/[^/]+/.+\.gguf", re.IGNORECASE)
"""A path without a beginning such as ``./``, which may be one in a repository: OWNER/REPO/FILE.gguf."""


def bring(args: argparse.Namespace, text: str, wishes: Wishes | None) -> Brought:
    """The model that ``text`` means, downloaded if it has to be; without wishes, nothing is.

    Raises `MeshError`.
    """
    reference = what_is_meant(text)
    match reference:
        case FileReference(path) if not _may_be_held(path):
            return _file(path)
        case FileReference(path=name) | NameReference(name=name):
            return held(args, name)
        case HubReference() if wishes is not None:
            return from_hub(args, reference, wishes)
        case UrlReference() if wishes is not None:
            return from_address(args, reference, wishes)
    raise MeshError(
        f"{text} is not downloaded yet, or has a name of its own by now",
        f"mesh pull {text} downloads it and says its name; mesh models lists those that are held",
    )


def file_or_held(args: argparse.Namespace, text: str) -> Brought:
    """A file of this machine, or the one that the pool holds under that name. Raises `MeshError`."""
    reference = what_is_meant(text)
    match reference:
        case FileReference(path) if not _may_be_held(path):
            return Brought((gguf_file(path),), ("",))
        case FileReference(path=name) | NameReference(name=name):
            return held(args, name)
    raise MeshError(
        f"{text} is no file, and no name of what the pool holds",
        "a projector comes along when its model is downloaded; mesh models lists those that are held",
    )


def what_is_meant(text: str) -> Reference:
    """The reference that ``text`` is, on this machine."""

    def is_file(path: str) -> bool:
        where = os.path.expanduser(path)
        return os.path.isfile(where) or ("/" in path and os.path.exists(where))

    return parse_reference(text, is_file, os.environ.get("HF_ENDPOINT", ""))


def held(args: argparse.Namespace, name: str) -> Brought:
    """The model that the pool holds under that name."""
    models = ask_sidecar(args, MODELS.request({}))["models"]
    try:
        found = held_model(models, name)
    except MeshError as error:
        if os.path.isdir(name):
            raise MeshError(f"{name} is a folder", "name the .gguf file in it") from None
        if name.lower().endswith(".gguf"):
            raise MeshError(f"there is no file {name} here, and {error.message}", error.hint) from None
        raise
    return Brought(
        held=found["sha256"], name=found["name"], size=found["size"], members=tuple(found["members"])
    )


def gguf_file(text: str) -> str:
    """The absolute path of a model file.

    Raises `MeshError` if it cannot be one; the sidecar checks the rest.
    """
    path = os.path.abspath(os.path.expanduser(text))
    try:
        with open(path, "rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        hint = "name the .gguf file in it" if os.path.isdir(path) else "give the path of a .gguf file"
        if _OF_HUB.fullmatch(text) and not os.path.exists(path):
            hint += f"; a file of the hub is called hf:{text}"
        raise MeshError(f"cannot read {text}: {error.strerror}", hint) from None
    if magic != MAGIC:
        raise MeshError(f"{text} is no GGUF file", "llama.cpp's convert_hf_to_gguf.py makes them")
    return path


def _file(text: str) -> Brought:
    """A file of this machine; of a split model, all its parts in order.

    A merged model may have kept the name of a part: none of the others is there.
    """
    from leader.model.model_names import PART, part_name

    path = gguf_file(text)
    folder, name = os.path.split(path)
    match = PART.match(name)
    count = int(match["count"]) if match else 1
    names = [part_name(name, number, count) or name for number in range(1, count + 1)] if match else [name]
    files = tuple(os.path.join(folder, one) for one in names[:MAX_PARTS])
    if not any(os.path.exists(file) for file in files if file != path):
        files = (path,)
    return Brought(files, ("",) * len(files))


def _may_be_held(path: str) -> bool:
    """Whether it is the name of no file here, so that it may be that of a model, which ends in .gguf too."""
    return "/" not in path and path not in (".", "..", "~") and not os.path.exists(path)
