"""Error against time at the longest sequence: what accuracy each approximation buys."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plot import ticks, unmeasured
from plot.caption import page_text, threads_title
from plot.data import Run
from plot.labels import PointLabel, label_points
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, make_sheet
from plot.style import GUIDE, MUTED, STRIP, TEXT, plain

FLOOR = 3e-6  # Errors below are rounding of float32, not approximation.
BAND = 0.12  # Fraction of the panel in which those are drawn.


@dataclass
class Point:
    series: Series
    time_s: float
    error: float
    mean_v: float | None

    @property
    def exact(self) -> bool:
        return self.error < FLOOR

    @property
    def own_mask(self) -> bool:
        return self.series.exactness == "exact-under-mask"


def points_at(group: ProblemGroup, length: int, threads: int) -> list[Point]:
    points = []
    for series in group.series:
        row = series.cells.get((length, threads))
        if row is not None and row.measured:
            error = row.figure("error_rel_l2")
            if error is not None and math.isfinite(error):
                points.append(Point(series, row.figure("time_median_s"), error,
                                    row.figure("error_mean_v")))
    return points


def longest_length(group: ProblemGroup) -> int | None:
    """The longest length at which anything has an error figure."""
    lengths = [n for n in group.lengths if any(points_at(group, n, t) for t in group.threads)]
    return lengths[-1] if lengths else None


def draw_pareto(group: ProblemGroup, run: Run) -> Figure | str:
    """A string says why there is none; without a fit the front is missing."""
    length = longest_length(group)
    if length is None:
        return "no row has an error against softmax attention"
    threads = [t for t in dict.fromkeys((group.threads[0], group.threads[-1]))
               if points_at(group, length, t)]
    by_threads = {t: points_at(group, length, t) for t in threads}
    every = [p for points in by_threads.values() for p in points]
    inputs = sorted({row.text["input"] for row in group.rows()})
    sheet = make_sheet(
        page_text(group, run, f"Error against time at N = {length}: the Pareto front",
                  [f"Error: relative L2 distance to float64 softmax attention under the same mask, "
                   f"on {plain(', '.join(inputs))} input; other inputs give other errors.",
                   *_absent(group, length, threads, every), *unmeasured.notes(group)]),
        [threads_title(t) for t in threads], Grid(0.1), 1)
    limits = _limits(every)
    times = ticks.log_limits([p.time_s for p in every], 0.16)
    for axis, (t, points) in zip(sheet.axes, by_threads.items()):
        _scales(axis, limits, times)
        _draw_points(axis, points, limits, front_of(group, run, length, t))
    _legend(sheet, every, run.fit is not None)
    return sheet.figure


def _limits(points: list[Point]) -> tuple[float, float]:
    shown = [p.error for p in points if not p.exact]
    shown += [p.mean_v for p in points if p.mean_v and math.isfinite(p.mean_v)]
    high = max(shown, default=1.0) * 1.8
    return ticks.make_room(min(min(shown, default=1.0) / 1.8, high / 40), high, BAND, 0.0)


def _scales(axis: Axes, limits: tuple[float, float], times: tuple[float, float]) -> None:
    ticks.log_ticks(axis, *limits, lambda y: f"{y:g}", 10)
    rounding_band(axis, limits)
    axis.set_ylabel("relative L2 error", labelpad=2)
    axis.set_xscale("log")
    axis.set_xlim(*times)
    axis.xaxis.set_major_locator(FixedLocator(ticks.round_ticks(*times, 10, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: ticks.time_text(x)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("time of one call (median)")
    axis.grid(True)


def rounding_band(axis: Axes, limits: tuple[float, float]) -> None:
    """The strip for errors below FLOOR, at the foot of a panel with a logarithmic axis."""
    locations = [t for t in axis.yaxis.get_major_locator().locs
                 if t > at_fraction(limits, BAND * 1.25)]
    axis.yaxis.set_major_locator(FixedLocator(locations))
    axis.axhspan(limits[0], at_fraction(limits, BAND), color=STRIP, linewidth=0, zorder=0)
    axis.text(0.012, 0.012, "exact, up to float32 rounding", transform=axis.transAxes, fontsize=8,
              color=MUTED, va="bottom")


def at_fraction(limits: tuple[float, float], fraction: float) -> float:
    """The value at this fraction of a logarithmic axis."""
    return limits[0] * (limits[1] / limits[0]) ** fraction


def _draw_points(axis: Axes, points: list[Point], limits: tuple[float, float],
                 best: set[tuple[str, str]]) -> None:
    floor = at_fraction(limits, BAND * 0.55)
    places = [(p.time_s, floor if p.exact else p.error) for p in points]
    # What is exact under a mask of its own answers another question than full attention does: it
    # is drawn hollow and beats nobody.
    lines = _mean_v(axis, points) + _front(axis, points, places, best)
    by_variant: dict[str, list[tuple[float, float, Point]]] = {}
    for point, place in zip(points, places):
        by_variant.setdefault(point.series.variant, []).append((*place, point))
        line = point.series.style.line(linestyle="", markersize=8.5, clip_on=False)
        if point.own_mask:
            line.update(markerfacecolor="white", markeredgecolor=point.series.style.color,
                        markeredgewidth=1.6, markersize=7.5)
        axis.plot(*place, **line)
    labels = []
    for line in by_variant.values():
        line.sort(key=lambda entry: entry[:2])
        if len(line) > 1:
            axis.plot([x for x, _, _ in line], [y for _, y, _ in line], color=MUTED,
                      linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=2)
        # The first of a sweep says what is swept, the others only their value.
        labels += [PointLabel(p.series.label if i == 0 else _values(p.series.label), x, y)
                   for i, (x, y, p) in enumerate(line)]
    label_points(axis, labels, places, lines)


def _values(label: str) -> str:
    """"64" of "performer features=64"."""
    return " ".join(part.partition("=")[2] for part in label.split()[1:])


Segment = tuple[tuple[float, float], tuple[float, float]]


def _mean_v(axis: Axes, points: list[Point]) -> list[Segment]:
    """The error of answering mean(V): one line, or a band where it differs between masks."""
    values = [p.mean_v for p in points
              if p.mean_v and math.isfinite(p.mean_v) and p.series.exactness == "approximate"]
    values = values or [p.mean_v for p in points if p.mean_v and math.isfinite(p.mean_v)]
    if not values:
        return []
    low, high = min(values), max(values)
    if high > 1.03 * low:
        axis.axhspan(low, high, color=TEXT, alpha=0.08, linewidth=0, zorder=1)
    axis.axhline(high, **_MEAN)
    return [((axis.get_xlim()[0], high), (axis.get_xlim()[1], high))]


_MEAN = {"color": TEXT, "linewidth": 1.1, "linestyle": (0, (6, 2)), "zorder": 2}
_FRONT = {"color": GUIDE, "linewidth": 1.0, "linestyle": "-", "zorder": 1}


def _front(axis: Axes, points: list[Point], places: list[tuple[float, float]],
           best: set[tuple[str, str]]) -> list[Segment]:
    """Steps through the points of the fit's front."""
    front = sorted(place for p, place in zip(points, places)
                   if (p.series.variant, p.series.params) in best)
    if len(front) > 1:
        axis.step(*zip(*front), where="post", **_FRONT)
    corners = [(b[0], a[1]) for a, b in zip(front, front[1:])]
    return [*zip(front, corners), *zip(corners, front[1:])]


