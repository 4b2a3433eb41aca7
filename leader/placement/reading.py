"""Reads a model's header before it is placed, and loads numpy on the way."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from leader.model import gguf
from leader.model.model_info import ModelInfo


def read_model(path: Path) -> ModelInfo:
    """The shape of a model that is to be placed. Blocks for some time, so call it in a thread.

    That thread also loads numpy, which placing needs: a node that places nothing never loads it.
    """
    _load_numpy()
    return gguf.read(path)


def read_header(path: Path, size: int) -> ModelInfo:
    """The same by the beginning of the model's first file alone; ``size`` is that of all its files.

    Of a split model it is an estimate (`leader.model.gguf.estimate`). Raises ShortHeader, GgufError.
    """
    _load_numpy()
    return gguf.estimate(path, size)


def read_headers(path: Path, sizes: Sequence[int]) -> ModelInfo:
    """The same by the beginnings of all its files, which have these ``sizes``; ``path`` is the first.

    Raises ShortHeader, GgufError.
    """
    _load_numpy()
    return gguf.read_beginnings(path, sizes)


def _load_numpy() -> None:
    import_module("leader.placement.placement_search")
