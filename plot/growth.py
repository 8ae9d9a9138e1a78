"""Charts against the sequence length, one panel per thread count: time, workspace, roofline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plot import crossovers, ticks, unmeasured
from plot.caption import LENGTH_LABELS, page_text, threads_title
from plot.data import Run
from plot.labels import EndLabel, label_line_ends
from plot.problems import ProblemGroup, Series
from plot.sheet import (Grid, Legend, Sheet, draw_legend, gutter_for, make_sheet,
                        panel_height_for)
from plot.style import GUIDE, MUTED, STRIP, TEXT

SAMPLES_SHOWN = 40  # Per cell; more would only darken the same dots.
GUIDE_GAP = 1.7  # Factor between a guide and the nearest point.
ZERO_BAND = 0.085  # Fraction of the workspace panel kept for "none".


def _pages(group: ProblemGroup, run: Run, heading: str, extra: list[str],
           legend_rows: int) -> tuple[Sheet, list[Series]]:
    missing = unmeasured.unmeasured_series(group)
    sheet = make_sheet(page_text(group, run, heading, extra + unmeasured.notes(group)),
                       [threads_title(t) for t in group.threads],
                       Grid(gutter_for([s.label[:34] for s in group.series]),
                            panel_height_for(len(group.series),
                                             min(len(missing), unmeasured.MOST_ROWS))),
                       legend_rows)
    for axis in sheet.axes:
        ticks.length_axis(axis, group.lengths)
        axis.grid(True)
        axis.set_xlabel(LENGTH_LABELS[group.length_name])
    return sheet, missing


def _strip(sheet: Sheet, axis: Axes, missing: list[Series], threads: int) -> None:
    cells = {s.label: [(n, row) for n, row in s.at_threads(threads) if not row.measured]
             for s in missing}
    unmeasured.draw_strip(sheet, axis, [s for s in missing if cells[s.label]], cells)


def _points(series: Series, threads: int, figure: str) -> list[tuple[int, float]]:
    return [(n, row.figure(figure)) for n, row in series.at_threads(threads)
            if row.measured and row.figure(figure) is not None]


def draw_time(group: ProblemGroup, run: Run) -> Figure | str:
    """Median time with its interval; N and N^2 as guides. A string says why there is none."""
    measured = [row for row in group.rows() if row.measured]
    if not measured:
        return "no measured cell"
    marked = {t: crossovers.few_sure(crossovers.pairs_of(group, run, t)) for t in group.threads}
    sheet, missing = _pages(group, run, "Time against sequence length", [], 1)
    values = [row.figure(name) for row in measured
              for name in ("time_median_s", "time_ci_low_s", "time_ci_high_s") if row.figure(name)]
    guides = {t: _guides(group, t) for t in group.threads}
    # Room for both guides, but the quadratic one may leave the panel at the top.
    values += [g.at(g.first) for found in guides.values() for g in found]
    strip = unmeasured.strip_height(sheet, len(missing))
    low, high = ticks.make_room(*ticks.log_limits(values + [max(values) * GUIDE_GAP]), 0.0, strip)
    for axis, threads in zip(sheet.axes, group.threads):
        ticks.log_ticks(axis, low, high, ticks.time_text, 10, 1 - strip)
        axis.set_ylabel("time of one call (median)")
        for guide in guides[threads]:
            _draw_guide(axis, guide, low * (high / low) ** (1 - strip))
        ends = [end for s in group.series for end in _time_line(axis, run, s, threads)]
        for pair in marked[threads][0]:
            _mark_crossover(axis, pair, threads)
        label_line_ends(sheet, axis, ends, 0.02, _ceiling(sheet, missing))
        _strip(sheet, axis, missing, threads)
    sheet.legend.append(Legend("band: 95% interval of the median", Line2D(
        [], [], color=MUTED, linewidth=7, alpha=0.25)))
    if any(pairs for pairs, _ in marked.values()):
        every = all(complete for _, complete in marked.values())
        sheet.legend.append(Legend(
            f"crossover{'' if every else ' of an exact variant'}, with 95% interval",
            Line2D([], [], **_CROSSOVER)))
    if run.samples:
        sheet.legend.append(Legend("single samples", Line2D(
            [], [], color=MUTED, linestyle="", marker=".", markersize=4, alpha=0.6)))
    draw_legend(sheet)
    return sheet.figure


def _ceiling(sheet: Sheet, missing: list[Series]) -> float:
    """The highest place of an end label: below the strip's own labels."""
    return 0.985 - unmeasured.strip_height(sheet, len(missing)) - (0.03 if missing else 0.0)


