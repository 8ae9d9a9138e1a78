"""Figures as Markdown, for people."""

from __future__ import annotations

import math
from typing import Sequence

from .stats import Estimate


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned left, the others right. Ends with a
    line break."""
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"{len(row)} cells under {len(headers)} headers: {row}")
    rules = [":--" if i < left else "--:" for i in range(len(headers))]
    lines = [headers, rules, *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n"
                   for line in lines)


def significant(value: float, digits: int = 3) -> str:
    """"0.123", "12.3", "1230": so many digits count, without an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)) + 1e-9)
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"


def milliseconds(seconds: float) -> str:
    return significant(seconds * 1e3)


def times(estimate: Estimate) -> str:
    """"1.23 [1.20, 1.25]", or "1.23 (n=3)" when there are too few rounds for an interval."""
    if estimate.low is None:
        return f"{estimate.value:.3f} (n={estimate.count})"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def binary_bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if abs(count) < 1024:
            return f"{significant(count)} {unit}"
        count /= 1024
    return f"{significant(count)} GiB"
