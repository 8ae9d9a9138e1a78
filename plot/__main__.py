"""python3 -m plot DIR: draws the figures of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXIT_OK = 0
EXIT_USAGE = 2
FORMATS = ("png", "svg", "pdf")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="attnbench plot",
        description="Draws the figures of a run; docs/plots.md says what each of them shows.",
        epilog="Exit codes: 0 drawn; 2 the run or an argument cannot be used.")
    parser.add_argument("run", metavar="DIR", type=Path,
                        help="directory of a run, with its summary.csv")
    parser.add_argument("--charts", metavar="LIST",
                        help="comma-separated, of those that docs/plots.md names (default: all)")
    parser.add_argument("--fit", metavar="FILE", type=Path,
                        help="the fit.json of the run (default: the one beside its rows)")
    parser.add_argument("--out", metavar="DIR", type=Path,
                        help="where the figures go (default: the run's directory)")
    parser.add_argument("--formats", default="png,svg", metavar="LIST",
                        help="comma-separated, of png, svg, pdf (default: png,svg)")
    options = parser.parse_args(arguments)
    options.formats = list(dict.fromkeys(f.strip() for f in options.formats.split(",")))
    unknown = [f for f in options.formats if f not in FORMATS]
    if unknown:
        parser.error(f"--formats: '{unknown[0]}' is not one of {', '.join(FORMATS)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = _arguments(arguments)
    try:
        from plot.charts import CHARTS, draw_run
        from plot.data import RunError, load_run
    except ImportError as error:
        print(f"attnbench plot: this Python has no {error.name}: python3 -m pip install -r "
              f"{Path(__file__).with_name('requirements.txt')}", file=sys.stderr)
        return EXIT_USAGE
    charts = list(CHARTS)
    if options.charts is not None:
        charts = list(dict.fromkeys(name.strip() for name in options.charts.split(",")))
        unknown = [name for name in charts if name not in CHARTS]
        if unknown:
            print(f"attnbench plot: --charts: '{unknown[0]}' is not one of {', '.join(CHARTS)}",
                  file=sys.stderr)
            return EXIT_USAGE
    try:
        run = load_run(options.run, options.fit)
        out = options.out or (options.run.parent if options.run.is_file() else options.run)
        out.mkdir(parents=True, exist_ok=True)
        drawn = draw_run(run, out, options.formats, charts)
    except RunError as error:
        print(f"attnbench plot: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"attnbench plot: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_USAGE
    for warning in run.warnings:
        print(f"attnbench plot: warning: {warning}", file=sys.stderr)
    for reason in drawn.left_out:
        print(f"attnbench plot: not drawn: {reason}", file=sys.stderr)
    for path in drawn.files:
        print(path)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
