"""python3 -m plot.report DIR: a run as one HTML page that opens without a network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from plot.__main__ import EXIT_OK, EXIT_USAGE


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="attnbench report",
        description="Writes a run as one HTML page that opens without a network.",
        epilog="Exit codes: 0 written; 2 the run or an argument cannot be used.")
    parser.add_argument("run", metavar="DIR", type=Path,
                        help="directory of a run, with its summary.csv")
    parser.add_argument("--fit", metavar="FILE", type=Path,
                        help="the fit.json of the run (default: the one beside its rows)")
    parser.add_argument("--out", metavar="FILE", type=Path,
                        help="the page (default: report.html in the run's directory)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = _arguments(arguments)
    try:
        from plot.data import RunError, load_run
        from plot.report_page import report_page
    except ImportError as error:
        print(f"attnbench report: this Python has no {error.name}: python3 -m pip install -r "
              f"{Path(__file__).with_name('requirements.txt')}", file=sys.stderr)
        return EXIT_USAGE
    folder = options.run.parent if options.run.is_file() else options.run
    out = options.out or folder / "report.html"
    try:
        run = load_run(options.run, options.fit, need_measured=False)
        page = report_page(run)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.tmp")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(out)
    except RunError as error:
        print(f"attnbench report: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"attnbench report: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    for warning in run.warnings:
        print(f"attnbench report: warning: {warning}", file=sys.stderr)
    print(out)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
