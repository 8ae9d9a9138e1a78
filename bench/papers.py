#!/usr/bin/env python3
"""Shapes of published tables and figures, measured here: the tables of docs/papers.md.

    bench/papers.py                      run what is missing, part by part (about 7 minutes)
    bench/papers.py --only causal        run one part again from where it stopped
    bench/papers.py --list               the parts, and what is there of each
    bench/papers.py --summary            Markdown tables of what is there

A part is a configuration of configs/papers/, run by `attnbench run` into a folder of its own; a part
that was interrupted goes on where it stopped. Timed parts want a quiet machine (README.md); errors do
not. Only the Python standard library is needed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchlib import papers_report
from benchlib.session import RESULTS, say, words

REPOSITORY = Path(__file__).resolve().parents[1]
SEEDS = 15  # Draws of figure 4 of the Performer paper.


@dataclass(frozen=True)
class Part:
    """One or several runs of a configuration."""

    name: str
    timed: bool = True
    seeds: int = 1

    @property
    def config(self) -> Path:
        return REPOSITORY / "configs" / "papers" / f"{self.name}.toml"

    def folders(self, out: Path) -> list[Path]:
        if self.seeds == 1:
            return [out / self.name]
        return [out / f"{self.name}-{seed}" for seed in range(1, self.seeds + 1)]


PARTS = (Part("flashattention"), Part("causal"), Part("linformer"), Part("sparse-transformer"),
         Part("decode"), Part("performer", timed=False, seeds=SEEDS))


def binary(given: str | None) -> Path:
    """attnbench: as given, $ATTNBENCH_BINARY, or the newest in build/."""
    named = given or os.environ.get("ATTNBENCH_BINARY")
    if named:
        path = Path(named).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"no file {named}")
        return path
    built = [path for path in REPOSITORY.glob("build/*/attnbench") if path.is_file()]
    if not built:
        raise FileNotFoundError("no build/*/attnbench: build it, or name one with --binary")
    return max(built, key=lambda path: path.stat().st_mtime)


def run_folder(tool: Path, part: Part, folder: Path, seed: int, flags: list[str]) -> None:
    """Runs one folder to its end, or continues it."""
    if papers_report.complete(folder):
        return
    command = [str(tool), "run", str(part.config), "--out", str(folder), "--seed", str(seed),
               "--quiet", *flags]
    if (folder / "manifest.json").exists():
        command.append("--resume")
    say(f"{folder.name}: {' '.join(command[1:])}")
    done = subprocess.run(command, check=False)
    # 1: rows that failed or timed out, which the report shows as such.
    if done.returncode not in (0, 1):
        raise RuntimeError(f"attnbench ended with exit code {done.returncode} in {folder}")


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [part.name for part in PARTS]
    parser.add_argument("--out", type=Path, default=RESULTS / "papers",
                        help="folder of the runs (default: bench/results/papers)")
    parser.add_argument("--only", type=words, default=names, metavar="PARTS",
                        help=f"comma separated, of {', '.join(names)}")
    parser.add_argument("--binary", help="attnbench (default: the newest build/*/attnbench)")
    parser.add_argument("--time-limit", type=float, metavar="S",
                        help="start no further run after so many seconds; run again to continue")
    parser.add_argument("--flags", type=str.split, default=[], metavar="'FLAGS'",
                        help="further flags of attnbench run, for trying: '--budget 1s'")
    parser.add_argument("--list", action="store_true", help="list the parts and stop")
    parser.add_argument("--summary", action="store_true", help="print the tables and stop")
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.only if name not in names]
    if unknown:
        parser.error(f"--only: no part {unknown[0]}; accepted: {', '.join(names)}")
    return arguments


def main(argv: list[str]) -> int:
    arguments = parse_arguments(argv)
    chosen = [part for part in PARTS if part.name in arguments.only]
    if arguments.list:
        for part in chosen:
            folders = part.folders(arguments.out)
            done = sum(papers_report.complete(folder) for folder in folders)
            print(f"{part.name}: {done} of {len(folders)} runs, "
                  f"{'timed' if part.timed else 'errors only'}")
        return 0
    if arguments.summary:
        for part in chosen:
            folders = [f for f in part.folders(arguments.out) if papers_report.complete(f)]
            if folders:
                print(papers_report.SECTIONS[part.name](papers_report.load(folders)))
        return 0
    try:
        tool = binary(arguments.binary)
        begin = time.monotonic()
        for part in chosen:
            for seed, folder in enumerate(part.folders(arguments.out), start=1):
                if arguments.time_limit and time.monotonic() - begin > arguments.time_limit:
                    say("the time limit is reached; run again to continue")
                    return 0
                run_folder(tool, part, folder, seed, arguments.flags)
    except (FileNotFoundError, RuntimeError) as error:
        say(f"papers.py: error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
