"""Fitted growth: one small panel per series, times with the fitted curve and its band."""

from __future__ import annotations

import math

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plot import ticks, unmeasured
from plot.caption import LENGTH_LABELS, page_text
from plot.data import Row, Run
from plot.fit import ABSENT, Growth
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, make_sheet
from plot.style import GUIDE, MUTED, TEXT, plain

MOST_COLUMNS = 4
PANEL_WIDTH, PANEL_HEIGHT = 2.5, 1.55
TITLE_LINE = 0.15  # Inches of a panel's title block, per line.
CURVE_POINTS = 60
LETTERS_AT = 0.93  # Of the panel's height.


def draw_laws(group: ProblemGroup, run: Run) -> Figure | str:
    """Times with c + a N^p on the fewest and on the most threads. A string says why not."""
    if run.fit is None:
        return ABSENT
    threads = list(dict.fromkeys((group.threads[0], group.threads[-1])))
    fits = {(s.label, t): found.time for s in group.series for t in threads
            for found in (run.fit.of(group, s, t),) if found is not None}
    if not any(growth.curve for growth in fits.values()):
        return "no series was measured at two lengths"
    shown = [s for s in group.series if any(row.measured for t in threads
                                            for _, row in s.at_threads(t))]
    sheet = _sheet(group, run, shown, threads)
    values = [row.figure("time_median_s") for s in shown for t in threads
              for _, row in s.at_threads(t) if row.measured]
    limits = ticks.make_room(*ticks.log_limits(values), 0.0, 0.1)
    for index, (axis, series) in enumerate(zip(sheet.axes, shown)):
        _scales(sheet, axis, index, len(shown), group, limits)
        lines = []
        for t in threads:
            growth = fits.get((series.label, t))
            hollow = t != threads[0]
            _cells(axis, series, t, hollow)
            if growth is not None and growth.curve is not None:
                _curve(axis, series, growth, hollow)
                lines.append(f"T={t}: {growth_text(growth)}")
        _title(sheet, axis, series, lines)
        if (series.label, threads[0]) in fits:
            _breaks(axis, fits[(series.label, threads[0])], limits)
    _legend(sheet, threads)
    return sheet.figure


def growth_text(growth: Growth) -> str:
    """"p = 2.04 [1.98, 2.14], agrees with N^2"."""
    text = f"p = {growth.curve.exponent:.2f}"
    if growth.ci_low is not None and growth.ci_high is not None:
        text += f" [{growth.ci_low:.2f}, {growth.ci_high:.2f}]"
    return text + verdict_text(growth)


def verdict_text(growth: Growth) -> str:
    law = plain(growth.declared, 12)
    if not law:
        return ""
    return {"agrees": f", as {law}", "faster": f", less than {law}",
            "slower": f", more than {law}"}.get(growth.verdict, f", {law}?")


def _sheet(group: ProblemGroup, run: Run, shown: list[Series], threads: list[int]) -> Sheet:
    notes = ["Curves: t = c + a N^p with c ≥ 0, on log t. Band: the best curves with p at either "
             "end of its 95% interval, which holds noise and lack of fit. \"as N\": the times "
             "follow the cost that the variant declares, which is of that growth; \"N?\": not "
             "enough to tell. All panels have the same axes."]
    if len(group.threads) > 2:
        notes.append("Thread counts between the two are in the table of 'attnbench fit'.")
    return make_sheet(
        page_text(group, run, "Growth of time: fitted curves", notes + unmeasured.notes(group)),
        [""] * len(shown),
        Grid(panel_height=PANEL_HEIGHT, panel_width=PANEL_WIDTH, most_columns=MOST_COLUMNS,
             column_gap=0.25, row_gap=0.32 + TITLE_LINE * (1 + len(threads)),
             title=0.2 + TITLE_LINE * (1 + len(threads)), left=0.85), 1)


def _scales(sheet: Sheet, axis: Axes, index: int, count: int, group: ProblemGroup,
            limits: tuple[float, float]) -> None:
    ticks.length_axis(axis, group.lengths, 5)
    axis.tick_params(labelsize=8)
    ticks.log_ticks(axis, *limits, ticks.time_text, 10)
    axis.yaxis.get_major_locator().locs = ticks.round_ticks(*limits, 10, 5)
    axis.grid(True)
    if index % sheet.columns:
        axis.tick_params(labelleft=False)
    elif index == 0:
        axis.set_ylabel("time of one call", fontsize=8.5)
    # The last panel of its column.
    if index + sheet.columns < count:
        axis.tick_params(labelbottom=False)
    else:
        axis.set_xlabel(LENGTH_LABELS[group.length_name], fontsize=8.5)


