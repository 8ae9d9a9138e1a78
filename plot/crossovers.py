"""Crossovers: from which length on one variant is the faster of two, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plot import ticks, unmeasured
from plot.caption import LENGTH_LABELS, page_text, threads_title
from plot.data import Run
from plot.fit import ABSENT, Crossover
from plot.labels import label_in_gutter
from plot.problems import ProblemGroup, Series
from plot.sheet import Grid, Legend, Sheet, draw_legend, gutter_for, make_sheet, panel_height_for
from plot.style import GUIDE, MUTED, TEXT, one_line

MOST_ROWS = 30
NAME = 22  # Characters of each of the two names of a row.


@dataclass
class Pair:
    a: Series
    b: Series
    found: Crossover

    @property
    def against_exact(self) -> bool:
        return "exact" in (self.a.exactness, self.b.exactness)

    @property
    def crosses(self) -> bool:
        return self.found.seq is not None

    @property
    def sure(self) -> bool:
        return self.found.verdict != "uncertain"


def pairs_of(group: ProblemGroup, run: Run, threads: int) -> list[Pair]:
    """All pairs of this problem and thread count that the fit compared."""
    by_key = {(s.variant, s.params): s for s in group.series}
    problems = run.fit.problems(group) if run.fit else set()
    return [Pair(by_key[c.a], by_key[c.b], c) for c in (run.fit.crossovers if run.fit else [])
            if c.threads == threads and c.problem in problems and c.a in by_key and c.b in by_key]


def chosen(pairs: list[Pair], most: int = MOST_ROWS) -> list[Pair]:
    """Up to `most`, by N: crossings first, of them those of exact variants; then pairs with an
    exact variant that keep their order all along; then what is uncertain."""
    def rank(pair: Pair) -> int:
        kind = 4 if not pair.sure else 0 if pair.crosses else 2
        return kind + (0 if pair.against_exact else 1)
    kept = sorted((p for p in pairs if p.crosses or p.against_exact), key=rank)[:most]
    return sorted(kept, key=lambda p: (not p.crosses, p.found.seq or 0.0,
                                       -(p.found.ratio_at_max or 0.0)))


def few_sure(pairs: list[Pair], most: int = 8) -> tuple[list[Pair], bool]:
    """The crossings that a chart of all times can mark: all (True), else those of exact variants,
    else none."""
    sure = [p for p in pairs if p.crosses and p.sure]
    if len(sure) <= most:
        return sure, True
    kept = [p for p in sure if p.against_exact]
    return (kept if len(kept) <= most else []), False


def draw_crossovers(group: ProblemGroup, run: Run) -> Figure | str:
    """One row per pair: where the faster one leads. A string says why there is none."""
    if run.fit is None:
        return ABSENT
    every = {t: pairs_of(group, run, t) for t in group.threads}
    if not any(every.values()):
        return "no two series have two lengths in common"
    threads = [t for t in dict.fromkeys((group.threads[0], group.threads[-1])) if every[t]]
    rows = {t: chosen(every[t]) for t in threads}
    if not any(rows.values()):
        return "no pair of series crosses, and none has an exact variant"
    count = max(len(pairs) for pairs in rows.values())
    labels = [_label(p) for pairs in rows.values() for p in pairs]
    sheet = make_sheet(
        page_text(group, run, "Crossovers: from which length on one variant is the faster",
                  _notes(every, rows) + unmeasured.notes(group)),
        [threads_title(t) for t in threads],
        Grid(gutter_for(labels), panel_height_for(count + 1, 0), left=0.4, column_gap=0.5), 1)
    for axis, t in zip(sheet.axes, threads):
        ticks.length_axis(axis, group.lengths)
        axis.set_ylim(0, 1)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.grid(True, axis="x")
        axis.set_xlabel(LENGTH_LABELS[group.length_name])
        for index, pair in enumerate(rows[t]):
            _row(sheet, axis, pair, 1 - (index + 0.7) / (count + 0.6))
    _legend(sheet)
    return sheet.figure


def _label(pair: Pair) -> str:
    ratio = pair.found.ratio_at_max
    text = f"{one_line(pair.b.label, NAME)} < {one_line(pair.a.label, NAME)}"
    return text + (f"  ×{ticks.plain_number(float(f'{ratio:.2g}'))}" if ratio else "")


def _row(sheet: Sheet, axis: Axes, pair: Pair, y: float) -> None:
    """A bar over the lengths at which b is the faster; at its start the crossover."""
    found, style = pair.found, pair.b.style
    start = found.seq if found.seq is not None else found.seq_min
    sure = pair.sure
    axis.plot([start, found.seq_max], [y, y], color=style.color, linewidth=3.2 if sure else 1.2,
              alpha=0.55, solid_capstyle="butt", linestyle="-" if sure else (0, (2, 1)), zorder=2)
    if found.seq is not None:
        if found.ci_low is not None and found.ci_high is not None:
            axis.plot([found.ci_low, found.ci_high], [y, y], color=TEXT, linewidth=1.1, zorder=4)
            for end in (found.ci_low, found.ci_high):
                axis.plot([end], [y], marker="|", color=TEXT, markersize=6, zorder=4)
        axis.plot([found.seq], [y], marker="o", markersize=5.5, color=style.color, zorder=5,
                  markeredgecolor=TEXT if sure else style.color, markeredgewidth=0.8,
                  markerfacecolor=style.color if sure else "white")
    label_in_gutter(sheet, axis, _label(pair), style, y, most=2 * NAME + 12)


def _notes(every: dict[int, list[Pair]], rows: dict[int, list[Pair]]) -> list[str]:
    notes = ["\"b < a\": b takes less time than a where the bar is, to the longest common length; "
             "×: how many times as fast it is there. The mark is where the interpolated times "
             "cross for the last time. Nothing is said beyond the measured lengths."]
    hidden = sum(len(every[t]) - len(rows[t]) for t in rows)
    if hidden:
        notes.append(f"{hidden} more pairs are in fit.json, most of which do not cross; crossings "
                     "against exact variants come first.")
    left_out = [t for t in every if t not in rows]
    if left_out:
        notes.append(f"T = {', '.join(map(str, left_out))}: in fit.json.")
    return notes


def _legend(sheet: Sheet) -> None:
    mark = {"color": MUTED, "marker": "o", "markersize": 5.5}
    sheet.legend += [
        Legend("crossover with 95% interval", Line2D([], [], linewidth=1.1, **mark)),
        Legend("uncertain", Line2D([], [], linestyle=(0, (2, 1)), linewidth=1.2,
                                   markerfacecolor="white", **mark)),
        Legend("b is the faster", Line2D([], [], color=GUIDE, linewidth=3.2, alpha=0.8))]
    draw_legend(sheet)
