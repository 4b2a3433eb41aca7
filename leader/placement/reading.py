"""What comes before and after placing: the model's header, and the layers that a stage holds."""

from importlib import import_module
from pathlib import Path

from leader.model import gguf
from leader.model.model_info import ModelInfo
from leader.placement.planner import PlanStage


def read_model(path: Path) -> ModelInfo:
    """The shape of a model that is to be placed; blocks for some time, so call it in a thread.

    numpy, which placing needs, is loaded on the way: in that thread, and only by those who place something.
    """
    import_module("leader.placement.table")
    return gguf.read(path)


def layers(stage: PlanStage) -> tuple[int, int]:
    """First and last layer, inclusive; (1, 0), which is no layer, for a stage that has the head alone."""
    return (stage.first, stage.last) if stage.layers else (1, 0)
