"""Fixtures of the end-to-end tests: the built binary, and running it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300


def _binary() -> Path | None:
    named = os.environ.get("ATTNBENCH_BINARY")
    if named:
        return Path(named).resolve()
    built = [path for path in REPOSITORY.glob("build/*/attnbench") if path.is_file()]
    return max(built, key=lambda path: path.stat().st_mtime) if built else None


@pytest.fixture(scope="session")
def attnbench() -> Path:
    """The path of the binary: $ATTNBENCH_BINARY, or the newest build/*/attnbench."""
    path = _binary()
    if path is None:
        pytest.skip("no build/*/attnbench; build first or set ATTNBENCH_BINARY")
    assert path.is_file(), f"ATTNBENCH_BINARY={path} is not a file"
    return path


class Runner:
    """Runs the tool in a folder of its own."""

    def __init__(self, binary: Path, folder: Path):
        self.binary = binary
        self.folder = folder

    def __call__(self, *arguments, env=None, code=None) -> subprocess.CompletedProcess:
        """Runs to the end. With `code`, fails unless the exit code is that."""
        done = subprocess.run(
            [str(self.binary), *map(str, arguments)], cwd=self.folder, text=True,
            capture_output=True, timeout=TIMEOUT_S, check=False,
            env={**os.environ, **(env or {})})
        if code is not None:
            assert done.returncode == code, (
                f"attnbench {' '.join(map(str, arguments))}\nexit code {done.returncode}, "
                f"expected {code}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}")
        return done

    def start(self, *arguments) -> subprocess.Popen:
        """Starts it and returns at once; Ctrl-C reaches it as from a terminal."""
        return subprocess.Popen(
            [str(self.binary), *map(str, arguments)], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


@pytest.fixture
def run(attnbench, tmp_path) -> Runner:
    """Runs the binary in a temporary folder: run("list", "--json", code=0)."""
    return Runner(attnbench, tmp_path)
