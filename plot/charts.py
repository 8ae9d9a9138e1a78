"""Draws every chart of a run and writes the files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from plot.data import Run
from plot.crossovers import draw_crossovers
from plot.exponents import draw_exponents
from plot.growth import draw_share, draw_time, draw_workspace
from plot.laws import draw_laws
from plot.parameters import draw_parameters
from plot.pareto import draw_pareto
from plot.problems import split_problems
from plot.roofline import draw_roofline
from plot.speedup import draw_efficiency, draw_speedup
from plot.style import figure_style, save

# File name -> what draws it: (problem, run) -> figure, or a sentence that says why there is none.
CHARTS = {
    "time": draw_time,
    "growth": draw_laws,
    "exponents": draw_exponents,
    "crossovers": draw_crossovers,
    "workspace": draw_workspace,
    "speedup": draw_speedup,
    "efficiency": draw_efficiency,
    "roofline": draw_roofline,
    "share": draw_share,
    "pareto": draw_pareto,
    "parameters": draw_parameters,
}


@dataclass
class Drawn:
    """Files written, and "name: why" for each chart that the run has no data for."""

    files: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def draw_run(run: Run, out: Path, formats: list[str], charts: list[str] | None = None) -> Drawn:
    """Draws `charts` (default: all): NAME.FORMAT into `out`, NAME_PROBLEM.FORMAT when the run has
    several problems.

    A file of an earlier drawing that this run has no chart for any more is removed.
    """
    drawn = Drawn()
    with figure_style():
        for group in split_problems(run):
            suffix = f"_{group.slug}" if group.slug else ""
            for name in charts or CHARTS:
                stem = out / f"{name}{suffix}"
                figure = CHARTS[name](group, run)
                if isinstance(figure, str):
                    drawn.left_out.append(f"{stem.name}: {figure}")
                    for extension in formats:
                        (out / f"{stem.name}.{extension}").unlink(missing_ok=True)
                else:
                    drawn.files += save(figure, stem, formats)
    return drawn
