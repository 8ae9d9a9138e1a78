"""The tables of a report: rows, fits, crossovers, thread scaling, fronts, what was not measured."""

from __future__ import annotations

from typing import Callable

from plot import ticks
from plot.data import Row, Run
from plot.fit import Crossover, FitSeries, Growth, ParetoGroup, ParetoPoint, Scaling
from plot.page import Cell, Column, Table
from plot.problems import ProblemGroup, Series

# Of the whole run: by series key, the label that tells it from the others.
Labels = dict[tuple[str, str], str]
Place = tuple[ProblemGroup, Series, int, Row]


def series_labels(groups: list[ProblemGroup]) -> Labels:
    return {(s.variant, s.params): s.label for group in groups for s in group.series}


def problem_name(run: Run, group: ProblemGroup) -> str:
    """As `attnbench fit` calls it, else the figure's title."""
    names = run.fit.problems(group) if run.fit else set()
    return min(names) if len(names) == 1 else group.title


def number(value: float | None, show: Callable[[float], str]) -> Cell:
    return Cell("") if value is None else Cell(show(value), value)


def seconds(value: float | None) -> Cell:
    return number(value, ticks.time_text)


def size(value: float | None) -> Cell:
    return number(value, lambda v: "0" if v == 0 else ticks.bytes_text(v))


def percent(value: float | None) -> Cell:
    return number(value, lambda v: f"{100 * v:.0f}%")


def plain(digits: int) -> Callable[[float], str]:
    return lambda v: f"{round(v, digits) + 0.0:.{digits}f}"  # No "-0.00".


def figure(value: float | None) -> Cell:
    """Three digits, with an exponent where it is short."""
    return number(value, lambda v: f"{v:.2e}" if v and not 1e-3 <= abs(v) < 1e5 else f"{v:.3g}")


def interval(low: float | None, high: float | None, show: Callable[[float], str]) -> Cell:
    """Sorted by its relative width."""
    if low is None or high is None:
        return Cell("")
    width = (high - low) / abs(high + low) if high + low else high - low
    return Cell(f"{show(low)} – {show(high)}", width)


def places(groups: list[ProblemGroup]) -> list[Place]:
    return [(group, series, n, row) for group in groups for series in group.series
            for (n, _), row in sorted(series.cells.items(), key=lambda cell: cell[0])]


def _raw_number(row: Row, name: str) -> float | None:
    try:
        return float(row.cells.get(name, ""))
    except ValueError:
        return None


def row_table(run: Run, groups: list[ProblemGroup]) -> Table:
    """Every row of summary.csv."""
    several = len(groups) > 1
    columns = [Column("variant"), *([Column("problem")] if several else []),
               Column("N", True, "sequence length"), Column("T", True, "threads"),
               Column("status"), Column("time", True, "median of one call"),
               Column("95% interval", True, "of the median; sorts by its relative width"),
               Column("samples", True), Column("GFLOP/s", True, "performed"),
               Column("of the roofline", True), Column("workspace", True, "peak"),
               Column("predicted", True, "workspace by the variant's formula"),
               Column("error", True, "relative L2 against softmax attention under the same mask"),
               Column("of mean(V)", True, "the error of answering mean(V)"),
               Column("own definition", True, "relative L2 against the variant's own definition"),
               Column("exactness"), Column("parameters"), Column("rerun with")]
    table = Table("rows", "Every row of summary.csv", columns)
    for group, series, n, row in places(groups):
        of = row.figure
        table.rows.append([
            Cell(series.label), *([Cell(problem_name(run, group))] if several else []),
            Cell(str(n), n), Cell(str(row.sizes["threads"]), row.sizes["threads"]),
            Cell(row.status), seconds(of("time_median_s")),
            interval(of("time_ci_low_s"), of("time_ci_high_s"), ticks.time_text),
            number(_raw_number(row, "samples"), plain(0)),
            number(of("gflops_performed"), ticks.plain_number),
            percent(of("roofline_fraction")), size(of("workspace_peak_bytes")),
            size(of("workspace_model_bytes")), figure(of("error_rel_l2")),
            figure(of("error_mean_v")), figure(_raw_number(row, "definition_rel_l2")),
            Cell(row.text["exactness"]), Cell(row.text["params"]),
            Cell(row.cells.get("repro", ""), code=True)])
    return table


