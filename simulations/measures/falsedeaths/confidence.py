"""Upper bounds of probabilities and rates, exact where events are few, and the worth of weighted samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from simulations.measures.percentiles import CONFIDENCE

_STEPS = 100
_FEW = 20
_NORMAL_95 = 1.645


def proportion_upper(hits: int, trials: float, confidence: float = CONFIDENCE) -> float:
    """Clopper and Pearson's upper bound of a probability (Biometrika 26, 1934).

    ``trials`` may be a fraction: an effective number of independent trials.
    """
    if trials <= 0 or hits >= trials:
        return 1.0
    if hits == 0:
        return float(1 - (1 - confidence) ** (1 / trials))
    return _bisect(lambda p: _binomial_at_most(hits, trials, p) - (1 - confidence), 0.0, 1.0)


def rate_upper(events: int, exposure: float, confidence: float = CONFIDENCE) -> float:
    """Garwood's upper bound of the rate of a Poisson process (Biometrika 28, 1936), per unit of exposure."""
    if exposure <= 0:
        return math.inf
    high = 10.0 + 3.0 * events
    return _bisect(lambda mean: _poisson_at_most(events, mean) - (1 - confidence), 0.0, high) / exposure


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean of independent values; infinite with fewer than two."""
    if len(values) < 2:
        return math.inf
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) * (len(values) - 1)))


def mean_upper(weights: Sequence[float]) -> float | None:
    """An upper 95% bound of the mean of weights, most of which are 0; None when all are.

    It is the normal one where at least 20 are not 0. Below that, it is Garwood's bound of how many would not
    be, each taken as large as the largest seen. Neither covers what no sample hinted at: weights so large and
    so rare that none of them came up.
    """
    hits = [weight for weight in weights if weight]
    if not hits:
        return None
    if len(hits) < _FEW:
        return rate_upper(len(hits), len(weights)) * max(hits)
    return math.fsum(weights) / len(weights) + _NORMAL_95 * standard_error(weights)


def effective(weights: Sequence[float]) -> float:
    """How many equal weights these are worth: (sum of w)^2 / sum of w^2 (Kish, "Survey Sampling", 1965)."""
    squares = math.fsum(weight * weight for weight in weights)
    return math.fsum(weights) ** 2 / squares if squares else 0.0


def _binomial_at_most(hits: int, trials: float, p: float) -> float:
    """P(at most ``hits``), by the gamma function, so that ``trials`` may be a fraction."""
    if p >= 1.0:
        return 0.0
    if p <= 0.0:
        return 1.0
    total = 0.0
    for k in range(hits + 1):
        log = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(log + k * math.log(p) + (trials - k) * math.log1p(-p))
    return min(1.0, total)


def _poisson_at_most(events: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(events + 1))


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return high
