"""Cells without a time: marked in a strip at the top of the panel and listed with their reason."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from plot.data import Row
from plot.labels import label_in_gutter
from plot.problems import ProblemGroup, Series
from plot.sheet import PANEL_HEIGHT, Sheet
from plot.style import MUTED, STRIP, TEXT, plain

LETTERS = {"skipped": "S", "failed": "F", "timeout": "T", "out-of-memory": "M"}
ROW_HEIGHT = 0.19 / PANEL_HEIGHT  # Of the panel, one line of the strip.
MOST_ROWS = 8
MOST_NOTES = 9


def unmeasured_series(group: ProblemGroup) -> list[Series]:
    return [s for s in group.series if any(not row.measured for row in s.cells.values())]


def strip_height(count: int) -> float:
    """Fraction of a panel that the strip of `count` series takes."""
    return 0.0 if count == 0 else ROW_HEIGHT * (min(count, MOST_ROWS) + 0.4)


def draw_strip(sheet: Sheet, axis: Axes, series: list[Series],
               cells: dict[str, list[tuple[float, Row]]]) -> None:
    """The strip at the top of a panel: one row per series, a letter at each cell's x.

    `cells` gives (x, row) by series label. Beyond MOST_ROWS series the rest share the last row,
    where each place shows how many there are.
    """
    if not series:
        return
    height = strip_height(len(series))
    axis.add_patch(Rectangle((0, 1 - height), 1, height, transform=axis.transAxes,
                             facecolor=STRIP, edgecolor="none", zorder=2))
    own = series if len(series) <= MOST_ROWS else series[:MOST_ROWS - 1]
    for index, entry in enumerate(own):
        y = 1 - ROW_HEIGHT * (index + 0.7)
        for x, row in cells.get(entry.label, []):
            axis.text(x, y, LETTERS[row.status], transform=axis.get_xaxis_transform(),
                      fontsize=8.5, fontweight="bold", color=TEXT, ha="center", va="center",
                      zorder=5)
        label_in_gutter(sheet, axis, entry.label, entry.style, y, MUTED)
    if len(own) < len(series):
        _draw_rest(sheet, axis, series[len(own):], cells)


def _draw_rest(sheet: Sheet, axis: Axes, series: list[Series],
               cells: dict[str, list[tuple[float, Row]]]) -> None:
    y = 1 - ROW_HEIGHT * (MOST_ROWS - 1 + 0.7)
    counts: dict[float, int] = defaultdict(int)
    for entry in series:
        for x, _ in cells.get(entry.label, []):
            counts[x] += 1
    for x, count in counts.items():
        axis.text(x, y, str(count), transform=axis.get_xaxis_transform(), fontsize=8, color=TEXT,
                  ha="center", va="center", zorder=5)
    axis.text(1 + 0.16 / sheet.panel_width, y, f"cells of {len(series)} more",
              transform=axis.transAxes, fontsize=8.5, color=MUTED, va="center")


def notes(group: ProblemGroup) -> list[str]:
    """One line for each series and reason, with the lengths and threads it concerns."""
    found: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for series in group.series:
        for (length, threads), row in sorted(series.cells.items()):
            if not row.measured:
                key = (row.status, series.label, row.text["reason"] or "no reason given")
                found[key].append((length, threads))
    if not found:
        return []
    lines = []
    for (status, label, reason), cells in found.items():
        lengths = _joined(sorted({n for n, _ in cells}))
        threads = _joined(sorted({t for _, t in cells}))
        where = f"N = {lengths}" if len(group.threads) == 1 else f"N = {lengths}, T = {threads}"
        lines.append(f"{LETTERS[status]}   {status}: {plain(label, 40)} at {where}: "
                     f"{plain(reason, 180)}")
    if len(lines) > MOST_NOTES:
        hidden = len(lines) - (MOST_NOTES - 1)
        lines = lines[:MOST_NOTES - 1]
        lines.append(f"… and {hidden} more reasons; the column 'reason' of summary.csv has them all")
    return ["Not measured:"] + lines


def _joined(values: list[int]) -> str:
    if len(values) <= 4:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, … {values[-1]}"
