"""Percentiles of times, and what a number of repeats can and cannot say of them.

Nothing here assumes a shape of the distribution: percentiles are order statistics. The binomial law of how
many samples fall below a percentile gives their bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample with at least this share of all samples at or below it (inverse empirical CDF)."""
    if not samples or not 0 < share <= 1:
        raise ValueError("a percentile needs samples and a share in (0, 1]")
    ordered = sorted(samples)
    return ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1]


def percentile_bound(samples: Sequence[float], share: float, confidence: float = CONFIDENCE) -> float | None:
    """An upper bound of the percentile of the distribution behind the samples; None when they are too few.

    The k-th smallest of n samples is at or above the percentile with probability P(Binomial(n, share) < k),
    whatever the distribution (David and Nagaraja, "Order Statistics", 7.1).
    """
    ordered = sorted(samples)
    n = len(ordered)
    below = 0.0
    for k in range(1, n + 1):
        below += _binomial(n, k - 1, share)
        if below >= confidence:
            return ordered[k - 1]
    return None


def enough_for(share: float) -> int:
    """Samples from which the percentile is more than their largest: one must be expected beyond it."""
    return math.ceil(1 / (1 - share) - 1e-9)


def summary(samples: Sequence[float]) -> dict[str, float | int | None]:
    """A summary of times: the number of repeats, the median, the tail as far as it is known, the largest."""
    told: dict[str, float | int | None] = {"repeats": len(samples)}
    if not samples:
        return told
    told["mean"] = round(sum(samples) / len(samples), 4)
    told["minimum"] = round(min(samples), 4)
    for name, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        if name == "median" or len(samples) >= enough_for(share):
            told[name] = round(percentile(samples, share), 4)
    told["maximum"] = round(max(samples), 4)
    bound = percentile_bound(samples, 0.99)
    told["p99_upper_95"] = round(bound, 4) if bound is not None else None
    return told


def _binomial(n: int, k: int, p: float) -> float:
    if p in (0.0, 1.0):
        return float(k == (n if p else 0))
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))
