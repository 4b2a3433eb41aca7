"""What makes two placements the same: which device holds how many layers, and which the head. Pure."""

from leader.placement.cost import DeviceKey
from leader.placement.planner import Plan

Shape = frozenset[tuple[DeviceKey, int, bool]]


def shape(plan: Plan) -> Shape:
    """The same for two plans that put as much in the same places, however fast these were thought to be."""
    return frozenset(
        (stage.device.key, stage.layers, stage.head) for stage in plan.stages if stage.layers or stage.head
    )
