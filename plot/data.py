"""Reads a run directory: summary.csv, and samples.csv, manifest.json and fit.json where they are.

The columns are those of docs/csv_schema.md. Everything a file can get wrong ends as a RunError that
names the file and the line.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from plot.fit import Fit, load_fit
from plot.manifest import Manifest, load_manifest

SCHEMA_VERSION = 1
# Figures beyond these are nonsense, and no logarithmic axis could hold them.
SMALLEST, LARGEST = 1e-30, 1e30
STATUSES = ("ok", "skipped", "failed", "timeout", "out-of-memory")
MODES = ("self", "cross", "decode", "generate")

TEXT_COLUMNS = (
    "run_id", "case_id", "variant", "exactness", "params", "mode", "pass", "dtype", "layout",
    "isa", "input", "mask", "position", "cache", "status", "reason",
)
SIZE_COLUMNS = ("batch", "heads_q", "heads_kv", "seq_q", "seq_k", "dim_qk", "dim_v", "threads")
FIGURE_COLUMNS = (
    "time_median_s", "time_ci_low_s", "time_ci_high_s", "performed_flops", "traffic_bytes",
    "gflops_performed", "roofline_fraction",
    "workspace_model_bytes", "workspace_peak_bytes", "error_rel_l2", "error_mean_v",
)
REQUIRED_COLUMNS = (
    ("schema_version",) + TEXT_COLUMNS + SIZE_COLUMNS + ("causal",) + FIGURE_COLUMNS
)


class RunError(Exception):
    """A run that cannot be drawn; the message says which file, where, and what is expected."""


@dataclass(frozen=True)
class Row:
    """One row of summary.csv; absent figures are None."""

    line: int
    text: dict[str, str]
    sizes: dict[str, int]
    causal: bool
    figures: dict[str, float | None]
    cells: dict[str, str]
    """All cells as they are in the file, by column."""

    @property
    def status(self) -> str:
        return self.text["status"]

    @property
    def measured(self) -> bool:
        return self.status == "ok"

    def figure(self, name: str) -> float | None:
        return self.figures[name]


@dataclass
class Run:
    """All rows of a run, the samples by case, and the manifest (or None, with the reason)."""

    path: Path
    rows: list[Row]
    samples: dict[str, list[float]] = field(default_factory=dict)
    manifest: Manifest | None = None
    fit: Fit | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        return self.rows[0].text["run_id"]


def load_run(path: Path, fit: Path | None = None, need_measured: bool = True) -> Run:
    """Reads DIR, or a CSV file with the columns of summary.csv and what lies beside it.

    `fit` names another fit.json than the one beside the rows. Raises RunError, also when no row is
    ok and `need_measured`.
    """
    summary = path
    if path.is_file():
        path = path.parent
    else:
        summary = path / "summary.csv"
    if not path.is_dir():
        raise RunError(f"{path}: no such directory; give the directory of a run")
    if not summary.is_file():
        raise RunError(f"{path}: no summary.csv in it; "
                       "give the directory that 'attnbench run' wrote")
    rows = _read_summary(summary)
    if not rows:
        raise RunError(f"{summary}: it has a header and no rows; nothing was run")
    if need_measured and not any(row.measured for row in rows):
        raise RunError(f"{summary}: none of its {len(rows)} rows is ok ({_status_counts(rows)}); "
                       f"the first: line {rows[0].line}, {rows[0].status}: "
                       f"{rows[0].text['reason']}")
    run = Run(path, rows)
    run.samples = _read_samples(path / "samples.csv", run.warnings)
    run.manifest = load_manifest(path / "manifest.json", run.warnings)
    run.fit = load_fit(fit or path / "fit.json", run.warnings)
    return run


def _status_counts(rows: list[Row]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.status] += 1
    return ", ".join(f"{counts[s]} {s}" for s in STATUSES if counts[s])


def _csv_rows(path: Path):
    """Yields (line number, cells). Raises RunError on what is not UTF-8 CSV."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise RunError(f"{path}: not a CSV file: {error}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None


def _read_summary(path: Path) -> list[Row]:
    lines = _csv_rows(path)
    header = next(lines, (0, None))[1]
    if header is None:
        raise RunError(f"{path}: the file is empty")
    missing = [name for name in REQUIRED_COLUMNS if name not in header]
    if missing:
        raise RunError(f"{path}: no column {', '.join(missing[:4])}"
                       f"{' and others' if len(missing) > 4 else ''} in the header; "
                       "expected the columns of schema 1 (docs/csv_schema.md)")
    rows = []
    for line, cells in lines:
        if len(cells) != len(header):
            raise RunError(f"{path}:{line}: {len(cells)} cells where the header has {len(header)}")
        rows.append(_parse_row(path, line, dict(zip(header, cells))))
    return rows


def _parse_row(path: Path, line: int, cells: dict[str, str]) -> Row:
    where = f"{path}:{line}"
    if cells["schema_version"] != str(SCHEMA_VERSION):
        raise RunError(f"{where}: schema_version is '{cells['schema_version']}'; this tool reads "
                       f"schema {SCHEMA_VERSION}")
    _one_of(where, "status", cells["status"], STATUSES)
    _one_of(where, "causal", cells["causal"], ("true", "false"))
    _one_of(where, "mode", cells["mode"], MODES)
    if not cells["variant"]:
        raise RunError(f"{where}: the variant is empty")
    sizes = {name: _size(where, name, cells[name]) for name in SIZE_COLUMNS}
    figures = {name: _figure(where, name, cells[name]) for name in FIGURE_COLUMNS}
    if cells["status"] == "ok" and not figures["time_median_s"]:
        raise RunError(f"{where}: an ok row needs a time_median_s above 0, got "
                       f"'{cells['time_median_s']}'")
    return Row(line, {name: cells[name] for name in TEXT_COLUMNS}, sizes,
               cells["causal"] == "true", figures, cells)


def _one_of(where: str, name: str, text: str, accepted: tuple[str, ...]) -> None:
    if text not in accepted:
        raise RunError(f"{where}: {name} is '{text[:40]}'; accepted: {', '.join(accepted)}")


def _size(where: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0):
        raise RunError(f"{where}: {name} is '{text[:40]}'; expected a whole number above 0")
    return int(text)


def _figure(where: str, name: str, text: str) -> float | None:
    if text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # An error may be infinite (a non-finite output); nothing else may.
    infinite_error = value == math.inf and name.startswith("error_")
    if not (value == 0 or SMALLEST <= value <= LARGEST or infinite_error):
        raise RunError(f"{where}: {name} is '{text[:40]}'; expected 0 or a number between "
                       f"{SMALLEST:g} and {LARGEST:g}")
    return value


def _read_samples(path: Path, warnings: list[str]) -> dict[str, list[float]]:
    """Times by case. The figures do without samples, so what is wrong with them is a warning."""
    if not path.is_file():
        return {}
    samples: dict[str, list[float]] = defaultdict(list)
    try:
        lines = _csv_rows(path)
        header = next(lines, (0, []))[1]
        case_column, time_column = header.index("case_id"), header.index("time_s")
        for _, cells in lines:
            time_s = float(cells[time_column])
            if math.isfinite(time_s) and time_s > 0:
                samples[cells[case_column]].append(time_s)
    except (RunError, ValueError, IndexError) as error:
        warnings.append(f"{path}: not used: {error}")
        return {}
    return dict(samples)