def front_of(group: ProblemGroup, run: Run, length: int, threads: int) -> set[tuple[str, str]]:
    """(variant, params) that nothing beats in both time and error, variants under a mask of their
    own left out; empty without a fit."""
    if run.fit is None:
        return set()
    problems = run.fit.problems(group)
    return {(p.variant, p.params) for found in run.fit.pareto
            if found.problem in problems and found.seq == length and found.threads == threads
            for p in found.points if p.on_dense_front}


def _absent(group: ProblemGroup, length: int, threads: list[int], shown: list[Point]) -> list[str]:
    """Names the measured series that have no place in this chart, and why."""
    drawn = {p.series.label for p in shown}
    undefined, infinite = [], []
    for series in group.series:
        rows = [row for t in threads for row in (series.cells.get((length, t)),)
                if row is not None and row.measured]
        if series.label in drawn or not rows:
            continue
        error = rows[0].figure("error_rel_l2")
        (undefined if error is None else infinite).append(plain(series.label, 40))
    notes = []
    if undefined:
        notes.append("Not shown, as no error against softmax attention is recorded: "
                     + ", ".join(undefined) + ".")
    if infinite:
        notes.append("Not shown, as the error is infinite: " + ", ".join(infinite) + ".")
    return notes


def _legend(sheet: Sheet, points: list[Point], fronts: bool) -> None:
    if any(p.own_mask for p in points):
        sheet.legend.append(Legend("hollow: under a mask of its own", Line2D(
            [], [], color=MUTED, linestyle="", marker="o", markersize=6.5,
            markerfacecolor="white", markeredgewidth=1.4)))
    if fronts:
        sheet.legend.append(Legend("front: not beaten in both",
                                   Line2D([], [], **_FRONT)))
    if any(p.mean_v for p in points):
        sheet.legend.append(Legend("answering mean(V)",
                                   Line2D([], [], **_MEAN)))
    draw_legend(sheet)
