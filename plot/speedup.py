"""Speed-up and efficiency against threads: each cell against itself on one thread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plot import ticks, unmeasured
from plot.caption import page_text
from plot.data import Row, Run
from plot.labels import EndLabel, label_line_ends
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, gutter_for, make_sheet, panel_height_for
from plot.style import GUIDE, MUTED, TEXT

LINEAR_UP_TO = 8  # Threads; beyond, both axes are logarithmic.
MOST_BANDS = 8  # Series; more have their intervals as bars, as bands would only darken each other.

# (threads, speed-up, low, high)
Point = tuple[int, float, float, float]


def speedups(series: Series, length: int, threads: list[int]) -> list[Point]:
    """(threads, speed-up, low, high) of the measured cells; empty without a one-thread cell.

    The band divides the ends of the two intervals: it is at least as wide as a 95% interval.
    """
    base = series.cells.get((length, 1))
    if base is None or not base.measured:
        return []
    points = []
    for count in threads:
        row = series.cells.get((length, count))
        if row is not None and row.measured:
            low, high = _interval(row)
            base_low, base_high = _interval(base)
            ratio = base.figure("time_median_s") / row.figure("time_median_s")
            points.append((count, ratio, ratio, ratio) if count == 1
                          else (count, ratio, base_low / high, base_high / low))
    return points


def _interval(row: Row) -> tuple[float, float]:
    median = row.figure("time_median_s")
    return row.figure("time_ci_low_s") or median, row.figure("time_ci_high_s") or median


def chosen_lengths(group: ProblemGroup) -> list[int]:
    """Up to four lengths that have a speed-up: the ends and evenly spaced ones between."""
    usable = [n for n in group.lengths
              if any(len(speedups(s, n, group.threads)) > 1 for s in group.series)]
    if len(usable) <= 4:
        return usable
    step = (len(usable) - 1) / 3
    return [usable[round(i * step)] for i in range(4)]


@dataclass
class _View:
    """What one of the two figures makes of the speed-ups."""

    heading: str
    label: str
    ideal: str
    of: Callable[[float, int], float]
    """(speed-up, threads) -> what is drawn."""
    scales: Callable
    notes: list[str]


def draw_speedup(group: ProblemGroup, run: Run) -> Figure | str:
    """Speed-up by thread count. A string says why there is none."""
    return _draw(group, run, _View("Speed-up against threads", "speed-up: time at T=1 / time at T",
                                   "ideal: T times", lambda ratio, _: ratio, _speedup_scales, []))


def draw_efficiency(group: ProblemGroup, run: Run) -> Figure | str:
    """Speed-up per thread, beside what the machine itself keeps of a thread's rate."""
    return _draw(group, run, _View(
        "Thread efficiency", "efficiency: speed-up / T (%)", "ideal: 100%",
        lambda ratio, threads: 100 * ratio / threads, _efficiency_scales,
        ["The machine's lines are its measured ceilings at T threads over T times those at one: "
         "what falls below 100% there is not the variant's doing. Differences inside the intervals "
         "mean nothing."]))


def _draw(group: ProblemGroup, run: Run, view: _View) -> Figure | str:
    if len(group.threads) < 2:
        return "only one thread count was run"
    if 1 not in group.threads:
        return "nothing was run on one thread, which speed-up is measured against"
    lengths = chosen_lengths(group)
    if not lengths:
        return "no cell was measured both on one thread and on more"
    missing = unmeasured.unmeasured_series(group)
    sheet = make_sheet(
        page_text(group, run, view.heading, view.notes + unmeasured.notes(group)),
        [f"N = {n}" for n in lengths],
        Grid(gutter_for([s.label[:34] for s in group.series]),
             panel_height_for(len(group.series), min(len(missing), unmeasured.MOST_ROWS))), 1)
    found = [p for n in lengths for s in group.series for p in speedups(s, n, group.threads)]
    machine = _machine_ratios(run, group.threads)
    # The medians and the ideal fit; the band of a noisy cell may leave the panel.
    shown_values = [view.of(p[1], p[0]) for p in found]
    shown_values += [view.of(v, t) for _, ratio, _ in machine for t, v in ratio.items()]
    shown_values += [view.of(float(t), t) for t in group.threads]
    for axis, length in zip(sheet.axes, lengths):
        shown = [s for s in missing if any(not row.measured for (n, _), row in s.cells.items()
                                           if n == length)]
        axis.grid(True)
        axis.set_xlabel("threads T")
        axis.set_ylabel(view.label)
        view.scales(axis, group.threads, shown_values, unmeasured.strip_height(sheet, len(shown)))
        _references(axis, group.threads, machine, view)
        _panel(sheet, axis, group, length, shown, view)
    _legend(sheet, machine, view)
    return sheet.figure


