"""Axis scales and tick labels: plain sequence lengths, times and bytes with units."""

from __future__ import annotations

import math

import numpy
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def plain_number(value: float) -> str:
    """At most three significant digits, without an exponent where it is short."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def time_text(seconds: float) -> str:
    for size, unit in TIME_UNITS:
        if seconds >= size * 0.9995:
            return f"{plain_number(seconds / size)} {unit}"
    return f"{seconds:.2g} s"


def bytes_text(count: float) -> str:
    unit = 0
    while count >= 1024 * 0.9995 and unit < len(BYTE_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{plain_number(count)} {BYTE_UNITS[unit]}"


def length_axis(axis: Axes, lengths: list[int], most: int = 9) -> None:
    """Base-2 log scale with plain numbers: powers of two, or the lengths where those are few."""
    low, high = min(lengths), max(lengths)
    axis.set_xscale("log", base=2)
    pad = max((high / low) ** 0.035, 1.06)
    axis.set_xlim(low / pad, high * pad)
    powers = [2**k for k in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    ticks = powers if len(powers) >= 2 or len(lengths) > most else lengths
    while len(ticks) > most:
        ticks = ticks[::-2][::-1]  # Keeps the longest.
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axis.xaxis.set_minor_locator(NullLocator())
    if len(ticks) > 6:
        axis.tick_params(axis="x", labelsize=8.5)


def log_ticks(axis: Axes, low: float, high: float, formatter, base: int,
              ticks_up_to: float = 1.0) -> None:
    """Log scale over exactly [low, high], base 10 or 2, with at most 8 ticks at round values.

    `ticks_up_to`: the fraction of the axis beyond which there are none.
    """
    axis.set_yscale("log", base=base)
    axis.set_ylim(low, high)
    locations = round_ticks(low, low * (high / low) ** ticks_up_to, base, 8)
    axis.yaxis.set_major_locator(FixedLocator(locations))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: formatter(y)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_minor_locator(NullLocator())


def round_ticks(low: float, high: float, base: int, most: int) -> list[float]:
    """The densest of some regular patterns that has at most `most` values in [low, high]."""
    def every(step: int, factors: tuple[float, ...] = (1,)) -> list[float]:
        first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
        powers = [float(base) ** k for k in range(first - first % step, last + 1, step)]
        return [p * f for p in powers for f in factors if low <= p * f <= high]

    if base == 2:
        patterns = [(1, (1,)), (2, (1,)), (5, (1,)), (10, (1,)), (20, (1,)), (50, (1,))]
    else:
        patterns = [(1, (1, 1.5, 2, 3, 4, 5, 6, 7, 8)), (1, (1, 2, 5)), (1, (1, 3)), (1, (1,)),
                    (2, (1,)), (3, (1,)), (6, (1,)), (12, (1,))]
    return next((found for found in (every(*p) for p in patterns) if len(found) <= most), [])


def log_limits(values: list[float], pad: float = 0.06, least: float = 4.0) -> tuple[float, float]:
    """Limits around positive values, spanning at least a factor of `least`."""
    low, high = min(values), max(values)
    if high / low < least:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(least), middle * math.sqrt(least)
    margin = (high / low) ** pad
    return low / margin, high * margin


def make_room(low: float, high: float, below: float, above: float) -> tuple[float, float]:
    """Widens log limits so that [low, high] leaves these fractions of the height free."""
    span = math.log(high / low) / (1 - below - above)
    return low * math.exp(-span * below), high * math.exp(span * above)


def screen_angle(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> float:
    """Degrees of the line between two data points as drawn. Axis limits must be final."""
    (x0, y0), (x1, y1) = axis.transData.transform(numpy.asarray([start, end]))
    return math.degrees(math.atan2(y1 - y0, x1 - x0))
