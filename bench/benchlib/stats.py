"""Medians, their intervals, and the order of a round. Pure functions.

Rounds are the independent units: an interval is made of one value per round, from order
statistics, and never assumes that times are normal.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Sequence


def median(values: Sequence[float]) -> float:
    """The median; the mean of the two middle values of an even number. ValueError when empty."""
    if not values:
        raise ValueError("median of nothing")
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval_rank(count: int, level: float = 0.95) -> int | None:
    """The largest k such that the k-th smallest and the k-th largest of `count` values enclose the
    median with a probability of at least `level`; None when even the extremes do not."""
    best = None
    below = 0.0  # P(Binomial(count, 1/2) <= k - 1)
    for k in range(1, count // 2 + 1):
        below += math.comb(count, k - 1) / 2**count
        if 1 - 2 * below >= level:
            best = k
    return best


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """An interval of the median from order statistics; None with too few values (under 6 at
    95%)."""
    rank = interval_rank(len(values), level)
    if rank is None:
        return None
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


@dataclass(frozen=True)
class Estimate:
    """A median with its interval; the ends are None when there are too few values."""

    value: float
    low: float | None
    high: float | None
    count: int

    def scaled(self, factor: float) -> "Estimate":
        """The same in other units; `factor` is above 0."""
        ends = [None if end is None else end * factor for end in (self.low, self.high)]
        return Estimate(self.value * factor, *ends, self.count)

    def excludes(self, value: float) -> bool:
        """Whether the interval exists and `value` is outside of it."""
        return self.low is not None and not self.low <= value <= self.high


def estimate(values: Sequence[float]) -> Estimate:
    ends = median_interval(values)
    low, high = ends if ends else (None, None)
    return Estimate(median(values), low, high, len(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """The median over rounds of over[i] / under[i], with its interval. Medians and order
    statistics of logs, so that ratio(a, b) and ratio(b, a) are reciprocal."""
    if len(over) != len(under):
        raise ValueError(f"{len(over)} rounds over {len(under)}")
    logs = estimate([math.log(a / b) for a, b in zip(over, under)])
    return Estimate(math.exp(logs.value),
                    None if logs.low is None else math.exp(logs.low),
                    None if logs.high is None else math.exp(logs.high), logs.count)


def geometric_mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("mean of nothing")
    return math.exp(sum(map(math.log, values)) / len(values))


def mirrored_order(items: Sequence, rng: random.Random) -> list:
    """A random order followed by its reverse: ABBA. The mean of an item's two positions is the
    same for all items, so that a drift linear in log time cancels in the means of their logs."""
    order = list(items)
    rng.shuffle(order)
    return order + order[::-1]


def iterations_for(call_s: float, sample_s: float) -> int:
    """Calls that make a sample of about `sample_s`."""
    return max(1, math.ceil(sample_s / call_s)) if call_s > 0 else 1


def warm_calls(call_s: float, longest_s: float = 0.25) -> int:
    """Untimed calls before a sample: one, unless calls are so long that what ran before is
    forgotten within a small part of them."""
    return 1 if call_s < longest_s else 0
