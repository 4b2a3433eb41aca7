"""Reads a model's header before it is placed, and loads numpy on the way."""

from importlib import import_module
from pathlib import Path

from leader.model import gguf
from leader.model.model_info import ModelInfo


def read_model(path: Path) -> ModelInfo:
    """The shape of a model that is to be placed. Blocks for some time, so call it in a thread.

    That thread also loads numpy, which placing needs: a node that places nothing never loads it.
    """
    import_module("leader.placement.placement_table")
    return gguf.read(path)
