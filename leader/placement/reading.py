"""What comes before placing: the model's header."""

from importlib import import_module
from pathlib import Path

from leader.model import gguf
from leader.model.model_info import ModelInfo


def read_model(path: Path) -> ModelInfo:
    """The shape of a model that is to be placed; blocks for some time, so call it in a thread.

    numpy, which placing needs, is loaded on the way: in that thread, and only by those who place something.
    """
    import_module("leader.placement.placement_table")
    return gguf.read(path)