def missing_table(run: Run, groups: list[ProblemGroup]) -> Table:
    """Rows without a time, with the reason."""
    columns = [Column("variant"), Column("problem"), Column("N", True), Column("T", True),
               Column("status"), Column("reason"), Column("rerun with")]
    table = Table("missing", "Cells without a time", columns)
    table.rows = [[Cell(series.label), Cell(problem_name(run, group)), Cell(str(n), n),
                   Cell(str(row.sizes["threads"]), row.sizes["threads"]), Cell(row.status),
                   Cell(row.text["reason"]), Cell(row.cells.get("repro", ""), code=True)]
                  for group, series, n, row in places(groups) if not row.measured]
    return table


def growth_table(run: Run, labels: Labels) -> Table:
    """One row per series and quantity."""
    columns = [Column("variant"), Column("problem"), Column("T", True), Column("of"),
               Column("exponent", True, "p of c + a N^p"), Column("95% interval", True),
               Column("law", help="declared at a weight above 0.95, else undetermined"),
               Column("weight", True, "Akaike weight of the best law"), Column("declared"),
               Column("verdict", help="faster grows less than declared, slower more"),
               Column("N", True, "measured lengths"), Column("note")]
    table = Table("growth-table", "Growth with the sequence length", columns)
    for each in run.fit.series if run.fit else []:
        for quantity, growth in (("time", each.time), ("workspace", each.workspace)):
            if growth.curve is not None:
                table.rows.append(_growth_row(labels, each, quantity, growth))
    return table


def _growth_row(labels: Labels, each: FitSeries, quantity: str, growth: Growth) -> list[Cell]:
    show = plain(2)
    return [Cell(labels.get((each.variant, each.params), each.variant)), Cell(each.problem),
            Cell(str(each.threads), each.threads), Cell(quantity),
            number(growth.curve.exponent, show), interval(growth.ci_low, growth.ci_high, show),
            Cell(growth.law), number(growth.law_weight, plain(3)), Cell(growth.declared),
            Cell(growth.verdict),
            Cell(f"{growth.seq_min:.0f} – {growth.seq_max:.0f}", growth.seq_max),
            Cell(growth.note)]


def crossover_table(run: Run, labels: Labels) -> Table:
    columns = [Column("faster", help="at the longest common length"), Column("than"),
               Column("problem"), Column("T", True), Column("verdict"),
               Column("from N", True), Column("95% interval", True),
               Column("ratio at shortest", True, "time of the other / time of the faster"),
               Column("ratio at longest", True), Column("N", True, "common lengths")]
    table = Table("crossover-table", "Crossovers: the faster of two from a length on", columns)
    order = {"crossover": 0, "uncertain": 1}
    found = sorted(run.fit.crossovers if run.fit else [], key=lambda c: order.get(c.verdict, 2))
    table.rows = [_crossover_row(labels, each) for each in found]
    return table


def _crossover_row(labels: Labels, each: Crossover) -> list[Cell]:
    return [Cell(labels.get(each.b, each.b[0])), Cell(labels.get(each.a, each.a[0])),
            Cell(each.problem), Cell(str(each.threads), each.threads), Cell(each.verdict),
            number(each.seq, plain(0)), interval(each.ci_low, each.ci_high, plain(0)),
            number(each.ratio_at_min, plain(2)), number(each.ratio_at_max, plain(2)),
            Cell(f"{each.seq_min:.0f} – {each.seq_max:.0f}", each.seq_max)]


