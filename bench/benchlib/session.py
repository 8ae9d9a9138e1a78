"""What the scripts' command lines have in common."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Sequence

from . import environment
from .child import Child, ChildDied, Refused
from .store import Store

RESULTS = Path(__file__).resolve().parents[1] / "results"


def say(text: str) -> None:
    """Progress, on standard error: standard output is for the report."""
    print(text, file=sys.stderr, flush=True)


def words(text: str) -> list[str]:
    """A comma-separated list."""
    return [word for word in text.split(",") if word]


def integers(text: str) -> list[int]:
    """A comma-separated list of positive integers, for argparse."""
    try:
        values = [int(word) for word in words(text)]
    except ValueError:
        values = []
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of positive integers")
    return values


def add_common_flags(parser: argparse.ArgumentParser, results: str, rounds: int,
                     unit: str = "rounds") -> None:
    parser.add_argument("--out", type=Path, default=RESULTS / results,
                        help="JSON lines; a rerun continues them (default: bench/results/%s)"
                        % results)
    parser.add_argument(f"--{unit}", type=int, default=rounds,
                        help=f"{unit} of each group (default: %(default)s; an interval of 95%% "
                        "needs 6)")
    parser.add_argument("--time-limit", type=float, metavar="S",
                        help="stop cleanly after about so many seconds; run again to continue")
    parser.add_argument("--sample", type=float, default=0.02, metavar="S",
                        help="seconds of one sample (default: %(default)s)")
    parser.add_argument("--summary", action="store_true",
                        help="measure nothing; print the Markdown report of what is there")
    parser.add_argument("--build", metavar="PREFIX",
                        help="with --summary: the build to report (default: the last one measured)")
    parser.add_argument("--quick", action="store_true",
                        help="a smoke test: tiny shapes and few rounds; its figures mean nothing")


def deadline(arguments: argparse.Namespace) -> float | None:
    return None if arguments.time_limit is None else time.monotonic() + arguments.time_limit


def exit_code(script: str, path: Path, body: Callable[[], int]) -> int:
    """What body() returns; for what ends a script of benchlib early, a line that says why and the
    code that stands for it: 2 for files and names, 1 for a measurement that failed, 130."""
    try:
        return body()
    except KeyboardInterrupt:
        say(f"{script}: interrupted; finished rounds are in {path}")
        return 130
    except (FileNotFoundError, LookupError) as error:
        say(f"{script}: {error}")
        return 2
    except (ChildDied, Refused) as error:
        say(f"{script}: {error}")
        return 1


def start_serves(stack: ExitStack, serve: Path, isas: Sequence[str]) -> dict[str, Child]:
    """One attnbench_serve for each instruction set, ended with `stack`."""
    return {isa: stack.enter_context(Child(f"attnbench_serve --isa {isa}", [serve, "--isa", isa]))
            for isa in isas}


def store_session(store: Store, script: str, **facts: Any) -> None:
    """The record that says what the rounds after it were measured with."""
    store.append("session", script=script, arguments=sys.argv[1:],
                 started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                 machine=environment.machine(), git=environment.git_revision(),
                 load_1min=environment.load_1min(), **facts)


def session_lines(session: dict[str, Any]) -> str:
    """The environment of a session, for the head of a report."""
    machine = session.get("machine", {})
    parts = [f"{machine.get('cpu_model', 'unknown CPU')}, {machine.get('cpus')} CPUs, "
             f"{', '.join(machine.get('caches', []))}"]
    if machine.get("virtualised"):
        parts.append("virtual machine")
    if machine.get("governor"):
        parts.append(f"governor {machine['governor']}")
    parts.append(f"kernel {machine.get('kernel', '?')}")
    head = "; ".join(parts)
    return (f"{head}.\nMeasured {session.get('started_at', '?')}, build "
            f"{session.get('build', '?')}, source {session.get('git') or 'unknown'}.\n")