def _panel(sheet: Sheet, axis: Axes, group: ProblemGroup, length: int, missing: list[Series],
           view: _View) -> None:
    ends = []
    for series in group.series:
        points = speedups(series, length, group.threads)
        if len(points) > 1:
            xs = [p[0] for p in points]
            values, lows, highs = ([view.of(p[i], p[0]) for p in points] for i in (1, 2, 3))
            if len(group.series) <= MOST_BANDS:
                axis.fill_between(xs, lows, highs, color=series.style.color, alpha=0.13,
                                  linewidth=0, zorder=3)
            else:
                axis.vlines(xs, lows, highs, color=series.style.color, alpha=0.45, linewidth=1.1,
                            zorder=3)
            axis.plot(xs, values, **series.style.line())
            ends.append(EndLabel(series.label, series.style, xs[-1], values[-1]))
    strip = unmeasured.strip_height(sheet, len(missing))
    label_line_ends(sheet, axis, ends, 0.02, 0.97 - strip - (0.03 if missing else 0))
    unmeasured.draw_strip(sheet, axis, missing, {
        s.label: [(t, row) for (n, t), row in s.cells.items() if n == length and not row.measured]
        for s in missing})


_IDEAL = {"color": GUIDE, "linewidth": 1.1, "linestyle": (0, (4, 3)), "zorder": 1}
_FMA = {"color": TEXT, "linewidth": 1.0, "linestyle": (0, (1, 1.5)), "zorder": 2}
_MEMORY = {"color": MUTED, "linewidth": 1.0, "linestyle": (0, (7, 2, 1, 2)), "zorder": 2}


def _machine_ratios(run: Run, threads: list[int]) -> list[tuple[str, dict[int, float], dict]]:
    """The machine's own gain, peak(T)/peak(1), for arithmetic and for memory."""
    ratios = []
    if run.manifest:
        for name, figures, style in (
                ("this machine's arithmetic peak", run.manifest.fma_gflops, _FMA),
                ("its memory bandwidth", run.manifest.memory_gbs, _MEMORY)):
            if 1 in figures:
                ratio = {t: figures[t] / figures[1] for t in threads if t in figures}
                if len(ratio) > 1:
                    ratios.append((name, ratio, style))
    return ratios


def _references(axis: Axes, threads: list[int],
                machine: list[tuple[str, dict[int, float], dict]], view: _View) -> None:
    ends = [1, max(threads)]
    axis.plot(ends, [view.of(float(t), t) for t in ends], **_IDEAL)
    for _, ratio, style in machine:
        axis.plot(list(ratio), [view.of(v, t) for t, v in ratio.items()], **style)


def _legend(sheet: Sheet, machine: list[tuple[str, dict[int, float], dict]], view: _View) -> None:
    sheet.legend.append(Legend(view.ideal, Line2D([], [], **_IDEAL)))
    for name, _, style in machine:
        sheet.legend.append(Legend(name, Line2D([], [], **style)))
    sheet.legend.append(Legend("band or bar: 95% intervals, divided",
                               Line2D([], [], color=MUTED, linewidth=7, alpha=0.2)))
    draw_legend(sheet)


def _thread_axis(axis: Axes, threads: list[int]) -> None:
    most = max(threads)
    if most <= LINEAR_UP_TO:
        pad = 0.06 * (most - 1)
        axis.set_xlim(1 - pad, most + pad)
        axis.xaxis.set_major_locator(FixedLocator(threads))
    else:
        ticks.length_axis(axis, threads)


def _speedup_scales(axis: Axes, threads: list[int], values: list[float], strip: float) -> None:
    _thread_axis(axis, threads)
    if max(threads) <= LINEAR_UP_TO:
        bottom = min(0.8, min(values) - 0.1)
        axis.set_ylim(bottom, bottom + (max(values) * 1.05 - bottom) / (1 - strip))
        return
    low, high = ticks.make_room(*ticks.log_limits([min([*values, 1.0]), max(values)]), 0, strip)
    axis.set_yscale("log", base=2)
    axis.set_ylim(low, high)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axis.yaxis.set_minor_locator(NullLocator())


def _efficiency_scales(axis: Axes, threads: list[int], values: list[float], strip: float) -> None:
    _thread_axis(axis, threads)
    top = max(103.0, 1.03 * max(values))
    bottom = min(80.0, 10 * math.floor(min(values) / 10 - 0.5))
    axis.set_ylim(bottom, bottom + (top - bottom) / (1 - strip))
    axis.set_yticks([t for t in range(0, 201, 5 if top - bottom < 40 else 20)
                     if bottom <= t <= top])
