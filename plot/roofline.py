"""The roofline chart: arithmetic intensity against rate, under the machine's measured roofs."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plot import ticks, unmeasured
from plot.caption import page_text, threads_title
from plot.data import Run
from plot.labels import EndLabel, label_line_ends
from plot.manifest import Manifest
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, gutter_for, make_sheet, panel_height_for
from plot.style import GUIDE, MUTED, plain

# One per memory level, slowest last; solid is the arithmetic roof.
_LEVEL_DASHES = ((0, (1, 1.2)), (0, (3, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))


@dataclass(frozen=True)
class Place:
    length: int
    intensity: float
    """FLOP per byte of traffic."""
    gflops: float


def places(series: Series, threads: int) -> list[Place]:
    """The path of a series over N; cells without FLOPs, traffic or rate have no place."""
    found = []
    for n, row in series.at_threads(threads):
        flops, traffic = row.figure("performed_flops"), row.figure("traffic_bytes")
        rate = row.figure("gflops_performed")
        if row.measured and flops and traffic and rate:
            found.append(Place(n, flops / traffic, rate))
    return found


def draw_roofline(group: ProblemGroup, run: Run) -> Figure | str:
    """One panel per thread count. A string says why there is none."""
    threads = [t for t in group.threads if any(places(s, t) for s in group.series)]
    if not threads:
        return "no row has performed_flops, traffic_bytes and gflops_performed"
    sheet = make_sheet(
        page_text(group, run, "Roofline: arithmetic intensity against rate",
                  _notes(run) + unmeasured.notes(group)),
        [threads_title(t) for t in threads],
        Grid(gutter_for([s.label[:34] for s in group.series]),
             max(4.2, panel_height_for(len(group.series), 0))), 1)
    every = [p for s in group.series for t in threads for p in places(s, t)]
    xs = ticks.log_limits([p.intensity for p in every] + _ridges(run.manifest, threads), 0.05, 16)
    roofs = [v for t in threads for v in (_peak(run.manifest, t),) if v]
    rates = [p.gflops for p in every]
    high = 1.3 * max(rates + roofs)
    ys = min(min(rates) / 1.3, high / 8), high
    for axis, t in zip(sheet.axes, threads):
        _scales(axis, xs, ys)
        _roofs(axis, run.manifest, t, xs, ys)
        # Leaders would cross the paths, which lie close together below the roof.
        ends = [end for series in group.series for end in _path(axis, series, t)]
        label_line_ends(sheet, axis, ends, 0.02, 0.985, leaders=False)
    _legend(sheet)
    return sheet.figure


def _notes(run: Run) -> list[str]:
    notes = ["Intensity: performed_flops / traffic_bytes; exponentials are not counted as FLOPs, "
             "so that variants bound by them stay below the roofs. Each path runs from the shortest N "
             "(small mark) to the longest (full mark, labelled)."]
    if run.manifest is None or not (run.manifest.fma_gflops or run.manifest.bandwidth_gbs):
        notes.append("No roofs: the manifest has no measured ceilings.")
    return notes


def _peak(manifest: Manifest | None, threads: int) -> float | None:
    return manifest.fma_gflops.get(threads) if manifest else None


def _slopes(manifest: Manifest | None, threads: int) -> list[tuple[str, float]]:
    """(level, GB/s), fastest first."""
    levels = manifest.bandwidth_gbs if manifest else {}
    found = [(name, by[threads]) for name, by in levels.items() if threads in by]
    return sorted(found, key=lambda entry: -entry[1])[:len(_LEVEL_DASHES)]


def _ridges(manifest: Manifest | None, threads: list[int]) -> list[float]:
    """Where slopes meet the arithmetic roof, which the chart has to show."""
    found = []
    for t in threads:
        peak, slopes = _peak(manifest, t), _slopes(manifest, t)
        if peak:
            found += [0.7 * peak / gbs for _, gbs in slopes]
    return found


def _scales(axis: Axes, xs: tuple[float, float], ys: tuple[float, float]) -> None:
    axis.set_xscale("log")
    axis.set_xlim(*xs)
    axis.xaxis.set_major_locator(FixedLocator(ticks.round_ticks(*xs, 10, 7)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: ticks.plain_number(x)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("arithmetic intensity (FLOP per byte of traffic)")
    ticks.log_ticks(axis, *ys, ticks.plain_number, 10)
    axis.set_ylabel("performed GFLOP/s")
    axis.grid(True)


def _roofs(axis: Axes, manifest: Manifest | None, threads: int, xs: tuple[float, float],
           ys: tuple[float, float]) -> None:
    peak = _peak(manifest, threads)
    if peak:
        axis.plot(xs, [peak, peak], color=GUIDE, linewidth=1.4, zorder=2)
        axis.annotate(f"{ticks.plain_number(peak)} GFLOP/s", (xs[1], peak), xytext=(-3, 2),
                      textcoords="offset points", fontsize=7.5, color=MUTED, ha="right",
                      va="bottom")
    slopes = _slopes(manifest, threads)
    for index, (level, gbs) in enumerate(slopes):
        end = min(xs[1], peak / gbs if peak else xs[1], ys[1] / gbs)
        start = max(xs[0], ys[0] / gbs)
        if start >= end:
            continue
        axis.plot([start, end], [gbs * start, gbs * end], color=GUIDE, linewidth=1.1, zorder=2,
                  linestyle=_LEVEL_DASHES[index])
        # Named along itself, each further down than the one before, so that names stay apart.
        at = start * (end / start) ** (0.5 if end / start < 3 else 0.35)
        axis.annotate(f"{plain(level, 10)} {ticks.plain_number(gbs)} GB/s", (at, gbs * at),
                      xytext=(0, 2.5), textcoords="offset points", fontsize=7, color=MUTED,
                      rotation=ticks.screen_angle(axis, (start, gbs * start), (end, gbs * end)),
                      rotation_mode="anchor", ha="center", va="bottom")


def _path(axis: Axes, series: Series, threads: int) -> list[EndLabel]:
    found = places(series, threads)
    if not found:
        return []
    style = series.style
    xs, ys = [p.intensity for p in found], [p.gflops for p in found]
    axis.plot(xs, ys, color=style.color, linestyle=style.dashes, linewidth=1.1, alpha=0.8, zorder=3)
    sizes = [2.6 + 3.2 * i / max(len(found) - 1, 1) for i in range(len(found))]
    for x, y, size in zip(xs[:-1], ys[:-1], sizes):
        axis.plot([x], [y], **style.line(linestyle="", markersize=size, markeredgewidth=0.3))
    axis.plot([xs[-1]], [ys[-1]], **style.line(linestyle="", markersize=7, zorder=5))
    return [EndLabel(series.label, style, xs[-1], ys[-1])]


def _legend(sheet: Sheet) -> None:
    sheet.legend += [
        Legend("measured peak of multiply-adds", Line2D([], [], color=GUIDE, linewidth=1.4)),
        Legend("measured read bandwidth × intensity, by level", Line2D(
            [], [], color=GUIDE, linewidth=1.1, linestyle=_LEVEL_DASHES[1]))]
    draw_legend(sheet)
