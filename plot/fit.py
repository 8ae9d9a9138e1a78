"""Reads fit.json, what `attnbench fit` says about a run. Nothing is fitted here.

The keys are those of docs/analysis.md. A file that cannot be used is a warning: the figures that
need it are left out then.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plot.problems import ProblemGroup, Series

ABSENT = "there is no usable fit.json; 'attnbench plot DIR' and 'attnbench fit DIR' write it"


@dataclass(frozen=True)
class Curve:
    """value = c + a N^exponent."""

    exponent: float
    c: float
    a: float

    def at(self, length: float) -> float:
        return self.c + self.a * length**self.exponent


@dataclass(frozen=True)
class Local:
    """The slope between two neighbouring lengths, with the interval that noise gives it."""

    seq_low: float
    seq_high: float
    exponent: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Break:
    seq_low: float
    seq_high: float
    factor: float
    level: str


@dataclass(frozen=True)
class Growth:
    """How time or workspace grows; absent figures are None."""

    curve: Curve | None
    at_low: Curve | None
    at_high: Curve | None
    ci_low: float | None
    ci_high: float | None
    law: str
    law_weight: float | None
    declared: str
    verdict: str
    note: str
    seq_min: float
    seq_max: float
    local: list[Local]
    breaks: list[Break]


@dataclass(frozen=True)
class FitSeries:
    variant: str
    params: str
    threads: int
    problem: str
    exactness: str
    axes: dict
    time: Growth
    workspace: Growth


@dataclass(frozen=True)
class Crossover:
    """Where `b` becomes the faster of the two for good; seq is None where nothing was found."""

    a: tuple[str, str]
    b: tuple[str, str]
    threads: int
    problem: str
    seq: float | None
    ci_low: float | None
    ci_high: float | None
    verdict: str
    seq_min: float
    seq_max: float
    ratio_at_min: float | None
    ratio_at_max: float | None


@dataclass(frozen=True)
class ThreadPoint:
    threads: int
    speedup: float
    ci_low: float
    ci_high: float
    machine_ratio: float


@dataclass(frozen=True)
class Scaling:
    variant: str
    params: str
    problem: str
    seq: int
    points: list[ThreadPoint]
    machine_basis: str
    serial_fraction: float | None
    serial_low: float | None
    serial_high: float | None
    best_threads: int
    efficiency: float
    of_machine: float


@dataclass(frozen=True)
class ParetoPoint:
    variant: str
    params: str
    exactness: str
    time_s: float
    error: float
    on_front: bool
    on_dense_front: bool


@dataclass(frozen=True)
class ParetoGroup:
    problem: str
    input: str
    seq: int
    threads: int
    points: list[ParetoPoint]


@dataclass
class Fit:
    series: list[FitSeries]
    crossovers: list[Crossover]
    scaling: list[Scaling]
    pareto: list[ParetoGroup]

    def of(self, group: ProblemGroup, series: Series, threads: int) -> FitSeries | None:
        """The fit of one line of a figure."""
        return next((f for f in self.series if (f.variant, f.params, f.threads)
                     == (series.variant, series.params, threads) and _same(group, f.axes)), None)

    def problems(self, group: ProblemGroup) -> set[str]:
        """What the fit calls this problem: once for each instruction set."""
        return {f.problem for f in self.series if _same(group, f.axes)}


def _same(group: ProblemGroup, axes: dict) -> bool:
    """Whether all facts agree; a length that the fit sweeps may be fixed in the figure."""
    for name, value in group.facts.items():
        if value != axes.get(name) and not (name in ("seq_q", "seq_k") and axes.get(name) is None):
            return False
    return True


def load_fit(path: Path, warnings: list[str]) -> Fit | None:
    """None where the file is absent, and with a warning where it cannot be used."""
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Fit([_series(each) for each in document["series"]],
                   [_crossover(each) for each in document["crossovers"]],
                   [_scaling(each) for each in document["scaling"]],
                   [_pareto(each) for each in document["pareto"]])
    except KeyError as error:
        warnings.append(f"{path}: not used: no key {error}; "
                        "the fit.json of another version? 'attnbench fit DIR' writes it anew")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        warnings.append(f"{path}: not used: {error}")
    return None


def _number(value: object) -> float:
    """Infinite numbers are texts in JSON."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"expected a number, got {str(value)[:40]!r}")
    number = float(value)
    if math.isnan(number):
        raise ValueError("expected a number, got nan")
    return number


def _optional(value: object) -> float | None:
    return None if value is None else _number(value)


def _text(value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"expected a text, got {str(value)[:40]!r}")
    return value or ""


def _curve(each: dict | None, exponent: object) -> Curve | None:
    if each is None or exponent is None:
        return None
    return Curve(_number(exponent), _number(each["c"]), _number(each["a"]))


def _growth(each: dict) -> Growth:
    low, high = each["curve_at_low"], each["curve_at_high"]
    return Growth(
        _curve(each, each["exponent"]), _curve(low, low and low["exponent"]),
        _curve(high, high and high["exponent"]), _optional(each["ci_low"]),
        _optional(each["ci_high"]), _text(each["law"]), _optional(each["law_weight"]),
        _text(each["declared"]), _text(each["verdict"]), _text(each["note"]),
        _number(each["seq_min"] or 0), _number(each["seq_max"] or 0),
        [Local(*(_number(p[k]) for k in ("seq_low", "seq_high", "exponent", "ci_low", "ci_high")))
         for p in each["local_exponents"]],
        [Break(*(_number(b[k]) for k in ("seq_low", "seq_high", "factor")), _text(b["level"]))
         for b in each["breaks"]])


def _series(each: dict) -> FitSeries:
    return FitSeries(_text(each["variant"]), _text(each["params"]), int(_number(each["threads"])),
                     _text(each["problem"]), _text(each["exactness"]), dict(each["axes"]),
                     _growth(each["time"]), _growth(each["workspace"]))


def _crossover(each: dict) -> Crossover:
    return Crossover(
        (_text(each["a"]), _text(each["a_params"])), (_text(each["b"]), _text(each["b_params"])),
        int(_number(each["threads"])), _text(each["problem"]), _optional(each["seq"]),
        _optional(each["ci_low"]), _optional(each["ci_high"]), _text(each["verdict"]),
        _number(each["seq_min"]), _number(each["seq_max"]), _optional(each["ratio_at_min"]),
        _optional(each["ratio_at_max"]))


def _scaling(each: dict) -> Scaling:
    points = [ThreadPoint(int(_number(p["threads"])), *(_number(p[k]) for k in (
        "speedup", "ci_low", "ci_high", "machine_ratio"))) for p in each["points"]]
    return Scaling(
        _text(each["variant"]), _text(each["params"]), _text(each["problem"]),
        int(_number(each["seq"])), points, _text(each["machine_basis"]),
        _optional(each["serial_fraction"]), _optional(each["serial_fraction_ci_low"]),
        _optional(each["serial_fraction_ci_high"]), int(_number(each["best_threads"])),
        _number(each["efficiency"]), _number(each["of_machine"]))


def _pareto(each: dict) -> ParetoGroup:
    points = [ParetoPoint(_text(p["variant"]), _text(p["params"]), _text(p["exactness"]),
                          _number(p["time_s"]), _number(p["error_rel_l2"]),
                          p["on_front"] is True, p["on_dense_front"] is True)
              for p in each["points"]]
    return ParetoGroup(_text(each["problem"]), _text(each["input"]), int(_number(each["seq"])),
                       int(_number(each["threads"])), points)
