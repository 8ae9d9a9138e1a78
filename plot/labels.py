"""Places labels so that they do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from matplotlib.axes import Axes

from plot.sheet import LABEL_PITCH, Sheet, short_label
from plot.style import GUIDE, TEXT, SeriesStyle, plain


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near `wanted`, in the same order, at least `gap` apart and within [low, high].

    Overlapping ones form a block around their mean, as in isotonic regression. When all of them do
    not fit, they are spaced evenly over the range.
    """
    count = len(wanted)
    if count == 0:
        return []
    if (count - 1) * gap >= high - low:
        step = (high - low) / max(count - 1, 1)
        order = numpy.argsort(numpy.asarray(wanted), kind="stable")
        placed = [0.0] * count
        for rank, index in enumerate(order):
            placed[int(index)] = low + rank * step
        return placed
    order = [int(i) for i in numpy.argsort(numpy.asarray(wanted), kind="stable")]
    blocks: list[list[float]] = []  # [start, length in gaps, members]
    for index in order:
        blocks.append([min(max(wanted[index], low), high), 1])
        while len(blocks) > 1:
            (first, n), (second, m) = blocks[-2], blocks[-1]
            if second - first >= n * gap:
                break
            start = (first * n + (second - n * gap) * m) / (n + m)
            blocks[-2:] = [[min(max(start, low), high - (n + m - 1) * gap), n + m]]
    placed = [0.0] * count
    position = iter(order)
    for start, members in blocks:
        for k in range(int(members)):
            placed[next(position)] = start + k * gap
    return placed


@dataclass
class EndLabel:
    """A label for the end of a line, at data coordinates."""

    text: str
    style: SeriesStyle
    x: float
    y: float


def label_line_ends(sheet: Sheet, axis: Axes, labels: list[EndLabel], floor: float = 0.0,
                    ceiling: float = 1.0, leaders: bool = True) -> None:
    """Writes the labels in the gutter at the right of the panel, each with a sample of its line.

    `floor` and `ceiling` bound them, as fractions of the panel's height. A thin line leads from a
    label to the end of its line, unless there are no `leaders`. Axis limits must be final.
    """
    if not labels:
        return
    points_high = sheet.panel_height * 72
    to_axes = axis.transData + axis.transAxes.inverted()
    ends = [to_axes.transform((label.x, label.y)) for label in labels]
    heights = spread([float(end[1]) * points_high for end in ends], LABEL_PITCH * 72,
                     floor * points_high, ceiling * points_high)
    inch = 1 / sheet.panel_width
    for label, end, height in zip(labels, ends, heights):
        y = height / points_high
        if leaders:
            axis.plot([float(end[0]) + 0.05 * inch, 1 + 0.14 * inch], [float(end[1]), y],
                      transform=axis.transAxes, color=GUIDE, linewidth=0.5, clip_on=False,
                      zorder=1, solid_capstyle="round")
        label_in_gutter(sheet, axis, label.text, label.style, y)


def label_in_gutter(sheet: Sheet, axis: Axes, text: str, style: SeriesStyle, y: float,
                    color: str = TEXT, most: int = 34) -> None:
    """A sample of the line and its label at height `y` (fraction of the panel)."""
    inch = 1 / sheet.panel_width
    axis.plot([1 + 0.16 * inch, 1 + 0.29 * inch, 1 + 0.42 * inch], [y] * 3,
              transform=axis.transAxes, clip_on=False, markevery=[1],
              **style.line(linewidth=1.4, markersize=style.line()["markersize"] * 0.85))
    axis.text(1 + 0.49 * inch, y, plain(text, most), transform=axis.transAxes, fontsize=8.8,
              color=color, va="center", ha="left")


@dataclass
class PointLabel:
    text: str
    x: float
    y: float


def label_points(axis: Axes, labels: list[PointLabel], obstacles: list[tuple[float, float]],
                 lines=()) -> None:
    """Writes each label at the nearest free place around its point.

    Each label takes the candidate place that overlaps least with the panel's edge, the other
    points, texts that are there already, the labels placed before it, and `lines`: (start, end)
    pairs of horizontal or vertical lines. Positions are data coordinates; axis limits must be
    final.
    """
    if not labels:
        return
    figure = axis.figure
    renderer = figure.canvas.get_renderer()
    pixel = figure.dpi / 72
    panel = axis.get_window_extent(renderer)
    dots = [tuple(axis.transData.transform(point)) for point in obstacles]
    taken: list[tuple[float, float, float, float]] = [
        (x - 5 * pixel, y - 5 * pixel, x + 5 * pixel, y + 5 * pixel) for x, y in dots]
    taken += [text.get_window_extent(renderer).extents for text in axis.texts]
    for start, end in lines:
        (x0, y0), (x1, y1) = axis.transData.transform([start, end])
        taken.append((min(x0, x1) - pixel, min(y0, y1) - pixel,
                      max(x0, x1) + pixel, max(y0, y1) + pixel))
    for label in labels:
        text = axis.annotate(short_label(label.text), (label.x, label.y), xytext=(0, 0),
                             textcoords="offset points", fontsize=8.8, color=TEXT, zorder=6,
                             va="center", ha="left")
        box = text.get_window_extent(renderer)
        x, y = axis.transData.transform((label.x, label.y))
        best = min(_places(box.width, box.height, pixel),
                   key=lambda place: _cost(x + place[0], y + place[1], box, panel, taken, place))
        text.set_position((best[0] / pixel, (best[1] + box.height / 2) / pixel))
        # A leader to the nearest point of a label that stands further off.
        near = (min(max(0.0, best[0]), best[0] + box.width),
                min(max(0.0, best[1]), best[1] + box.height))
        if numpy.hypot(*near) > 14 * pixel:
            axis.annotate("", (label.x, label.y), xytext=(near[0] / pixel, near[1] / pixel),
                          textcoords="offset points", zorder=2,
                          arrowprops={"arrowstyle": "-", "color": GUIDE, "linewidth": 0.5})
        left, bottom = x + best[0], y + best[1]
        taken.append((left, bottom, left + box.width, bottom + box.height))


def _places(width: float, height: float, pixel: float):
    """Offsets of the lower left corner from the point: right, left, above, below, then further."""
    for distance in (7, 12, 20, 30, 42, 56):
        d = distance * pixel
        yield (d, -height / 2)
        yield (-d - width, -height / 2)
        yield (-width / 2, d)
        yield (-width / 2, -d - height)
        for dy in (d, -d - height):
            yield (0.7 * d, dy)
            yield (-0.7 * d - width, dy)


def _cost(left: float, bottom: float, box, panel, taken, place) -> float:
    """Overlapped area, far above all distances; then the distance."""
    right, top = left + box.width, bottom + box.height
    overlap = 0.0
    for l, b, r, t in taken:
        overlap += max(0.0, min(right, r) - max(left, l)) * max(0.0, min(top, t) - max(bottom, b))
    outside = (max(0.0, panel.x0 - left) + max(0.0, right - panel.x1)
               + max(0.0, panel.y0 - bottom) + max(0.0, top - panel.y1))
    return 100 * (overlap + 20 * outside) + abs(place[0] + box.width / 2) * 0.3 + abs(place[1])
