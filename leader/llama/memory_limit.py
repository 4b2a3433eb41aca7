"""How much of the leader's own memory llama-server may take for a plan. Pure."""

from typing import Final

from leader.placement.planner import Plan

BASE_BYTES: Final = 1 << 30
"""For requests, the tokenizer, and buffers in which weights pass on their way to workers."""
_CHECKPOINT_TOKENS: Final = 1024
_MOST_CHECKPOINTS: Final = 32


def memory_limit(plan: Plan) -> int:
    """Bytes: what the plan puts on this machine and a tenth more, checkpoints, and what the plan leaves out.

    llama-server keeps the checkpoints of all layers here, whichever machine computes them.
    """
    model_info = plan.model_info
    here = sum(stage.bytes for stage in plan.stages if stage.device.local) + model_info.embedding_bytes
    conversations = sum(model_info.kv_bytes) * plan.context * plan.slots
    return here + here // 10 + conversations + BASE_BYTES


def checkpoints(context: int) -> int:
    """How many checkpoints a slot of so many tokens may have: each holds a window's worth of the cache.

    Most windows are of 1024 tokens or fewer, so that together they hold no more than the slot itself.
    """
    return min(_MOST_CHECKPOINTS, max(1, context // _CHECKPOINT_TOKENS))
