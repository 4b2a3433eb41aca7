"""How much of the leader's own memory llama-server may take for a plan. Pure."""

from typing import Final

from leader.door.bodies.pictures import BYTES_FOR_PIXEL, MOST_PIXELS
from leader.placement.cost import checkpoints, compute_bytes
from leader.placement.planner import Plan

BASE_BYTES: Final = 1 << 30
"""For requests, the tokenizer, and buffers in which weights pass on their way to workers."""


def memory_limit(plan: Plan) -> int:
    """Bytes: what the plan puts on this machine and a tenth more, checkpoints, and what the plan leaves out.

    llama-server keeps the embedding, the graph's inputs and the checkpoints of all layers here, whichever
    machine computes them.
    """
    model_info, settings = plan.model_info, plan.settings
    here = sum(stage.bytes for stage in plan.stages if stage.device.local)
    here += model_info.embedding_bytes + compute_bytes(model_info, settings)
    if settings.projector:  # once more for computing, and for what each request may show
        here += 2 * settings.projector + settings.slots * MOST_PIXELS * BYTES_FOR_PIXEL
    kept = checkpoints(model_info, settings) * model_info.checkpoint_bytes(settings) * settings.slots
    return here + here // 10 + kept + BASE_BYTES
