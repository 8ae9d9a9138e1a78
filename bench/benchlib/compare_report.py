"""The table of bench/compare_builds.py as Markdown."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from pathlib import Path
from typing import Any, Sequence

from .markdown import milliseconds, table, times
from .session import session_lines
from .stats import Estimate, estimate, median
from .store import read


def group_name(isa: str, cells: Sequence[str]) -> str:
    """Names a set of cells on an instruction set, whatever their order."""
    return f"{isa} " + hashlib.sha256("\n".join(sorted(cells)).encode()).hexdigest()[:12]


def ratio_of_logs(logs: Sequence[float]) -> Estimate:
    found = estimate(logs)
    ends = [None if end is None else math.exp(end) for end in (found.low, found.high)]
    return Estimate(math.exp(found.value), *ends, found.count)


def verdict(ratio: Estimate) -> str:
    """What the interval says: faster, slower, or neither."""
    if not ratio.excludes(1.0):
        return ""
    return "faster" if ratio.value < 1 else "slower"


def report(path: Path, build: str) -> str:
    """LookupError when the file has nothing of this pair of builds."""
    sessions: dict[str, dict[str, Any]] = {}
    launches: dict[str, list[dict[str, Any]]] = defaultdict(list)
    noise = []
    for record in read(path, build):
        if record["type"] == "session":
            sessions[record["group"]] = record
        elif record["type"] == "round":
            launches[record["group"]].append(record["cells"])
            noise.append(record["noise"]["others"])
    if not launches:
        raise LookupError(f"{path} has no launches of {build}")
    text = session_lines(sessions[next(reversed(launches))])
    text += (f"Other processes used {100 * median(noise):.1f}% of the CPUs in the median launch, "
             f"{100 * max(noise):.1f}% in the worst.\n")
    headers = ["cell", "base ms", "head ms", "head / base", ""]
    for group, rounds in launches.items():
        rows, errors = [], {}
        for key in sorted({key for cells in rounds for key in cells}):
            values = [cells[key] for cells in rounds if key in cells]
            good = [value for value in values if "log_ratio" in value]
            if not good:
                errors[key] = values[-1]["error"]
                continue
            ratio = ratio_of_logs([value["log_ratio"] for value in good])
            rows.append([key, milliseconds(median([value["base_s"] for value in good])),
                         milliseconds(median([value["head_s"] for value in good])),
                         times(ratio), verdict(ratio)])
        text += (f"\n{len(rounds)} launches on {group.split()[0]}: time of head over base, median "
                 f"and 95% interval over launches\n\n{table(headers, rows)}")
        text += "".join(f"- {key}: {error}\n" for key, error in errors.items())
    return text
