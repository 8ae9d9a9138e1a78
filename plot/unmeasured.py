"""Cells without a time: marked in a strip at the top of the panel and listed with their reason."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from plot.data import Row
from plot.labels import label_in_gutter
from plot.problems import ProblemGroup, Series
from plot.sheet import STRIP_ROW, Sheet
from plot.style import MUTED, STRIP, TEXT, plain

LETTERS = {"skipped": "S", "failed": "F", "timeout": "T", "out-of-memory": "M"}
MOST_ROWS = 8
MOST_NOTES = 9


def unmeasured_series(group: ProblemGroup) -> list[Series]:
    return [s for s in group.series if any(not row.measured for row in s.cells.values())]


def strip_height(sheet: Sheet, count: int) -> float:
    """Fraction of a panel that the strip of `count` series takes."""
    rows = min(count, MOST_ROWS)
    return 0.0 if count == 0 else STRIP_ROW * (rows + 0.4) / sheet.panel_height


def _row_place(sheet: Sheet, index: int) -> float:
    """Height of a row of the strip, as a fraction of the panel."""
    return 1 - STRIP_ROW * (index + 0.7) / sheet.panel_height


def draw_strip(sheet: Sheet, axis: Axes, series: list[Series],
               cells: dict[str, list[tuple[float, Row]]]) -> None:
    """The strip at the top of a panel: one row per series, a letter at each cell's x.

    `cells` gives (x, row) by series label. Beyond MOST_ROWS series the rest share the last row,
    where each place shows how many there are.
    """
    if not series:
        return
    height = strip_height(sheet, len(series))
    axis.add_patch(Rectangle((0, 1 - height), 1, height, transform=axis.transAxes,
                             facecolor=STRIP, edgecolor="none", zorder=2))
    own = series if len(series) <= MOST_ROWS else series[:MOST_ROWS - 1]
    for index, entry in enumerate(own):
        y = _row_place(sheet, index)
        for x, row in cells.get(entry.label, []):
            axis.text(x, y, LETTERS[row.status], transform=axis.get_xaxis_transform(),
                      fontsize=8.5, fontweight="bold", color=TEXT, ha="center", va="center",
                      zorder=5)
        label_in_gutter(sheet, axis, entry.label, entry.style, y, MUTED)
    if len(own) < len(series):
        _draw_rest(sheet, axis, series[len(own):], cells)


def _draw_rest(sheet: Sheet, axis: Axes, series: list[Series],
               cells: dict[str, list[tuple[float, Row]]]) -> None:
    y = _row_place(sheet, MOST_ROWS - 1)
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
    """One line for each reason, with the series, lengths and threads that it concerns."""
    cells: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for series in group.series:
        for (length, threads), row in sorted(series.cells.items()):
            if not row.measured:
                reason = row.text["reason"] or "no reason given"
                cells[(row.status, reason, series.label)].append((length, threads))
    shared: dict[tuple[str, str, tuple], list[str]] = defaultdict(list)
    for (status, reason, label), places in cells.items():
        shared[(status, reason, tuple(places))].append(label)
    lines = []
    for (status, reason, places), labels in shared.items():
        where = "N = " + _joined(sorted({n for n, _ in places}))
        if len(group.threads) > 1:
            where += ", T = " + _joined(sorted({t for _, t in places}))
        who = plain(", ".join(labels), 100)
        lines.append(f"{LETTERS[status]}   {status}: {who} at {where}: {plain(reason, 180)}")
    if len(lines) > MOST_NOTES:
        hidden = len(lines) - (MOST_NOTES - 1)
        lines = lines[:MOST_NOTES - 1]
        lines.append(f"… and {hidden} more reasons: column 'reason' of summary.csv")
    return ["Not measured:"] + lines if lines else []


def _joined(values: list[int]) -> str:
    if len(values) <= 4:
        return ", ".join(map(str, values))
    return f"{values[0]}, {values[1]}, … {values[-1]}"
