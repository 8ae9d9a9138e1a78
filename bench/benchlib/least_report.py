"""The table of bench/least.py as Markdown."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Sequence

from .markdown import milliseconds, table
from .session import session_lines
from .store import read


def tenth(values: Sequence[float]) -> float:
    """The value that a tenth of the others are below."""
    ordered = sorted(values)
    return ordered[len(ordered) // 10]


def cell_rows(group: str, rounds: Sequence[dict[str, Any]],
              peak_flops_per_s: float) -> list[list[str]]:
    """A row for each build: its least time and the tenth percentile, each over the first build's
    and as a share of the peak."""
    builds = range(len(rounds[0]["samples_s"]))
    samples = [[s for r in rounds for s in r["samples_s"][build]] for build in builds]
    flops = rounds[0]["performed_flops"]
    rows = []
    for build in builds:
        least, low = min(samples[build]), tenth(samples[build])
        rows.append([group, str(build + 1), milliseconds(least),
                     f"{flops / least / peak_flops_per_s:.3f}", milliseconds(low),
                     f"{flops / low / peak_flops_per_s:.3f}",
                     f"{least / min(samples[0]):.3f}", f"{low / tenth(samples[0]):.3f}",
                     str(len(samples[build]))])
    return rows


def report(path: Path, build: str) -> str:
    """LookupError when the file has nothing of these builds."""
    session: dict[str, Any] = {}
    rounds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in read(path, build):
        if record["type"] == "session":
            session = record
        elif record["type"] == "round":
            rounds[record["group"]].append(record)
    if not rounds:
        raise LookupError(f"{path} has no rounds of {build}")
    # Threads have a peak each; of one thread count it is the machine's, whenever it was measured.
    peaks: dict[str, float] = defaultdict(float)
    for group, records in rounds.items():
        peaks[kind(group)] = max(peaks[kind(group)],
                                 *(record["peak_flops_per_s"] for record in records))
    headers = ["cell", "build", "least ms", "of peak", "10% ms", "of peak", "least / first",
               "10% / first", "samples"]
    rows = [row for group, records in rounds.items()
            for row in cell_rows(group, records, peaks[kind(group)])]
    measured = ", ".join(f"{name} {peak / 1e9:.0f} GF/s" for name, peak in sorted(peaks.items()))
    return (session_lines(session) + f"Best bursts of multiply-adds: {measured}.\n\n" +
            table(headers, rows))


def kind(group: str) -> str:
    """Instruction set and threads of a group such as "avx512: flash auto T1 B1 ..."."""
    isa, cell = group.split(": ", 1)
    return f"{isa} {cell.split(' ')[2]}"