def scaling_table(run: Run, labels: Labels) -> Table:
    columns = [Column("variant"), Column("problem"), Column("N", True),
               Column("T", True, "the most threads"), Column("speed-up", True),
               Column("95% interval", True), Column("efficiency", True, "speed-up / T"),
               Column("machine's ratio", True, "what the machine itself gains"),
               Column("of the machine's", True), Column("serial fraction", True, "Amdahl's"),
               Column("its interval", True), Column("best T", True)]
    table = Table("scaling-table", "Thread scaling: each case against itself on one thread",
                  columns)
    table.rows = [_scaling_row(labels, each) for each in (run.fit.scaling if run.fit else [])
                  if each.points]
    return table


def _scaling_row(labels: Labels, each: Scaling) -> list[Cell]:
    most, show = each.points[-1], plain(2)
    return [Cell(labels.get((each.variant, each.params), each.variant)), Cell(each.problem),
            Cell(str(each.seq), each.seq), Cell(str(most.threads), most.threads),
            number(most.speedup, show), interval(most.ci_low, most.ci_high, show),
            percent(each.efficiency),
            Cell(f"{most.machine_ratio:.2f} ({each.machine_basis})", most.machine_ratio),
            percent(each.of_machine), number(each.serial_fraction, plain(3)),
            interval(each.serial_low, each.serial_high, plain(3)),
            Cell(str(each.best_threads), each.best_threads)]


def pareto_table(run: Run, labels: Labels) -> Table:
    columns = [Column("variant"), Column("problem"), Column("N", True), Column("T", True),
               Column("time", True), Column("error", True, "relative L2"), Column("exactness"),
               Column("on the front", help="nothing beats it in both, of the variants that answer "
                                           "for dense softmax attention"),
               Column("with masks", help="the same, variants under a mask of their own included")]
    table = Table("pareto-table", "Error against time", columns)
    table.rows = [_pareto_row(labels, group, point)
                  for group in (run.fit.pareto if run.fit else []) for point in group.points]
    return table


def _pareto_row(labels: Labels, group: ParetoGroup, point: ParetoPoint) -> list[Cell]:
    return [Cell(labels.get((point.variant, point.params), point.variant)), Cell(group.problem),
            Cell(str(group.seq), group.seq), Cell(str(group.threads), group.threads),
            seconds(point.time_s), figure(point.error), Cell(point.exactness),
            Cell("yes" if point.on_dense_front else "no"),
            Cell("yes" if point.on_front else "no")]


def fastest_table(run: Run, groups: list[ProblemGroup]) -> Table:
    """At the shortest and the longest length: the fastest of all, of the exact ones, and of the
    approximations that beat answering mean(V)."""
    columns = [Column("N", True), Column("T", True), Column("problem"), Column("fastest of all"),
               Column("time", True), Column("fastest exact"), Column("time", True),
               Column("fastest approximation", help="of those with an error below mean(V)'s"),
               Column("time", True)]
    table = Table("fastest", "The fastest variants", columns)
    for group in groups:
        for n in dict.fromkeys((group.lengths[0], group.lengths[-1])):
            for threads in group.threads:
                cells_here = [(s, s.cells.get((n, threads))) for s in group.series]
                timed = [(s, row) for s, row in cells_here if row is not None and row.measured]
                if not timed:
                    continue
                kinds = [timed, [e for e in timed if e[0].exactness == "exact"],
                         [e for e in timed if e[0].exactness == "approximate" and beats_mean(e[1])]]
                cells = [Cell(str(n), n), Cell(str(threads), threads),
                         Cell(problem_name(run, group))]
                for kind in kinds:
                    best = min(kind, key=lambda e: e[1].figure("time_median_s"), default=None)
                    cells += ([Cell("none"), Cell("")] if best is None else
                              [Cell(_with_exactness(best[0])),
                               seconds(best[1].figure("time_median_s"))])
                table.rows.append(cells)
    return table


def _with_exactness(series: Series) -> str:
    return series.label + ("" if series.exactness in ("exact", "approximate")
                           else f" ({series.exactness})")


def beats_mean(row: Row) -> bool:
    error, mean_v = row.figure("error_rel_l2"), row.figure("error_mean_v")
    return error is not None and mean_v is not None and error < mean_v
