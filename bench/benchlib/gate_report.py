"""The report of gate_evidence.py: what gates said, beside what a plain rule would have said."""

from __future__ import annotations

import fnmatch
import math
import statistics
from typing import Any, Callable, Sequence

from . import markdown, session

KINDS = {"null": "nothing", "+5%": "+5% in one cell", "+10%": "+10% in one cell"}
PLAIN_LIMIT = 1.05  # "Slower than the stored mean by more than 5%."


def _tail(hits: int, trials: int, rate: float) -> float:
    """P(at most `hits` of `trials`)."""
    return math.fsum(math.comb(trials, k) * rate ** k * (1 - rate) ** (trials - k)
                     for k in range(hits + 1))


def _solve(rises_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rises_below(middle) else (low, middle)
    return (low + high) / 2


def clopper_pearson(hits: int, trials: int, level: float = 0.05) -> tuple[float, float]:
    """The exact interval of a rate at confidence 1 - level, half of the level on each side; one-sided
    where the other end is 0 or 1 (Clopper and Pearson 1934)."""
    side = level if hits in (0, trials) else level / 2
    low = 0.0 if hits == 0 else _solve(lambda rate: 1 - _tail(hits - 1, trials, rate) < side)
    high = 1.0 if hits == trials else _solve(lambda rate: _tail(hits, trials, rate) > side)
    return low, high


def stored_means(gates: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What a plain rule keeps: the mean time of each cell's base in the first gate."""
    return {cell: statistics.fmean(base_s for base_s, _ in launches)
            for cell, launches in gates[0]["launches"].items()}


def plain_rule_fails(gate: dict[str, Any], stored: dict[str, float], launches: int) -> bool:
    """Whether any cell's head, over so many launches, is slower than the stored mean by 5%."""
    return any(statistics.fmean(head_s for _, head_s in taken[:launches]) > PLAIN_LIMIT
               * stored[cell] for cell, taken in gate["launches"].items())


def detected(gate: dict[str, Any]) -> bool:
    """Whether the gate failed, and for the cell that was slowed down."""
    return gate["exit_code"] == 1 and any(
        verdict == "regression" and fnmatch.fnmatchcase(cell, gate["slowed"])
        for cell, verdict in gate["verdicts"].items())


def _share(hits: int, trials: int) -> str:
    low, high = clopper_pearson(hits, trials)
    return f"{hits} of {trials} ({100 * low:.1f}..{100 * high:.1f}%)"


def markdown_table(gates: Sequence[dict[str, Any]]) -> str:
    stored = stored_means(gates)
    rows = []
    for kind, words in KINDS.items():
        those = [gate for gate in gates if gate["group"] == kind]
        if not those:
            continue
        count = len(those)
        failed = [gate["exit_code"] == 1 for gate in those] if kind == "null" else [
            detected(gate) for gate in those]
        codes = [gate["exit_code"] for gate in those]
        rows.append([words, _share(sum(failed), count), str(codes.count(3)), str(codes.count(4)),
                     f"{sum(plain_rule_fails(gate, stored, 1) for gate in those)} of {count}",
                     f"{sum(plain_rule_fails(gate, stored, 24) for gate in those)} of {count}",
                     f"{statistics.median(gate['wall_s'] for gate in those):.0f}"])
    return markdown.table(
        ["added to the head", "gate fails (exact 95%)", "inconclusive", "A/A tripped",
         "plain rule, 1 launch", "plain rule, 24 launches", "seconds"], rows)


def markdown_notes(gates: Sequence[dict[str, Any]]) -> str:
    nulls = [gate for gate in gates if gate["group"] == "null"]
    lines = []
    if nulls:
        alarms = sum(gate["exit_code"] == 1 for gate in nulls)
        _, bound = clopper_pearson(alarms, len(nulls))
        lines.append(f"{alarms} false alarms in {len(nulls)} null gates: the rate is below "
                     f"{100 * bound:.1f}% with 95% confidence.")
    spreads = [gate["launch_spread"] for gate in gates]
    lines.append(f"Launch spread {100 * statistics.median(spreads):.1f}% (median over gates; at most "
                 f"{100 * max(spreads):.1f}%), stolen CPU time at most "
                 f"{100 * max(gate['steal'] for gate in gates):.1f}%.")
    stored = stored_means(gates)
    drifts = [statistics.fmean(base_s for base_s, _ in launches) / stored[cell] - 1
              for gate in gates for cell, launches in gate["launches"].items()]
    lines.append("The base itself, mean of 24 launches, lay between "
                 f"{100 * min(drifts):+.1f}% and {100 * max(drifts):+.1f}% of its stored mean.")
    return "\n".join(lines) + "\n"


def markdown_report(gates: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    head = session.session_lines(about) + "\n" if about else ""
    return head + markdown_table(gates) + "\n" + markdown_notes(gates)