def _time_line(axis: Axes, run: Run, series: Series, threads: int) -> list[EndLabel]:
    rows = [(n, row) for n, row in series.at_threads(threads) if row.measured]
    if not rows:
        return []
    lengths = [n for n, _ in rows]
    times = [row.figure("time_median_s") for _, row in rows]
    lows = [row.figure("time_ci_low_s") or row.figure("time_median_s") for _, row in rows]
    highs = [row.figure("time_ci_high_s") or row.figure("time_median_s") for _, row in rows]
    style = series.style
    if len(rows) > 1:
        axis.fill_between(lengths, lows, highs, color=style.color, alpha=0.22, linewidth=0,
                          zorder=3)
    else:
        axis.vlines(lengths, lows, highs, color=style.color, linewidth=3, alpha=0.3, zorder=3)
    _sample_dots(axis, run, rows, style.color)
    axis.plot(lengths, times, **style.line())
    return [EndLabel(series.label, style, lengths[-1], times[-1])]


_CROSSOVER = {"color": TEXT, "linewidth": 1.1, "marker": "o", "markersize": 8.5, "zorder": 6,
              "markerfacecolor": "none", "markeredgewidth": 1.1}


def _mark_crossover(axis: Axes, pair: crossovers.Pair, threads: int) -> None:
    """A ring where the two lines meet, and the interval as a bar through it."""
    found = pair.found
    points = _points(pair.b, threads, "time_median_s")
    height = math.exp(numpy.interp(math.log(found.seq), [math.log(n) for n, _ in points],
                                   [math.log(t) for _, t in points]))
    axis.plot([found.seq], [height], **{**_CROSSOVER, "linestyle": ""})
    if found.ci_low is not None and found.ci_high is not None:
        axis.plot([found.ci_low, found.ci_high], [height, height], color=TEXT, linewidth=1.1,
                  zorder=6)


