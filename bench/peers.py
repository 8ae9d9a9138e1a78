#!/usr/bin/env python3
"""attnbench beside other implementations of softmax attention, in one interleaved run.

    bench/peers.py [flags]       measure, or continue measuring
    bench/peers.py --summary     print the table of what is there

Peers are PyTorch's scaled_dot_product_attention (flash and math backends) and ONNX Runtime's
MultiHeadAttention: those that the Python that runs this can import (torch >= 2; onnxruntime and
onnx). Each library has a process of its own, and the others are stopped meanwhile; a round is every
contestant in random order and then in the reverse order. bench/README.md explains the columns.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from benchlib import environment, peers_report, session
from benchlib.cells import Cell
from benchlib.child import Child, ChildDied, Refused
from benchlib.environment import NoiseMeter
from benchlib.stats import geometric_mean, iterations_for, mirrored_order, warm_calls
from benchlib.store import Store, chosen_build
from benchlib.sweep import OutOfTime

OURS = ("flash", "full")
PEERS = ("torch-flash", "torch-math", "ort-mha")
WORKER = Path(__file__).resolve().parent / "peers_worker.py"


@dataclass(frozen=True)
class Contestant:
    name: str
    child: Child
    variant: str  # Of attnbench; the peer's name for peers.

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Its process runs only in here: thread pools of peers go on spinning for some 50
        milliseconds after a call, on the CPUs of whoever is next."""
        self.child.resume()
        try:
            yield
        finally:
            self.child.pause()


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    session.add_common_flags(parser, "peers.jsonl", rounds=9)
    parser.add_argument("--serve", help="attnbench_serve (default: the newest in build/)")
    parser.add_argument("--isa", default="auto", help="of attnbench (default: auto)")
    parser.add_argument("--peers", type=session.words, default=list(PEERS),
                        help="(default: %s)" % ",".join(PEERS))
    parser.add_argument("--threads", type=session.integers, default=[1, 2], help="(default: 1,2)")
    parser.add_argument("--seq", type=session.integers, default=[512, 1024, 2048, 4096],
                        help="(default: 512,1024,2048,4096)")
    parser.add_argument("--dim", type=session.integers, default=[64, 128],
                        help="(default: 64,128)")
    parser.add_argument("--heads", type=int, default=8, help="(default: 8)")
    parser.add_argument("--causal", type=session.words, default=["off", "on"],
                        help="off, on or both (default: off,on)")
    arguments = parser.parse_args(argv)
    for peer in arguments.peers:
        if peer not in PEERS:
            parser.error(f"--peers '{peer}' is not one of {', '.join(PEERS)}")
    if set(arguments.causal) - {"off", "on"}:
        parser.error("--causal is off, on or off,on")
    if arguments.quick:
        arguments.seq, arguments.dim, arguments.heads = [64], [32], 2
        arguments.rounds, arguments.sample = 2, 0.001
    return arguments


def shapes(arguments: argparse.Namespace) -> list[Cell]:
    """One cell per group; its variant is filled in per contestant."""
    return [Cell("flash", n, dim=dim, heads=arguments.heads, causal=causal == "on",
                 threads=threads, isa=arguments.isa)
            for dim in arguments.dim for causal in arguments.causal
            for threads in arguments.threads for n in arguments.seq]


def enter_contestants(stack: ExitStack, arguments: argparse.Namespace,
                      serve: Path) -> list[Contestant]:
    ours = session.start_serves(stack, serve, [arguments.isa])[arguments.isa]
    found = [Contestant(variant, ours, variant) for variant in OURS]
    for peer in arguments.peers:
        try:
            child = stack.enter_context(Child(peer, [sys.executable, WORKER, peer]))
        except (Refused, ChildDied) as why:
            session.say(f"left out: {why}")
            continue
        child.pause()
        session.say(f"{peer}: {peers_report.about_text(child.about)}")
        found.append(Contestant(peer, child, peer))
    return found


def build_name(serve: Path, contestants: list[Contestant]) -> str:
    """What is compared: the binary, then the peers' versions."""
    peers = [f"{c.name}={c.child.about['peer']}" for c in contestants if c.name not in OURS]
    return environment.file_hash(serve) + "-" + hashlib.sha256(
        ";".join(peers).encode()).hexdigest()[:6]


