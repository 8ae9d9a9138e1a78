"""Local exponents: the slope of time between neighbouring lengths, as a table in colours."""

from __future__ import annotations

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plot import unmeasured
from plot.caption import page_text, threads_title
from plot.data import Run
from plot.fit import ABSENT, Growth, Local
from plot.labels import label_in_gutter
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Sheet, gutter_for, make_sheet
from plot.style import MUTED, STRIP

CELL_WIDTH, CELL_HEIGHT = 0.74, 0.3  # Inches.
MOST_WITH_NUMBERS = 14  # Columns; more are narrow and show the colour alone.
NARROW = 0.2
LEAST_PANEL = 2.6
COLOURS = colormaps["cividis"]  # Even in brightness, and the same to colour-blind readers.
SCALE = Normalize(0.0, 2.5, clip=True)
# Told apart from the figure's own black and white, which a page may turn around.
ON_DARK, ON_BRIGHT = "#fefefe", "#010101"

Step = tuple[int, int]


def draw_exponents(group: ProblemGroup, run: Run) -> Figure | str:
    """One row per series, one column per step of N. A string says why there is none."""
    if run.fit is None:
        return ABSENT
    threads = list(dict.fromkeys((group.threads[0], group.threads[-1])))
    fits = {(s.label, t): found.time for s in group.series for t in threads
            for found in (run.fit.of(group, s, t),) if found is not None and found.time.local}
    if not fits:
        return "no series was measured at two lengths"
    steps = sorted({(int(p.seq_low), int(p.seq_high)) for g in fits.values() for p in g.local})
    shown = [s for s in group.series if any((s.label, t) in fits for t in threads)]
    numbers = len(steps) <= MOST_WITH_NUMBERS
    # Wide enough for the words below it.
    width = max(CELL_WIDTH if numbers else NARROW, LEAST_PANEL / len(steps))
    sheet = make_sheet(
        page_text(group, run, "Local exponents of time", [
            "p of t ∝ N^p from one length to the next, ± half of the 95% interval that noise gives "
            "it. Towards long N the slope becomes the law; steps of a few tenths are tiles and "
            "cache levels. Colour: dark blue 0 (constant), grey 1 (linear), yellow 2 and more."]
            + unmeasured.notes(group)),
        [threads_title(t) for t in threads],
        Grid(gutter_for([s.label[:34] for s in shown]), CELL_HEIGHT * len(shown),
             width * len(steps), left=0.35, column_gap=0.4, row_gap=1.1))
    for axis, t in zip(sheet.axes, threads):
        _axes(axis, steps, len(shown), 1 if numbers else 3)
        for row, series in enumerate(shown):
            _row(sheet, axis, row, len(shown), series, fits.get((series.label, t)), steps,
                 numbers)
    return sheet.figure


def _axes(axis: Axes, steps: list[Step], rows: int, every: int) -> None:
    """`every`: how many columns a tick label needs."""
    axis.set_xlim(0, len(steps))
    axis.set_ylim(rows, 0)
    axis.yaxis.set_major_locator(NullLocator())
    for side in axis.spines.values():
        side.set_visible(False)
    # Between cells: the lengths.
    edges = [steps[0][0], *(high for _, high in steps)]
    contiguous = all(a[1] == b[0] for a, b in zip(steps, steps[1:]))
    if contiguous:
        places = list(range(0, len(edges), every))
        axis.xaxis.set_major_locator(FixedLocator(places))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: str(edges[int(round(x))])))
    else:
        places = [i + 0.5 for i in range(0, len(steps), every)]
        axis.xaxis.set_major_locator(FixedLocator(places))
        axis.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: "{}\nto {}".format(*steps[int(x)])))
    axis.tick_params(axis="x", labelsize=8, length=0)
    axis.set_xlabel("sequence length N: from one to the next")


def _row(sheet: Sheet, axis: Axes, row: int, rows: int, series: Series, growth: Growth | None,
         steps: list[Step], numbers: bool) -> None:
    local = {(int(p.seq_low), int(p.seq_high)): p for p in growth.local} if growth else {}
    for column, step in enumerate(steps):
        found = local.get(step)
        colour = COLOURS(SCALE(found.exponent)) if found else STRIP
        axis.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white",
                                 linewidth=1.0))
        if numbers:
            _number(axis, column, row, found, series, step)
    label_in_gutter(sheet, axis, series.label, series.style, 1 - (row + 0.5) / rows)


def _number(axis: Axes, column: int, row: int, found: Local | None, series: Series,
            step: Step) -> None:
    if found is None:
        letters = {unmeasured.LETTERS[cell.status] for (n, _), cell in series.cells.items()
                   if n in step and not cell.measured}
        axis.text(column + 0.5, row + 0.5, "".join(sorted(letters)), fontsize=8, color=MUTED,
                  ha="center", va="center", fontweight="bold")
        return
    bright = SCALE(found.exponent) > 0.55
    half = (found.ci_high - found.ci_low) / 2
    axis.text(column + 0.5, row + 0.5, f"{found.exponent:.2f} ±{_half_text(half)}", fontsize=7.2,
              color=ON_BRIGHT if bright else ON_DARK, ha="center", va="center")


def _half_text(half: float) -> str:
    return f"{half:.2f}".lstrip("0") if half < 0.995 else f"{half:.1f}"
