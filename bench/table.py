#!/usr/bin/env python3
"""How fast every variant is, beside what the machine can do: the evidence behind docs/kernels.md.

    bench/table.py [--section main,decode,edges] [flags]     measure, or continue measuring
    bench/table.py --summary                                 print the tables of what is there

main: every variant over N, D, causal, threads and instruction sets. decode: one query against a
long cache. edges: small and odd sizes, few heads, grouped heads, few queries, each held against
the comfortable size that it should be near to. bench/README.md explains the columns.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from benchlib import environment, groups, report, session
from benchlib.child import Child, ChildDied
from benchlib.series import Series
from benchlib.store import Store, chosen_build
from benchlib.sweep import OutOfTime, Settings, Sweep

VARIANTS = ["full", "flash", "local", "sparse", "linformer", "performer"]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    session.add_common_flags(parser, "table.jsonl", rounds=9)
    parser.add_argument("--serve", help="attnbench_serve (default: the newest in build/)")
    parser.add_argument("--earlier", metavar="SERVE",
                        help="attnbench_serve of an earlier build, timed beside this one")
    parser.add_argument("--section", type=session.words, default=list(groups.SECTIONS),
                        help="of main, decode, edges (default: all)")
    parser.add_argument("--variants", type=session.words, default=VARIANTS,
                        help="of the main section, or all (default: %s)" % ",".join(VARIANTS))
    parser.add_argument("--isa", type=session.words, default=["avx512", "avx2"],
                        help="instruction sets; those the machine lacks are left out "
                        "(default: avx512,avx2)")
    parser.add_argument("--threads", type=session.integers, default=[1, 2],
                        help="thread counts (default: 1,2)")
    parser.add_argument("--seq", type=session.integers,
                        help="lengths of the main section (default: 512 to 8192 by doubling)")
    parser.add_argument("--dim", type=session.integers, default=[64, 128],
                        help="head dimensions of the main section (default: 64,128)")
    parser.add_argument("--heads", type=int, default=8, help="(default: 8)")
    parser.add_argument("--visit", type=int, default=3,
                        help="rounds of a group before the next has its turn (default: 3)")
    arguments = parser.parse_args(argv)
    for section in arguments.section:
        if section not in groups.SECTIONS:
            parser.error(f"--section '{section}' is not one of {', '.join(groups.SECTIONS)}")
    if arguments.rounds < 1 or arguments.visit < 1 or arguments.sample <= 0:
        parser.error("--rounds, --visit and --sample are above 0")
    return arguments


def axes_of(arguments: argparse.Namespace, isas: list[str], variants: list[str]) -> groups.Axes:
    lengths = arguments.seq or [512, 1024, 2048, 4096, 8192]
    if arguments.quick:
        return groups.quick_axes(variants, isas)
    return groups.Axes(variants=tuple(variants), lengths=tuple(lengths), dims=tuple(arguments.dim),
                       threads=tuple(arguments.threads), isas=tuple(isas), heads=arguments.heads)


def settings_of(arguments: argparse.Namespace) -> Settings:
    if arguments.quick:
        return Settings(rounds=2, visit=1, sample_s=0.001, ceiling_s=0.05, burst_s=0.002,
                        check_rows=2)
    return Settings(rounds=arguments.rounds, visit=arguments.visit, sample_s=arguments.sample)


def available_isas(stack: ExitStack, serve: Path, wanted: list[str]) -> dict[str, Child]:
    children = {}
    for isa in wanted:
        try:
            children |= session.start_serves(stack, serve, [isa])
        except ChildDied as died:
            session.say(f"left out: {died}")
    return children


def measure(arguments: argparse.Namespace) -> int:
    serve = environment.find_serve(arguments.serve)
    earlier = environment.find_serve(arguments.earlier) if arguments.earlier else None
    builds = [serve] if earlier is None else [earlier, serve]
    store = Store(arguments.out, "..".join(environment.file_hash(path) for path in builds))
    with ExitStack() as stack:
        children = available_isas(stack, serve, arguments.isa)
        if not children:
            session.say("table: none of the instruction sets runs here")
            return 2
        about = next(iter(children.values())).about
        variants = (about["variants"] if arguments.variants == ["all"] else arguments.variants)
        axes = axes_of(arguments, list(children), variants)
        planned = groups.make(arguments.section, axes)
        session.store_session(store, "table", compiler=about["compiler"], axes=axes.as_dict(),
                              sections=arguments.section)
        before = available_isas(stack, earlier, list(children)) if earlier else {}
        sweep = Sweep(children, store, settings_of(arguments), session.say,
                      session.deadline(arguments), earlier=before)
        try:
            sweep.run(planned)
        except OutOfTime:
            session.say(f"table: stopped at the time limit; run again to continue "
                        f"{arguments.out}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    wanted = arguments.build
    if not arguments.summary:
        code = measure(arguments)
        if code != 0:
            return code
        wanted = None
    print(report.full_report(Series(arguments.out, chosen_build(arguments.out, wanted))), end="")
    return 0


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    return session.exit_code("table", arguments.out, lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
