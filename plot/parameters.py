"""Error against a swept parameter (features, rank, k, window) at fixed N."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plot import ticks, unmeasured
from plot.caption import page_text
from plot.data import Row, Run
from plot.labels import EndLabel, label_line_ends
from plot.pareto import BAND, FLOOR, at_fraction, rounding_band
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, gutter_for, make_sheet, panel_height_for
from plot.style import GUIDE, MUTED, TEXT, plain, series_style

MOST_LENGTHS = 4
MOST_PANELS = 12


@dataclass
class Line:
    """Errors of one variant over one parameter, all else fixed."""

    label: str
    points: list[tuple[float, float]]
    mean_v: float | None
    missing: list[tuple[float, Row]]


@dataclass
class Panel:
    variant: str
    parameter: str
    lines: list[Line]
    own_mask: bool = False  # The yardstick is softmax attention under the variant's own mask.

    @property
    def title(self) -> str:
        title = f"{plain(self.variant, 24)}: {plain(self.parameter, 24)}"
        return f"{title}, under its mask" if self.own_mask else title


def _params(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(";") if part)


def _value(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def panels_of(group: ProblemGroup) -> list[Panel]:
    """One per variant that is not exact and number that is swept, on the fewest threads; those of
    masks last, whose error is that of rounding whatever they leave out."""
    panels = []
    for variant in dict.fromkeys(s.variant for s in group.series):
        sets = [(s, _params(s.params)) for s in group.series if s.variant == variant]
        exactness = sets[0][0].exactness
        if exactness not in ("approximate", "exact-under-mask"):
            continue
        for name in sorted({n for _, p in sets for n in p}):
            swept = [(s, p, _value(p.get(name))) for s, p in sets]
            swept = [entry for entry in swept if entry[2] is not None]
            if len({value for _, _, value in swept}) < 2:
                continue
            lines = _lines(group, name, swept)
            if any(len(line.points) > 1 for line in lines):
                panels.append(Panel(variant, name, lines, exactness == "exact-under-mask"))
    return sorted(panels, key=lambda panel: panel.own_mask)[:MOST_PANELS]


def _lines(group: ProblemGroup, name: str, swept) -> list[Line]:
    """By what the other parameters are, at up to four lengths."""
    others: dict[str, list[tuple[float, Series]]] = {}
    names = {n for _, p, _ in swept for n in p if n != name}
    varying = sorted(n for n in names if len({p.get(n) for _, p, _ in swept}) > 1)
    for series, params, value in swept:
        key = " ".join(f"{n}={params.get(n, '')}" for n in varying)
        others.setdefault(key, []).append((value, series))
    usable = [n for n in group.lengths if any(_errors(entries, n, group.threads[0])[0]
                                              for entries in others.values())]
    if len(usable) > MOST_LENGTHS:
        step = (len(usable) - 1) / (MOST_LENGTHS - 1)
        usable = [usable[round(i * step)] for i in range(MOST_LENGTHS)]
    if len(others) > 2:
        usable = usable[-1:]
    lines = []
    for key, entries in others.items():
        for n in usable:
            points, mean_v, missing = _errors(entries, n, group.threads[0])
            if points or missing:
                lines.append(Line(f"N={n} {key}".strip(), points, mean_v, missing))
    return lines


def _errors(entries: list[tuple[float, Series]], length: int, threads: int):
    points, missing, mean_v = [], [], None
    for value, series in sorted(entries, key=lambda entry: entry[0]):
        row = series.cells.get((length, threads))
        if row is None:
            continue
        error = row.figure("error_rel_l2")
        if not row.measured:
            missing.append((value, row))
        elif error and math.isfinite(error):
            points.append((value, error))
            mean_v = row.figure("error_mean_v")
    return points, mean_v, missing


def draw_parameters(group: ProblemGroup, run: Run) -> Figure | str:
    """One panel per swept parameter of what is not exact. A string says why there is none."""
    panels = panels_of(group)
    if not panels:
        return "no approximate or masked variant was run with several values of a parameter"
    inputs = sorted({row.text["input"] for row in group.rows()})
    labels = [line.label[:34] for panel in panels for line in panel.lines]
    own_mask = ["Under its mask: the error of a window or pattern is against softmax attention "
                "under that pattern; it is rounding, and says nothing about the keys left out."]
    sheet = make_sheet(
        page_text(group, run, "Error against parameter", [
            f"Error: relative L2 distance to float64 softmax attention under the same mask, on "
            f"{plain(', '.join(inputs))} input; other inputs give other errors. Above the dashed "
            "line of its length a variant has learnt nothing that answering mean(V) would not say."
        ] + own_mask * any(p.own_mask for p in panels) + unmeasured.notes(group)),
        [panel.title for panel in panels],
        Grid(gutter_for(labels), panel_height_for(max(len(p.lines) for p in panels), 0)), 1)
    for axis, panel in zip(sheet.axes, panels):
        _draw_panel(sheet, axis, panel)
    sheet.legend += [Legend("answering mean(V), at the same length",
                            Line2D([], [], color=MUTED, **_MEAN)),
                     Legend("slope of 1 / √parameter", Line2D([], [], **_SLOPE))]
    draw_legend(sheet)
    return sheet.figure


_MEAN = {"linewidth": 0.9, "linestyle": (0, (6, 2)), "zorder": 2}
_SLOPE = {"color": GUIDE, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 1}


def _draw_panel(sheet: Sheet, axis: Axes, panel: Panel) -> None:
    xs = [x for line in panel.lines for x, _ in [*line.points, *line.missing]]
    points = [p for line in panel.lines for p in line.points]
    shown = [e for _, e in points if e >= FLOOR]
    shown += [line.mean_v for line in panel.lines if line.mean_v and math.isfinite(line.mean_v)]
    band = BAND if any(e < FLOOR for _, e in points) else 0.0
    limits = ticks.make_room(*ticks.log_limits(shown or [1.0], 0.1), band, 0.06)
    _value_axis(axis, sorted(set(xs)), panel.parameter)
    ticks.log_ticks(axis, *limits, lambda y: f"{y:g}", 10)
    axis.set_ylabel("relative L2 error", labelpad=2)
    axis.grid(True)
    if band:
        rounding_band(axis, limits)
    _slope(axis, points, xs)
    ends = []
    for index, line in enumerate(panel.lines):
        ends += _draw_line(axis, line, index, limits)
    label_line_ends(sheet, axis, ends, 0.02, 0.96)


def _slope(axis: Axes, points: list[tuple[float, float]], xs: list[float]) -> None:
    """Below all points that are no rounding, where it hides nothing; it may leave the panel."""
    levels = [e * math.sqrt(x) for x, e in points if e >= FLOOR]
    if levels:
        ends = [min(xs), max(xs)]
        axis.plot(ends, [min(levels) / 1.25 / math.sqrt(x) for x in ends], **_SLOPE)


def _draw_line(axis: Axes, line: Line, index: int,
               limits: tuple[float, float]) -> list[EndLabel]:
    style = series_style(index)
    if line.mean_v and math.isfinite(line.mean_v):
        axis.axhline(line.mean_v, color=style.color, alpha=0.75, **_MEAN)
    for x, row in line.missing:
        axis.text(x, 0.97 - 0.04 * index, unmeasured.LETTERS[row.status], fontsize=8,
                  fontweight="bold", transform=axis.get_xaxis_transform(), color=TEXT,
                  ha="center", va="center")
    if not line.points:
        return []
    floor = at_fraction(limits, BAND * 0.55)
    places = [(x, e if e >= FLOOR else floor) for x, e in line.points]
    axis.plot(*zip(*places), **style.line())
    return [EndLabel(line.label, style, *places[-1])]


def _value_axis(axis: Axes, values: list[float], name: str) -> None:
    low, high = min(values), max(values)
    pad = max((high / low) ** 0.05, 1.06)
    axis.set_xscale("log", base=2)
    axis.set_xlim(low / pad, high * pad)
    shown = values
    while len(shown) > 8:
        shown = shown[::-2][::-1]
    axis.xaxis.set_major_locator(FixedLocator(shown))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(plain(name, 40))
