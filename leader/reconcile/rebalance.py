"""When a running model is moved to another placement though nothing forces it. Pure.

A move costs a reload, during which nobody is answered; it pays when what is won afterwards outweighs that::

    (new - old) * remaining >= PAYS * load * new         tokens a second, seconds

How long the model will go on being served is not known; the best guess is that it is as long again as it has
been ready (Gott, "Implications of the Copernican principle", Nature 1993). That also keeps moves apart: each
begins the count anew. What is compared is predicted, so a small gain counts for nothing, nor does one that
does not last.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from leader.placement.cost import Device
from leader.placement.planner import Infeasible, Plan, place

PAYS: Final = 4.0  # what is won is to be so many times what is lost
LEAST_GAIN: Final = 0.25  # predictions are not better than that
SLIGHT: Final = 0.05  # and not even who asks for a move means so little
LONGEST_STAY: Final = 3600.0  # seconds; no guess looks further ahead
STEADY: Final = 10.0  # seconds for which a better placement was there all the time
QUIET: Final = 2.0  # seconds without an answer before a move that nobody asked for
DRAIN: Final = 30.0  # seconds that running answers are waited for where a model or its placement is replaced
# What pings take on a local network is for the most part the event loops' doing: no reason to move.
_NEAR: Final = 0.01
_NEAR_TAKEN_AS: Final = 0.001
_STEP: Final = 1.25


def better(plan: Plan, devices: Sequence[Device], fixed: Mapping[bytes, int]) -> tuple[Plan, float] | None:
    """The best placement on ``devices`` and its gain over ``plan`` (0.5: half as fast again), both by what is
    known now.

    None when nothing else is feasible, or nothing faster.
    """
    about = tuple([replace(one, rtt=_about(one.rtt)) for one in devices])
    return _better(plan, about, tuple(sorted(fixed.items())))


def _about(rtt: float) -> float:
    """A round trip in steps of a quarter, for predictions are not better than that."""
    if rtt < _NEAR:
        return _NEAR_TAKEN_AS if rtt else 0.0
    return float(_STEP ** round(math.log(rtt, _STEP)))


@lru_cache(maxsize=16)  # asked every second, while what it depends on hardly ever changes
def _better(
    plan: Plan, devices: tuple[Device, ...], fixed: tuple[tuple[bytes, int], ...]
) -> tuple[Plan, float] | None:
    model_info, context, slots, objective = plan.model_info, plan.context, plan.slots, plan.objective
    try:
        best = place(model_info, devices, context, slots, dict(fixed), objective)
    except Infeasible:
        return None
    if shares(best) == shares(plan):
        return None
    try:
        present = place(model_info, devices, context, slots, _held(plan, devices), objective)
    except Infeasible:
        present = plan  # a worker offers less by now; what it gave already, it holds
    gain = best.predicted_tokens_per_second / present.predicted_tokens_per_second - 1.0
    return (best, gain) if gain > 0 else None


def pays(gain: float, ready_for: float, load_seconds: float) -> bool:
    """Whether a move with that gain makes up for a reload of that long, in a model ready for so long."""
    remaining = min(ready_for, LONGEST_STAY)
    return gain >= LEAST_GAIN and gain * remaining >= PAYS * load_seconds * (1.0 + gain)


def shares(plan: Plan) -> dict[bytes, int]:
    """How many layers each member holds; 0 for the head alone."""
    held: dict[bytes, int] = {}
    for stage in plan.stages:
        held[stage.device.member] = held.get(stage.device.member, 0) + stage.layers
    return held


def _held(plan: Plan, devices: Sequence[Device]) -> dict[bytes, int]:
    held = shares(plan)
    return {device.member: held.get(device.member, 0) for device in devices}