class Match:
    """All rounds of one shape."""

    def __init__(self, store: Store, shape: Cell, contestants: list[Contestant],
                 arguments: argparse.Namespace):
        self._store = store
        self._shape = shape
        self._group = "peers: " + shape.key()
        self._arguments = arguments
        self._contestants = contestants
        self._ready: dict[Contestant, float] = {}  # Seconds of a warm call.

    @property
    def missing(self) -> int:
        return self._arguments.rounds - self._store.rounds_done(self._group)

    def play(self, deadline: float | None) -> None:
        """The missing rounds. Raises OutOfTime between two of them."""
        try:
            self._prepare()
            longest_s = 0.0
            for index in range(self._store.rounds_done(self._group), self._arguments.rounds):
                if deadline is not None and time.monotonic() + longest_s > deadline:
                    raise OutOfTime
                begin = time.monotonic()
                self._round(index)
                longest_s = max(longest_s, time.monotonic() - begin)
        finally:
            for contestant in self._ready:
                try:
                    with contestant.turn():
                        contestant.child.ask("drop", id=contestant.name)
                except (ChildDied, Refused):
                    pass  # What ended it is being raised already.

    def _prepare(self) -> None:
        for contestant in self._contestants:
            request = {**self._shape.request(), "variant": contestant.variant}
            about = {"group": self._group, "contestant": contestant.name,
                     "problem": self._shape.request(), "isa": self._shape.isa}
            try:
                with contestant.turn():
                    answer = contestant.child.ask("prepare", id=contestant.name, **request)
            except Refused as why:
                session.say(f"  {contestant.name}: {why.kind}: {why}")
                self._store.append("refused", **about, error=why.kind, message=str(why))
                continue
            self._ready[contestant] = answer["warm_call_s"]
            self._store.append("contestant", **about,
                               error_rel_l2=answer["error_rel_l2"],
                               useful_flops=answer.get("useful_flops"))

    def _round(self, index: int) -> None:
        noise = NoiseMeter({contestant.child.pid for contestant in self._contestants})
        samples: dict[str, list[float]] = {contestant.name: [] for contestant in self._ready}
        for contestant in mirrored_order(list(self._ready), random.Random()):
            call_s = self._ready[contestant]
            iterations = iterations_for(call_s, self._arguments.sample)
            with contestant.turn():
                answer = contestant.child.ask("time", id=contestant.name, iterations=iterations,
                                              warm=warm_calls(call_s))
            samples[contestant.name].append(answer["wall_s"] / iterations)
        self._store.append("round", group=self._group, round=index, noise=noise.figures(),
                           samples=samples,
                           times={name: geometric_mean(both) for name, both in samples.items()})


def measure(arguments: argparse.Namespace) -> int:
    serve = environment.find_serve(arguments.serve)
    with ExitStack() as stack:
        contestants = enter_contestants(stack, arguments, serve)
        if len(contestants) == len(OURS):
            session.say("peers: no peer can be imported by " + sys.executable)
            return 2
        store = Store(arguments.out, build_name(serve, contestants))
        session.store_session(store, "peers", isa=contestants[0].child.about["isa"],
                              peers={c.name: c.child.about for c in contestants[len(OURS):]})
        deadline = session.deadline(arguments)
        matches = [(shape, Match(store, shape, contestants, arguments))
                   for shape in shapes(arguments)]
        todo = [(shape, match) for shape, match in matches if match.missing > 0]
        try:
            for at, (shape, match) in enumerate(todo):
                session.say(f"{shape.key()}: {match.missing} rounds (shape {at + 1} of "
                            f"{len(todo)})")
                match.play(deadline)
        except OutOfTime:
            session.say(f"peers: stopped at the time limit; run again to continue {arguments.out}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    if not arguments.summary:
        code = measure(arguments)
        if code != 0:
            return code
    build = chosen_build(arguments.out, arguments.build if arguments.summary else None)
    print(peers_report.report(arguments.out, build), end="")
    return 0


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    return session.exit_code("peers", arguments.out, lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
