"""The parts of manifest.json that figures name: the machine, the tool and the measured ceilings."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Manifest:
    started_at: str = ""
    complete: bool = True
    cpu_model: str = ""
    cores: int | None = None
    isa: str = ""
    version: str = ""
    git: str = ""
    warnings: list[str] = field(default_factory=list)
    """Circumstances that make the timings doubtful."""
    fma_gflops: dict[int, float] = field(default_factory=dict)
    """Measured fused multiply-add peak by thread count."""
    bandwidth_gbs: dict[str, dict[int, float]] = field(default_factory=dict)
    """Measured read bandwidth by level ("L1", ..., "memory"), then by thread count."""
    document: dict = field(default_factory=dict)
    """The whole file."""

    @property
    def memory_gbs(self) -> dict[int, float]:
        """Of main memory, by thread count."""
        return next((by_threads for level, by_threads in self.bandwidth_gbs.items()
                     if level.lower() == "memory"), {})

    @property
    def date(self) -> str:
        return self.started_at[:10]


def load_manifest(path: Path, warnings: list[str]) -> Manifest | None:
    """None, with a warning, when the file is absent or unusable: figures do without it."""
    if not path.is_file():
        warnings.append(f"{path}: not there; the figures cannot name the machine")
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        warnings.append(f"{path}: not used: {error}")
        return None
    if not isinstance(document, dict):
        warnings.append(f"{path}: not used: expected a JSON object")
        return None
    machine = _object(document, "machine")
    tool = _object(document, "tool")
    ceilings = _object(document, "ceilings")
    cores = machine.get("cores")
    warned = document.get("warnings")
    return Manifest(
        started_at=_text(document, "started_at"),
        complete=document.get("complete") is not False,
        cpu_model=_text(machine, "cpu_model"),
        cores=cores if isinstance(cores, int) and not isinstance(cores, bool) else None,
        isa=_text(ceilings, "isa"),
        version=_text(tool, "version"),
        git=_text(tool, "git"),
        warnings=[w for w in warned if isinstance(w, str)] if isinstance(warned, list) else [],
        fma_gflops=_by_threads(ceilings.get("fma_gflops"), ("fma_gflops", "gflops", "value")),
        bandwidth_gbs=_bandwidth(ceilings.get("bandwidth_gbs")),
        document=document,
    )


def _object(document: dict, key: str) -> dict:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(document: dict, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _by_threads(value: object, names: tuple[str, ...]) -> dict[int, float]:
    """Reads {"1": x, "2": y} and [{"threads": 1, NAME: x}, ...]."""
    figures: dict[int, float] = {}
    if isinstance(value, dict):
        for key, figure in value.items():
            number = _positive(figure)
            if key.isascii() and key.isdigit() and number is not None:
                figures[int(key)] = number
    elif isinstance(value, list):
        for entry in value:
            if not isinstance(entry, dict) or not isinstance(entry.get("threads"), int):
                continue
            number = next((n for n in map(_positive, map(entry.get, names)) if n), None)
            if number is not None:
                figures[entry["threads"]] = number
    return dict(sorted(figures.items()))


def _bandwidth(value: object) -> dict[str, dict[int, float]]:
    """By level, from [{level, threads, read_gbs}] or {level: by threads}."""
    names = ("read_gbs", "gbs", "value")
    if isinstance(value, list):
        entries = [e for e in value if isinstance(e, dict) and isinstance(e.get("level"), str)]
        found = {level: _by_threads([e for e in entries if e["level"] == level], names)
                 for level in dict.fromkeys(e["level"] for e in entries)}
    elif isinstance(value, dict):
        found = {level: _by_threads(figures, names) for level, figures in value.items()}
    else:
        found = {}
    return {level: figures for level, figures in found.items() if figures}