def _sample_dots(axis: Axes, run: Run, rows, color: str) -> None:
    xs, ys = [], []
    for n, row in rows:
        samples = run.samples.get(row.text["case_id"], [])
        step = max(1, len(samples) // SAMPLES_SHOWN)
        xs += [n] * len(samples[::step])
        ys += samples[::step]
    axis.plot(xs, ys, linestyle="", marker=".", markersize=2.5, color=color, alpha=0.35, zorder=3,
              markeredgewidth=0)


@dataclass(frozen=True)
class _Guide:
    """t = factor * N^power over the measured lengths: a slope to hold the lines against."""

    power: int
    factor: float
    first: int
    last: int

    def at(self, length: float) -> float:
        return self.factor * length**self.power


def _guides(group: ProblemGroup, threads: int) -> list[_Guide]:
    """N below all lines of a panel and N^2 above them, where they hide nothing."""
    points = [p for s in group.series for p in _points(s, threads, "time_median_s")]
    lengths = sorted({n for n, _ in points})
    if len(lengths) < 2:
        return []
    return [_Guide(1, min(t / n for n, t in points) / GUIDE_GAP, lengths[0], lengths[-1]),
            _Guide(2, max(t / n**2 for n, t in points) * GUIDE_GAP, lengths[0], lengths[-1])]


def _draw_guide(axis: Axes, guide: _Guide, top: float) -> None:
    """A light line up to `top`, named along itself on the side away from the data."""
    last = min(guide.last, (top / guide.factor) ** (1 / guide.power))
    start, end = (guide.first, guide.at(guide.first)), (last, guide.at(last))
    axis.plot(*zip(start, end), color=GUIDE, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    above = guide.power == 2
    x = guide.first * (last / guide.first) ** (0.4 if above else 0.75)
    axis.annotate("∝ N²" if above else "∝ N", (x, guide.at(x)), xytext=(0, 3 if above else -3),
                  textcoords="offset points", rotation=ticks.screen_angle(axis, start, end),
                  rotation_mode="anchor", ha="center", va="bottom" if above else "top",
                  fontsize=8, color=MUTED, zorder=2)


def draw_workspace(group: ProblemGroup, run: Run) -> Figure | str:
    """Scratch memory: measured high-water mark, hollow where only the model's figure is known."""
    values = [v for row in group.rows() for v in (_workspace(row),) if v is not None]
    if not values:
        return "no workspace figure in any row"
    positive = [v for v in values if v > 0] or [1024.0]
    has_zero = any(v == 0 for v in values)
    modelled = any(not row.measured and row.figure("workspace_model_bytes") is not None
                   for row in group.rows())
    sheet, missing = _pages(group, run, "Workspace against sequence length", [],
                            1 if modelled else 0)
    strip = unmeasured.strip_height(sheet, len(missing))
    low, high = ticks.make_room(*ticks.log_limits(positive), ZERO_BAND if has_zero else 0.0, strip)
    zero = low * (high / low) ** (ZERO_BAND * 0.38)
    for axis, threads in zip(sheet.axes, group.threads):
        ticks.log_ticks(axis, low, high, ticks.bytes_text, 2, 1 - strip)
        axis.set_ylabel("workspace of one call (peak)")
        if has_zero:
            _zero_band(axis, zero)
        ends = []
        for series in group.series:
            ends += _workspace_line(axis, series, threads, zero)
        label_line_ends(sheet, axis, ends, 0.02, _ceiling(sheet, missing))
        _strip(sheet, axis, missing, threads)
    if modelled:
        sheet.legend.append(Legend("hollow: predicted, not run", Line2D(
            [], [], color=MUTED, linestyle="", marker="o", markersize=5.5,
            markerfacecolor="white")))
        draw_legend(sheet)
    return sheet.figure


def _workspace(row) -> float | None:
    peak = row.figure("workspace_peak_bytes") if row.measured else None
    return peak if peak is not None else row.figure("workspace_model_bytes")


def _zero_band(axis: Axes, zero: float) -> None:
    """A separate floor for cells that need no workspace, which a log axis cannot hold."""
    axis.axhspan(axis.get_ylim()[0], axis.get_ylim()[0] * (zero / axis.get_ylim()[0]) ** 2,
                 color=STRIP, linewidth=0, zorder=0)
    locations = [t for t in axis.yaxis.get_major_locator().locs
                 if t > axis.get_ylim()[0] * (zero / axis.get_ylim()[0]) ** 2.6]
    axis.yaxis.get_major_locator().locs = [zero, *locations]
    formatter = axis.yaxis.get_major_formatter().func
    axis.yaxis.get_major_formatter().func = (
        lambda y, position: "none" if abs(y / zero - 1) < 1e-6 else formatter(y, position))


def _workspace_line(axis: Axes, series: Series, threads: int, zero: float) -> list[EndLabel]:
    points = [(n, _workspace(row), row.measured) for n, row in series.at_threads(threads)
              if _workspace(row) is not None]
    if not points:
        return []
    xs = [n for n, _, _ in points]
    ys = [max(value, 0) or zero for _, value, _ in points]
    style = series.style
    axis.plot(xs, ys, **style.line(marker=""))
    for measured in (True, False):
        chosen = [(x, y) for x, y, p in zip(xs, ys, points) if p[2] == measured]
        if chosen:
            line = style.line(linestyle="", clip_on=False)
            if not measured:
                line.update(markerfacecolor="white", markeredgecolor=style.color,
                            markeredgewidth=1.2)
            axis.plot(*zip(*chosen), **line)
    return [EndLabel(series.label, style, xs[-1], ys[-1])]


def draw_share(group: ProblemGroup, run: Run) -> Figure | str:
    """How much of the machine's ceiling each cell reaches, in percent."""
    values = [v for s in group.series for t in group.threads
              for _, v in _points(s, t, "roofline_fraction")]
    if not values:
        return "no roofline_fraction in any row"
    sheet, missing = _pages(group, run, "Share of the roofline by sequence length", [
        "Roofline: the larger of arithmetic time (matrix products and exponentials at the measured "
        "peak) and memory time (bytes at the measured bandwidth), for what the variant itself "
        "computes."], 0)
    top = max(100.0, 100 * max(values)) * 1.04
    top /= 1 - unmeasured.strip_height(sheet, len(missing))
    for axis, threads in zip(sheet.axes, group.threads):
        axis.set_ylim(0, top)
        axis.set_yticks([0, 20, 40, 60, 80, 100])
        axis.set_ylabel("share of the roofline (%)")
        axis.axhline(100, color=GUIDE, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
        ends = []
        for series in group.series:
            points = [(n, 100 * v) for n, v in _points(series, threads, "roofline_fraction")]
            if points:
                axis.plot(*zip(*points), **series.style.line())
                ends.append(EndLabel(series.label, series.style, *points[-1]))
        label_line_ends(sheet, axis, ends, 0.02, _ceiling(sheet, missing))
        _strip(sheet, axis, missing, threads)
    return sheet.figure
