"""How much of the leader's own memory llama-server may take for a plan. Pure."""

from typing import Final

from leader.door.bodies.pictures import BYTES_FOR_PIXEL, MOST_PIXELS
from leader.model.model_info import ModelInfo
from leader.placement.planner import Plan

BASE_BYTES: Final = 1 << 30
"""For requests, the tokenizer, and buffers in which weights pass on their way to workers."""
_MOST_CHECKPOINTS: Final = 32


def memory_limit(plan: Plan) -> int:
    """Bytes: what the plan puts on this machine and a tenth more, checkpoints, and what the plan leaves out.

    llama-server keeps the checkpoints of all layers here, whichever machine computes them.
    """
    model_info = plan.model_info
    here = sum(stage.bytes for stage in plan.stages if stage.device.local) + model_info.embedding_bytes
    if plan.settings.projector:  # once more for computing, and for what each request may show
        here += 2 * plan.settings.projector + plan.settings.slots * MOST_PIXELS * BYTES_FOR_PIXEL
    context, slots = plan.settings.context, plan.settings.slots
    kept = checkpoints(model_info, context) * _checkpoint_bytes(model_info, context) * slots
    return here + here // 10 + kept + BASE_BYTES


def checkpoints(model_info: ModelInfo, context: int) -> int:
    """How many checkpoints a slot of so many tokens may have.

    One is allowed in any case, more if together they hold no more than the slot itself.
    """
    conversation = sum(model_info.kv_bytes) * context
    return min(_MOST_CHECKPOINTS, max(1, conversation // max(1, _checkpoint_bytes(model_info, context))))


def _checkpoint_bytes(model_info: ModelInfo, context: int) -> int:
    return sum(model_info.kv_bytes) * min(model_info.window, context) + model_info.state_bytes
