#!/usr/bin/env python3
"""Two builds of attnbench on the same cells: the evidence behind "before and after".

    bench/compare_builds.py --base OLD/attnbench_serve --head NEW/attnbench_serve [--cell SPEC]...
    bench/compare_builds.py --base ... --head ... --summary

A launch is a fresh process of each build, in which every cell is timed in two quads of equal
samples (base head head base, and the reverse); its value is the mean log ratio, from which a drift
that is linear in log time cancels. Launches are the independent units: code and stack lie elsewhere
in each. bench/README.md says how to build an older revision.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import time
from pathlib import Path
from typing import Sequence

from benchlib import compare_report, environment, session
from benchlib.cells import Cell, parse_cell
from benchlib.child import Child, Refused
from benchlib.environment import NoiseMeter
from benchlib.stats import geometric_mean, iterations_for
from benchlib.store import Store
from benchlib.sweep import OutOfTime

DEFAULT_CELLS = [f"{variant},n={n},t={threads}" for threads in (1, 2) for n in (512, 2048)
                 for variant in ("flash", "full", "local", "sparse", "linformer", "performer")]
DEFAULT_CELLS += [f"flash,n=2048,t={threads},causal" for threads in (1, 2)]
DEFAULT_CELLS += ["flash,n=2048,d=128", "flash,n=1000"]
QUADS = ("BHHB", "HBBH")


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    session.add_common_flags(parser, "compare.jsonl", rounds=9, unit="launches")
    parser.add_argument("--base", required=True, type=Path, help="attnbench_serve of the old build")
    parser.add_argument("--head", required=True, type=Path, help="attnbench_serve of the new build")
    parser.add_argument("--isa", default="auto", help="auto, avx2 or avx512 (default: auto)")
    parser.add_argument("--cell", action="append", metavar="SPEC",
                        help="variant,n=1024,d=64,t=1,causal,...; also nk, h, hkv, dv, b and "
                        "parameters of the variant; may be repeated (default: %d cells)"
                        % len(DEFAULT_CELLS))
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.launches, arguments.sample = 2, 0.001
        arguments.cell = arguments.cell or ["flash,n=64,h=2,d=32"]
    try:
        arguments.cells = [parse_cell(text) for text in arguments.cell or DEFAULT_CELLS]
    except ValueError as error:
        parser.error(str(error))
    for path in (arguments.base, arguments.head):
        if not path.is_file():
            parser.error(f"no file {path}")
    return arguments


def log_ratio(quad: str, samples_s: Sequence[float]) -> float:
    """Mean of ln(head) - mean of ln(base) over the samples of a quad such as "BHHB"."""
    return sum((1 if which == "H" else -1) * math.log(sample_s)
               for which, sample_s in zip(quad, samples_s)) / (len(quad) / 2)


class Launch:
    """A fresh process of each build."""

    def __init__(self, arguments: argparse.Namespace):
        self._sample_s = arguments.sample
        self._children: dict[str, Child] = {}
        # A stack that starts elsewhere in each launch: its alignment is drawn, not inherited.
        padding = {**os.environ, "ATTNBENCH_PADDING": "x" * random.randrange(4096)}
        try:
            for name, path in random.sample([("B", arguments.base), ("H", arguments.head)], 2):
                self._children[name] = Child(f"attnbench_serve of {path}",
                                             [path, "--isa", arguments.isa], environment=padding)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children.values()]

    def close(self) -> None:
        for child in self._children.values():
            child.close()

    def value(self, cell: Cell) -> dict[str, float | str]:
        """The cell's mean log ratio over its quads, and the mean time of each build; or the error
        that kept one of them from running it."""
        try:
            calls_s = {name: child.ask("prepare", id="cell", **cell.request())["warm_call_s"]
                       for name, child in self._children.items()}
        except Refused as why:
            return {"error": f"{why.kind}: {why}"}
        try:
            quads = random.sample(QUADS, len(QUADS))
            logs, samples = [], {"B": [], "H": []}
            for quad in quads:
                taken = [self._sample(which, calls_s[which]) for which in quad]
                logs.append(log_ratio(quad, taken))
                for which, sample_s in zip(quad, taken):
                    samples[which].append(sample_s)
            return {"log_ratio": sum(logs) / len(logs), "base_s": geometric_mean(samples["B"]),
                    "head_s": geometric_mean(samples["H"])}
        finally:
            for child in self._children.values():
                child.ask("drop", id="cell")

    def _sample(self, which: str, call_s: float) -> float:
        """Samples of both builds are equally long in time; one warm call goes before each, because
        the other build has just had the caches."""
        iterations = iterations_for(call_s, self._sample_s)
        answer = self._children[which].ask("time", id="cell", iterations=iterations, warm=1)
        return answer["wall_s"] / iterations


def launch_once(arguments: argparse.Namespace, store: Store, index: int, group: str) -> None:
    launch = Launch(arguments)
    try:
        noise = NoiseMeter(launch.pids)
        cells = {}
        for cell in random.sample(arguments.cells, len(arguments.cells)):
            cells[cell.key()] = launch.value(cell)
        store.append("round", group=group, round=index, noise=noise.figures(), cells=cells)
    finally:
        launch.close()


def measure(arguments: argparse.Namespace, store: Store, group: str) -> None:
    session.store_session(store, "compare_builds", isa=arguments.isa, group=group,
                          cells=[cell.key() for cell in arguments.cells])
    deadline = session.deadline(arguments)
    longest_s = 0.0
    for index in range(store.rounds_done(group), arguments.launches):
        if deadline is not None and time.monotonic() + longest_s > deadline:
            raise OutOfTime
        begin = time.monotonic()
        session.say(f"launch {index + 1} of {arguments.launches}")
        launch_once(arguments, store, index, group)
        longest_s = max(longest_s, time.monotonic() - begin)


def run(arguments: argparse.Namespace) -> int:
    build = f"{environment.file_hash(arguments.base)}..{environment.file_hash(arguments.head)}"
    # Launches with other cells are another comparison.
    group = compare_report.group_name(arguments.isa, [cell.key() for cell in arguments.cells])
    if not arguments.summary:
        try:
            measure(arguments, Store(arguments.out, build), group)
        except OutOfTime:
            session.say("compare_builds: stopped at the time limit; run again to continue "
                        f"{arguments.out}")
    print(compare_report.report(arguments.out, build), end="")
    return 0


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    return session.exit_code("compare_builds", arguments.out, lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
