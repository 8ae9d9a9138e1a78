"""What is being measured, where, and how quiet it is there."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any, Iterable

REPOSITORY = Path(__file__).resolve().parents[2]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def cpu_model() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def caches() -> list[str]:
    """"L2 1024K", one for each cache of the first CPU that holds data."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if _text(f"{index}/type") != "Instruction":
            found.append(f"L{_text(f'{index}/level')} {_text(f'{index}/size')}")
    return found


def load_1min() -> float:
    fields = _text("/proc/loadavg").split()
    return float(fields[0]) if fields else 0.0


def machine() -> dict[str, Any]:
    """Facts that do not change within a session; no names of machines or people."""
    memory = next((line.split()[1] for line in _text("/proc/meminfo").splitlines()
                   if line.startswith("MemTotal")), "0")
    return {
        "cpu_model": cpu_model(), "cpus": len(os.sched_getaffinity(0)), "caches": caches(),
        "memory_bytes": int(memory) * 1024, "kernel": platform.release(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "virtualised": " hypervisor " in _text("/proc/cpuinfo"),
        "python": platform.python_version(),
    }


def file_hash(path: Path) -> str:
    """The first 12 digits of the SHA-256 of a file: which build this is."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def git_revision() -> str:
    """The revision of the source tree around this file, "-dirty" where it was changed; empty when
    there is no git. The binary may be of another one: its hash says which it is."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"],
                              cwd=REPOSITORY, text=True, capture_output=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class NoiseMeter:
    """How much of the machine others used, from /proc/stat less our own processes."""

    def __init__(self, pids: Iterable[int]):
        self._pids = [os.getpid(), *pids]
        self._tick = os.sysconf("SC_CLK_TCK")
        self._begin = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        cells = _text("/proc/stat").splitlines()
        ticks = [int(cell) for cell in cells[0].split()[1:9]] if cells else [0] * 8
        user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
        own = 0
        for pid in self._pids:
            fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
            own += int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
        busy = user + nice + system + irq + softirq
        return time.monotonic(), busy / self._tick, steal / self._tick, own / self._tick

    def figures(self) -> dict[str, float]:
        """Since the meter was made: shares of all CPUs' time."""
        wall, busy, steal, own = (b - a for a, b in zip(self._begin, self._read()))
        capacity = max(wall, 1e-9) * (os.cpu_count() or 1)
        return {"others": round(min(1.0, max(0.0, busy - own) / capacity), 4),
                "steal": round(min(1.0, max(0.0, steal) / capacity), 4),
                "load_1min": load_1min()}


def find_serve(given: str | None) -> Path:
    """attnbench_serve: as given, $ATTNBENCH_SERVE, or the newest in build/. FileNotFoundError says
    how to build it."""
    named = given or os.environ.get("ATTNBENCH_SERVE")
    if named:
        path = Path(named).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"no file {named}")
        return path
    built = [path for path in REPOSITORY.glob("build*/**/attnbench_serve") if path.is_file()]
    if not built:
        raise FileNotFoundError(
            "no attnbench_serve in build/: configure with -DATTNBENCH_BENCH=ON and build the "
            "target attnbench_serve, or name one with --serve")
    return max(built, key=lambda path: path.stat().st_mtime)
