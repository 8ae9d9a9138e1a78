#!/usr/bin/env python3
"""How often is the gate wrong, and what does it find? The table of docs/ci.md.

    bench/gate_evidence.py                      90 gates, half an hour on two quiet cores
    bench/gate_evidence.py --time-limit 600     some of them; run again to go on
    bench/gate_evidence.py --summary            Markdown of what is there

A gate compares a build with a copy of itself: as it is (a null gate: a failure is a false alarm), or
with 5% or 10% more work in flash, which it has to find. A block is four null gates and one of each
slowdown in random order. Beside it stands what "slower than the stored mean by more than 5%" would
have said of the same times: the mean that is stored is the base's in the first gate.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchlib import environment, gate_report, session
from benchlib.session import RESULTS, say
from benchlib.store import Store, chosen_build, read
from papers import binary

CONFIG = Path(__file__).resolve().parent / "gate_evidence.toml"
BLOCK = ("null", "null", "null", "null", "+5%", "+10%")
SLOWED = "flash *"


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="attnbench (default: $ATTNBENCH_BINARY, else the newest in "
                        "build/)")
    parser.add_argument("--out", type=Path, default=RESULTS / "gate_evidence.jsonl",
                        help="JSON lines; a rerun continues them (default: "
                        "bench/results/gate_evidence.jsonl)")
    parser.add_argument("--blocks", type=int, default=15,
                        help="of %d gates each (default: %%(default)s)" % len(BLOCK))
    parser.add_argument("--time-limit", type=float, metavar="S",
                        help="start no gate after so many seconds; run again to continue")
    parser.add_argument("--summary", action="store_true",
                        help="measure nothing; print the Markdown table of what is there")
    parser.add_argument("--build", metavar="PREFIX",
                        help="with --summary: the build to report (default: the last one measured)")
    return parser.parse_args(argv)


def order_of(block: int) -> list[str]:
    """The gates of a block, the same in every run, so that a rerun knows what is next."""
    return random.Random(block).sample(BLOCK, len(BLOCK))


def launches_of(path: Path) -> dict[str, list[list[float]]]:
    """Seconds of base and head in each launch of the screen, by cell."""
    cells: dict[str, list[list[float]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["stage"] == "screen" and row["what"] == "cell":
                cells.setdefault(row["cell"], []).append(
                    [float(row["base_s"]), float(row["head_s"])])
    return cells


class GateFailed(Exception):
    """A gate that ended without a report; the text says why."""


def run_gate(base: Path, head: Path, kind: str, seed: int, folder: Path) -> dict[str, Any]:
    command = [str(base), "gate", "ab", "--base", str(base), "--head", str(head), "--config",
               str(CONFIG), "--seed", str(seed), "--out", str(folder), "--quiet", "--progress",
               "never"]
    if kind != "null":
        command += ["--inject", f"{SLOWED}={kind.lstrip('+')}"]
    noise = environment.NoiseMeter([])
    began_s = time.monotonic()
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    wall_s = time.monotonic() - began_s
    if done.returncode not in (0, 1, 3, 4):
        raise GateFailed(f"exit code {done.returncode}: {done.stderr.strip()}")
    report = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    figures = noise.figures()
    return {
        "exit_code": done.returncode, "outcome": report["outcome"], "wall_s": round(wall_s, 2),
        "launch_spread": report["figures"]["launch_spread"],
        "verdicts": {row["cell"]: row["verdict"] for row in report["rows"]},
        "ratios": {row["cell"]: row["ratio"] for row in report["rows"]},
        "controls": [control["as_expected"] for control in report["controls"]],
        "steal": figures["steal"], "load_1min": figures["load_1min"],
        "launches": launches_of(folder / "launches.csv"),
    }


def measure(arguments: argparse.Namespace) -> int:
    program = binary(arguments.binary)
    store = Store(arguments.out, f"{environment.file_hash(program)}-"
                                 f"{environment.file_hash(CONFIG)[:6]}")
    session.store_session(store, "gate_evidence.py")
    kinds = [kind for block in range(arguments.blocks) for kind in order_of(block)]
    done = sum(store.rounds_done(kind) for kind in set(BLOCK))
    deadline = session.deadline(arguments)
    with tempfile.TemporaryDirectory() as folder:
        # Two files, as two builds are: one would share its pages of memory.
        base, head = Path(folder) / "base", Path(folder) / "head"
        shutil.copy(program, base)
        shutil.copy(program, head)
        for number in range(done, len(kinds)):
            if deadline is not None and time.monotonic() > deadline:
                say(f"{number} of {len(kinds)} gates; run again to go on")
                return 0
            found = run_gate(base, head, kinds[number], 1000 + number, Path(folder) / "gate")
            store.append("round", group=kinds[number], number=number, slowed=SLOWED, **found)
            say(f"gate {number + 1} of {len(kinds)}, {kinds[number]}: {found['outcome']} "
                f"({found['wall_s']:.0f} s)")
    return 0


def summary(arguments: argparse.Namespace) -> int:
    build = chosen_build(arguments.out, arguments.build)
    records = list(read(arguments.out, build))
    gates = sorted((each for each in records if each["type"] == "round"),
                   key=lambda each: each["number"])
    sessions = [each for each in records if each["type"] == "session"]
    if not gates:
        raise LookupError(f"{arguments.out} has no finished gate of build {build}")
    print(gate_report.markdown_report(gates, sessions[0] if sessions else {}), end="")
    return 0


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    try:
        return summary(arguments) if arguments.summary else measure(arguments)
    except (FileNotFoundError, LookupError, GateFailed) as error:
        say(f"gate_evidence.py: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; run again to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
