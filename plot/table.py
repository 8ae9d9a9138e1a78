"""python3 -m plot.table DIR: median times of a run as a short table, one row per variant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plot.data import Row, Run, RunError, load_run
from plot.problems import ProblemGroup, Series, split_problems
from plot.ticks import time_text


def tables(run: Run) -> list[str]:
    """For each problem: medians by variant and length on its fewest threads, the factor of the last
    doubling (or whatever the last step of the length is), and the error."""
    return [_table(group) for group in split_problems(run)]


def _table(group: ProblemGroup) -> str:
    threads = group.threads[0]
    lengths = group.lengths
    step = f"x{lengths[-1] / lengths[-2]:.3g} N" if len(lengths) > 1 else ""
    lines = [["variant", *(f"N={n}" for n in lengths), step, "error"]]
    for series in group.series:
        rows = [series.cells.get((n, threads)) for n in lengths]
        lines.append([series.label, *map(_time, rows), _factor(rows), _error(series, threads)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [f"{group.title}; {threads} thread{'s' if threads > 1 else ''}"]
    for cells in lines:
        row = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:]))]
        text.append("  ".join(row).rstrip())
    return "\n".join(text)


def _time(row: Row | None) -> str:
    if row is None:
        return "-"
    return time_text(row.figure("time_median_s")) if row.measured else row.status


def _factor(rows: list[Row | None]) -> str:
    """How many times the last length took the time of the one before it."""
    last = [row.figure("time_median_s") for row in rows[-2:] if row is not None and row.measured]
    return f"x{last[1] / last[0]:.2g}" if len(last) == 2 else ""


def _error(series: Series, threads: int) -> str:
    errors = [row.figure("error_rel_l2") for _, row in series.at_threads(threads) if row.measured]
    return f"{errors[-1]:.1e}" if errors and errors[-1] is not None else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plot.table", description=__doc__)
    parser.add_argument("run", metavar="DIR", type=Path)
    options = parser.parse_args(arguments)
    try:
        print("\n\n".join(tables(load_run(options.run))))
    except RunError as error:
        print(f"plot.table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
