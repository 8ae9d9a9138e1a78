"""The table of bench/peers.py as Markdown."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from .cells import Cell
from .markdown import significant, table, times
from .session import session_lines
from .stats import median, ratio
from .store import read

OURS = "flash"


class Matches:
    """Stored rounds, by group."""

    def __init__(self, path: Path, build: str):
        self.session: dict[str, Any] = {}
        self.shapes: dict[str, Cell] = {}
        self.useful_flops: dict[str, float] = {}
        self.rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
        self.refusals: set[str] = set()
        self.noise: list[dict[str, float]] = []
        for record in read(path, build):
            if record["type"] == "session":
                self.session = record
            elif record["type"] == "round":
                self.rounds[record["group"]].append(record["times"])
                self.noise.append(record["noise"])
            elif record["type"] == "refused":
                self.refusals.add(f"{record['contestant']}: {record['error']}: "
                                  f"{record['message']}")
            elif record["type"] == "contestant":
                self.shapes[record["group"]] = Cell.from_request(record["problem"], record["isa"])
                if record.get("useful_flops"):
                    self.useful_flops[record["group"]] = record["useful_flops"]

    def contestants(self) -> list[str]:
        """Ours first, then the others by name."""
        names = {name for rounds in self.rounds.values() for one in rounds for name in one}
        return [OURS, *sorted(names - {OURS})]


def about_text(facts: dict[str, str]) -> str:
    """"torch 2.13.0 (AVX512 mkl)"."""
    return facts["peer"] + (f" ({facts['built_with']})" if facts.get("built_with") else "")


def _row(matches: Matches, group: str, names: list[str]) -> list[str]:
    """One shape: the rate of each contestant, then its time over ours."""
    shape, flops = matches.shapes[group], matches.useful_flops[group]
    rates, ratios = [], []
    for name in names:
        rounds = [r for r in matches.rounds[group] if name in r and OURS in r]
        if not rounds:
            rates.append("-")
            ratios.append("-")
            continue
        theirs, ours = [r[name] for r in rounds], [r[OURS] for r in rounds]
        rates.append(significant(flops / median(theirs) / 1e9))
        ratios.append(times(ratio(theirs, ours)))
    mask = "causal" if shape.causal else "full"
    return [mask, str(shape.dim), str(shape.seq_q), str(shape.threads), *rates, *ratios[1:]]


def report(path: Path, build: str) -> str:
    matches = Matches(path, build)
    names = matches.contestants()
    headers = ["mask", "D", "N", "T", *[f"{name} GF/s" for name in names],
               *[f"{name} / {OURS}" for name in names[1:]]]

    def order(group: str) -> tuple[bool, int, int, int]:
        shape = matches.shapes[group]
        return shape.causal, shape.dim, shape.threads, shape.seq_q

    rows = [_row(matches, group, names) for group in sorted(matches.rounds, key=order)
            if group in matches.useful_flops]
    peers = matches.session.get("peers", {})
    about = "; ".join(f"{name}: {about_text(facts)}" for name, facts in peers.items())
    others = [noise["others"] for noise in matches.noise] or [0.0]
    counts = [len(rounds) for rounds in matches.rounds.values()] or [0]
    text = (f"{session_lines(matches.session)}\n{OURS} and full are attnbench's, on "
            f"{matches.session.get('isa', '?')}; {about}.\n"
            f"{min(counts)} to {max(counts)} rounds a row; other processes used "
            f"{100 * median(others):.1f}% of the CPUs in the median round, "
            f"{100 * max(others):.1f}% in the worst. Useful GFLOP/s (causal pairs counted), and "
            f"the time of each over {OURS}'s in the same rounds: above 1, {OURS} is faster.\n\n"
            f"{table(headers, rows)}")
    if matches.refusals:
        text += "\nNot measured:\n" + "".join(f"- {why}\n" for why in sorted(matches.refusals))
    return text
