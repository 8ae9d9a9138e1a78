"""The page of a figure: title block, a grid of panels with room for labels, notes and footnote.

All sizes are in inches and fixed before anything is drawn, so that nothing is clipped and the same
data gives the same page.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib import pyplot

from plot.style import MUTED, TEXT, SeriesStyle, plain

LEAST_PANEL_HEIGHT = 3.7
LABEL_PITCH = 12.5 / 72  # Between labels in the gutter.
STRIP_ROW = 0.19  # One line of the strip of unmeasured cells.
LEFT = 0.98
RIGHT = 0.15
COLUMN_GAP = 0.92  # Tick labels of the next column.
ROW_GAP = 0.95
LEAST_WIDTH = 7.0  # Of a page, for its title lines.
LINE = 0.165  # Of notes.
CHARACTERS_PER_INCH = 15.5  # Of note text.


@dataclass
class Legend:
    """An entry below the panels, for marks that no label in a panel explains."""

    text: str
    handle: Line2D


@dataclass
class Sheet:
    figure: Figure
    axes: list[Axes]
    panel_width: float
    panel_height: float
    gutter: float
    """Width of the label column at the right of each panel."""
    columns: int = 1
    legend: list[Legend] = field(default_factory=list)


@dataclass
class Text:
    """What stands around the panels."""

    heading: str
    problem: str
    machine: str
    notes: list[str]
    footnote: str


@dataclass(frozen=True)
class Grid:
    """How panels are laid out; inches. `gutter` is room for labels at the right of each panel."""

    gutter: float = 0.0
    panel_height: float = LEAST_PANEL_HEIGHT
    panel_width: float | None = None
    """5.6 for one column, 4.1 for more."""
    most_columns: int = 2
    column_gap: float = COLUMN_GAP
    row_gap: float = ROW_GAP
    title: float = 0.3
    """Above the first row, for the panels' titles."""
    left: float = LEFT


def panel_height_for(labels: int, strip_rows: int) -> float:
    """Inches in which that many labels and rows of the strip have their places."""
    return max(LEAST_PANEL_HEIGHT, (labels + 1) * LABEL_PITCH + (strip_rows + 1) * STRIP_ROW)


def make_sheet(text: Text, panels: list[str], grid: Grid, legend_rows: int = 0) -> Sheet:
    """A page with one panel per entry of `panels` (their titles)."""
    columns = min(len(panels), grid.most_columns)
    rows = -(-len(panels) // columns)
    panel_width = grid.panel_width or (5.6 if columns == 1 else 4.1)
    pitch_x = panel_width + grid.gutter + grid.column_gap
    pitch_y = grid.panel_height + grid.row_gap
    width = max(LEAST_WIDTH, grid.left + columns * pitch_x - grid.column_gap + RIGHT)
    wrap = int((width - 0.4) * CHARACTERS_PER_INCH)
    notes = [line for note in text.notes
             for line in textwrap.wrap(note, wrap, subsequent_indent="      ") or [""]]
    # Title lines are larger than notes.
    problem = textwrap.wrap(text.problem, int(wrap * 0.84))
    machine = textwrap.wrap(text.machine, int(wrap * 0.84))
    footnote = textwrap.wrap(text.footnote, int(wrap * 1.05))
    top = 0.62 + 0.2 * (len(problem) + len(machine)) + grid.title
    bottom = 0.62 + 0.24 * legend_rows + LINE * (len(notes) + len(footnote)) + 0.24
    height = top + rows * pitch_y - grid.row_gap + bottom
    figure = pyplot.figure(figsize=(width, height))
    _header(figure, text.heading, problem, machine)
    _footer(figure, notes, footnote)
    axes = []
    for index, title in enumerate(panels):
        row, column = divmod(index, columns)
        x = grid.left + column * pitch_x
        y = bottom + (rows - 1 - row) * pitch_y
        axis = figure.add_axes((x / width, y / height, panel_width / width,
                                grid.panel_height / height))
        if title:
            axis.set_title(title, loc="left", fontsize=10, fontweight="bold", color=TEXT, pad=7)
        axes.append(axis)
    sheet = Sheet(figure, axes, panel_width, grid.panel_height, grid.gutter, columns)
    sheet.figure.attnbench_legend_y = (bottom - 0.56) / height
    return sheet


def _header(figure: Figure, heading: str, problem: list[str], machine: list[str]) -> None:
    height = figure.get_figheight()
    x, y = 0.2 / figure.get_figwidth(), height - 0.18
    figure.text(x, y / height, heading, fontsize=13, fontweight="bold", va="top")
    y -= 0.31
    for color, lines in ((TEXT, problem), (MUTED, machine)):
        for line in lines:
            figure.text(x, y / height, line, fontsize=9.5, color=color, va="top")
            y -= 0.2


def _footer(figure: Figure, notes: list[str], footnote: list[str]) -> None:
    height = figure.get_figheight()
    x, y = 0.2 / figure.get_figwidth(), 0.12
    for line in reversed(footnote):
        figure.text(x, y / height, line, fontsize=7.5, color=MUTED, va="bottom")
        y += LINE
    y += 0.06
    for line in reversed(notes):
        figure.text(x, y / height, line, fontsize=8, color=TEXT, va="bottom")
        y += LINE


def draw_legend(sheet: Sheet) -> None:
    """The entries of sheet.legend in one row below the panels (make_sheet kept room for it), in
    smaller letters where they are too wide for the page."""
    if not sheet.legend:
        return
    figure, size = sheet.figure, 8.0
    left = min(LEFT, 0.35) if figure.get_figwidth() < 8 else LEFT
    for _ in range(2):
        legend = figure.legend(
            [entry.handle for entry in sheet.legend], [entry.text for entry in sheet.legend],
            loc="upper left", ncol=len(sheet.legend), frameon=False, fontsize=size,
            handlelength=2.2, borderaxespad=0, columnspacing=1.6,
            bbox_to_anchor=(left / figure.get_figwidth() - 0.005, figure.attnbench_legend_y))
        box = legend.get_window_extent(figure.canvas.get_renderer())
        room = figure.bbox.x1 - box.x0
        if box.width <= room:
            return
        legend.remove()
        size *= 0.98 * room / box.width


def gutter_for(labels: list[str]) -> float:
    """Inches that the longest label needs at the right of a panel, with its sample of the line."""
    return 0.62 + 0.083 * max(map(len, labels), default=0)


def short_label(text: str) -> str:
    return plain(text, 34)


def line_sample(style: SeriesStyle) -> Line2D:
    return Line2D([], [], **style.line())