def _cells(axis: Axes, series: Series, threads: int, hollow: bool) -> None:
    rows = series.at_threads(threads)
    measured = [(n, row) for n, row in rows if row.measured]
    style = series.style
    for n, row in measured:
        low, high = row.figure("time_ci_low_s"), row.figure("time_ci_high_s")
        if low and high:
            axis.plot([n, n], [low, high], color=style.color, linewidth=1.2, zorder=3)
    line = style.line(linestyle="", marker="o", markersize=4.0, markeredgewidth=0.4, zorder=5)
    if hollow:
        line.update(markerfacecolor="white", markeredgecolor=style.color, markeredgewidth=0.9)
    if measured:
        axis.plot([n for n, _ in measured],
                  [row.figure("time_median_s") for _, row in measured], **line)
    if not hollow:
        _letters(axis, [(n, row) for n, row in rows if not row.measured])


def _letters(axis: Axes, missing: list[tuple[int, Row]]) -> None:
    for n, row in missing:
        axis.text(n, LETTERS_AT, unmeasured.LETTERS[row.status], fontsize=7.5, fontweight="bold",
                  transform=axis.get_xaxis_transform(), color=TEXT, ha="center", va="center")


def _curve(axis: Axes, series: Series, growth: Growth, hollow: bool) -> None:
    xs = numpy.geomspace(growth.seq_min, growth.seq_max, CURVE_POINTS)
    curves = [[curve.at(x) for x in xs] for curve in (growth.curve, growth.at_low, growth.at_high)
              if curve is not None]
    color = series.style.color
    if len(curves) == 3:
        axis.fill_between(xs, numpy.min(curves, axis=0), numpy.max(curves, axis=0), color=color,
                          alpha=0.22, linewidth=0, zorder=2)
    axis.plot(xs, curves[0], color=color, linewidth=1.1, zorder=4,
              linestyle=(0, (4, 2)) if hollow else "-")


def _breaks(axis: Axes, growth: Growth, limits: tuple[float, float]) -> None:
    """Where the times leave the curve by a step; named by the cache that the working set leaves."""
    for each in growth.breaks:
        axis.axvspan(each.seq_low, each.seq_high, color=GUIDE, alpha=0.18, linewidth=0, zorder=0)
        text = f"×{ticks.plain_number(each.factor)}" + (f" {plain(each.level, 8)}" if each.level
                                                        else "")
        axis.text(math.sqrt(each.seq_low * each.seq_high), limits[0] * 1.15, text, fontsize=6.5,
                  color=MUTED, ha="center", va="bottom", zorder=6)


def _title(sheet: Sheet, axis: Axes, series: Series, lines: list[str]) -> None:
    """Label and exponents above the panel, with a sample of the marker."""
    inch = 1 / sheet.panel_height
    y = 1 + (0.07 + TITLE_LINE * len(lines)) * inch
    axis.plot([0.03], [y + 0.055 * inch], transform=axis.transAxes, clip_on=False,
              **series.style.line(linestyle=""))
    axis.text(0.075, y, plain(series.label, 34), transform=axis.transAxes, fontsize=8.8,
              fontweight="bold", va="bottom", clip_on=False)
    for number, line in enumerate(reversed(lines)):
        axis.text(0, 1 + (0.05 + TITLE_LINE * number) * inch, line, transform=axis.transAxes,
                  fontsize=7.3, color=TEXT, va="bottom", clip_on=False)


def _legend(sheet: Sheet, threads: list[int]) -> None:
    marks = {"color": MUTED, "markersize": 5, "marker": "o", "linewidth": 1.1}
    sheet.legend.append(Legend(f"T={threads[0]}", Line2D([], [], linestyle="-", **marks)))
    if len(threads) > 1:
        sheet.legend.append(Legend(f"T={threads[1]}", Line2D(
            [], [], linestyle=(0, (4, 2)), markerfacecolor="white", **marks)))
    sheet.legend.append(Legend("95% interval of p", Line2D([], [], color=MUTED, linewidth=7,
                                                           alpha=0.25)))
    sheet.legend.append(Legend("break: factor, and the cache that is left there", Line2D(
        [], [], color=GUIDE, linewidth=7, alpha=0.2)))
    draw_legend(sheet)
