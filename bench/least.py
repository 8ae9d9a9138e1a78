#!/usr/bin/env python3
"""The least time of builds of attnbench on a busy machine, many short samples in turns.

    bench/least.py --serve OLD/attnbench_serve [--serve NEW/attnbench_serve]... --cell SPEC...
    bench/least.py --serve ... --summary

A neighbour on the same core makes samples longer and never shorter. Where it leaves quiet moments,
samples of a millisecond find them although medians of longer ones do not: the least of many is the
time of the code. It says nothing about how often users get it; compare_builds.py does that. A round
is a number of samples of each build in random order, and bursts of multiply-adds for the peak.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchlib import environment, least_report, session
from benchlib.cells import Cell, parse_cell
from benchlib.child import Child
from benchlib.stats import iterations_for
from benchlib.store import Store, chosen_build
from benchlib.sweep import OutOfTime

SAMPLES = 10  # Of each build in a round.
PEAK_S = 0.01


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    session.add_common_flags(parser, "least.jsonl", rounds=10)
    parser.set_defaults(sample=0.001)
    parser.add_argument("--serve", required=True, action="append", type=Path,
                        help="attnbench_serve of a build; repeated: others, over the first")
    parser.add_argument("--isa", default="auto", help="auto, avx2 or avx512 (default: auto)")
    parser.add_argument("--cell", action="append", metavar="SPEC", default=[],
                        help="as of compare_builds.py; may be repeated")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.rounds = 2
        arguments.cell = arguments.cell or ["flash,n=64,h=2,d=32"]
    if not arguments.cell and not arguments.summary:
        parser.error("no --cell")
    try:
        arguments.cells = [parse_cell(text) for text in arguments.cell]
    except ValueError as error:
        parser.error(str(error))
    for path in arguments.serve:
        if not path.is_file():
            parser.error(f"no file {path}")
    return arguments


def one_round(children: list[Child], cell: Cell, calls_s: list[float], sample_s: float) -> dict:
    """Seconds of a call in each sample of each build, and the best burst of multiply-adds."""
    iterations = iterations_for(min(calls_s), sample_s)
    samples: list[list[float]] = [[] for _ in children]
    peak = children[0].ask("compute", threads=cell.threads, seconds=PEAK_S)["fma_flops_per_s"]
    for _ in range(SAMPLES):
        for index in random.sample(range(len(children)), len(children)):
            answer = children[index].ask("time", id="cell", iterations=iterations, warm=1)
            samples[index].append(answer["wall_s"] / iterations)
    after = children[0].ask("compute", threads=cell.threads, seconds=PEAK_S)["fma_flops_per_s"]
    return {"samples_s": samples, "peak_flops_per_s": max(peak, after)}


def measure_cell(arguments: argparse.Namespace, children: list[Child], cell: Cell, store: Store,
                 deadline: float | None) -> None:
    group = f"{arguments.isa}: {cell.key()}"
    if store.rounds_done(group) >= arguments.rounds:
        return
    prepared = [child.ask("prepare", id="cell", **cell.request()) for child in children]
    try:
        calls_s = [answer["warm_call_s"] for answer in prepared]
        while store.rounds_done(group) < arguments.rounds:
            if deadline is not None and time.monotonic() > deadline:
                raise OutOfTime
            store.append("round", group=group, performed_flops=prepared[0]["performed_flops"],
                         **one_round(children, cell, calls_s, arguments.sample))
    finally:
        for child in children:
            child.ask("drop", id="cell")


def measure(arguments: argparse.Namespace, store: Store) -> None:
    session.store_session(store, "least", isa=arguments.isa)
    deadline = session.deadline(arguments)
    with ExitStack() as stack:
        children = [stack.enter_context(Child(f"attnbench_serve of {path}",
                                              [path, "--isa", arguments.isa]))
                    for path in arguments.serve]
        for cell in arguments.cells:
            session.say(cell.key())
            measure_cell(arguments, children, cell, store, deadline)


def run(arguments: argparse.Namespace) -> int:
    build = "..".join(environment.file_hash(path) for path in arguments.serve)
    if not arguments.summary:
        try:
            measure(arguments, Store(arguments.out, build))
        except OutOfTime:
            session.say(f"least: stopped at the time limit; run again to continue {arguments.out}")
    chosen = chosen_build(arguments.out, arguments.build or build)
    print(least_report.report(arguments.out, chosen), end="")
    return 0


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    return session.exit_code("least", arguments.out, lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
