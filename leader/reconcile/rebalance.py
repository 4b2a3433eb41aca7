"""When a running model is moved to another placement though nothing forces it. Pure.

A move costs a reload, during which the model answers nobody. It pays when what it gains outweighs that::

    (new - old) * remaining >= PAYS * load * new         tokens a second, seconds

Nobody knows how long the model will go on being served. The best guess is as long again as it has been ready
(Gott, "Implications of the Copernican principle", Nature 1993). That also keeps moves apart: each one starts
the count again. The compared speeds are predictions, so a small gain counts for nothing, nor does one that
does not last.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from leader.placement.cost import Device, DeviceKey
from leader.placement.infeasible import Infeasible
from leader.placement.planner import Plan, place, repriced

PAYS: Final = 4.0  # times the loss: what a move must gain
LEAST_GAIN: Final = 0.25  # predictions are not better than that
SLIGHT: Final = 0.05  # a gain below this is not worth even a requested move
LONGEST_STAY: Final = 3600.0  # seconds; no guess looks further ahead
STABLE: Final = 10.0  # seconds for which a better placement must exist without a break
QUIET: Final = 2.0  # seconds without an answer before a move that no person asked for
DRAIN: Final = 30.0  # seconds that replacing a model or its placement waits for running answers
# On a local network, event loops cause most of a ping's time: that is no reason to move.
_NEAR: Final = 0.01
_NEAR_TAKEN_AS: Final = 0.001
_STEP: Final = 1.25


def better(
    plan: Plan, devices: Sequence[Device], fixed: Mapping[DeviceKey, int]
) -> tuple[Plan, float] | None:
    """The best placement on ``devices`` and its gain over ``plan`` (0.5: half as fast again), both by what is
    known now.

    None when nothing else is feasible, or nothing is faster.
    """
    about = tuple([replace(one, rtt=_about(one.rtt)) for one in devices])
    return _better(plan, about, tuple(sorted(fixed.items())))


def _about(rtt: float) -> float:
    """A round trip rounded in steps of a quarter, since predictions are not better than that."""
    if rtt < _NEAR:
        return _NEAR_TAKEN_AS if rtt else 0.0
    return float(_STEP ** round(math.log(rtt, _STEP)))


@lru_cache(maxsize=16)  # called every second, while its inputs hardly ever change
def _better(
    plan: Plan, devices: tuple[Device, ...], fixed: tuple[tuple[DeviceKey, int], ...]
) -> tuple[Plan, float] | None:
    model_info, settings, objective = plan.model_info, plan.settings, plan.objective
    try:
        best = place(model_info, devices, settings, dict(fixed), objective)
    except Infeasible:
        return None
    if shares(best) == shares(plan):
        return None
    present = repriced(plan, devices)
    gain = best.predicted_tokens_per_second / present.predicted_tokens_per_second - 1.0
    return (best, gain) if gain > 0 else None


def pays(gain: float, ready_for: float, load_seconds: float) -> bool:
    """Whether a move with that gain outweighs a reload of ``load_seconds`` after ``ready_for`` seconds."""
    remaining = min(ready_for, LONGEST_STAY)
    return gain >= LEAST_GAIN and gain * remaining >= PAYS * load_seconds * (1.0 + gain)


def shares(plan: Plan) -> dict[DeviceKey, int]:
    """How many layers each device holds; 0 for the head alone."""
    return {stage.device.key: stage.layers for stage in plan.stages}


def members(plan: Plan) -> frozenset[bytes]:
    """The members whose devices it uses."""
    return frozenset(stage.device.member for stage in plan.stages)
