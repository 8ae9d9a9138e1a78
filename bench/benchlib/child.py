"""Long-lived processes that answer one JSON line per JSON line (bench/serve.cpp)."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from typing import Any, Mapping, Sequence


class Refused(Exception):
    """The child cannot do this: `kind` is unsupported, missing, usage, wrong, out-of-memory or
    failed."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class ChildDied(Exception):
    """The child ended, or did not answer in time."""


def _die_with_parent() -> None:
    """Runs in the child before it starts: a killed script leaves no process behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Child:
    """Starts `command` and says hello; `about` is its answer."""

    def __init__(self, name: str, command: Sequence[str], timeout_s: float = 900,
                 environment: Mapping[str, str] | None = None):
        self.name = name
        self._timeout_s = timeout_s
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, env=environment, preexec_fn=_die_with_parent)
        try:
            self.about = self.ask("hello")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        """One request, one answer. Raises Refused or ChildDied."""
        line = json.dumps({"do": what, **fields}).encode() + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise ChildDied(self._last_words("ended")) from error
        answer = json.loads(self._read_line())
        if not answer.get("ok"):
            raise Refused(answer.get("error", "failed"), answer.get("message", "no reason given"))
        return answer

    def _read_line(self) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            left_s = deadline - time.monotonic()
            ready = select.select([descriptor], [], [], max(0.0, left_s))[0]
            if not ready:
                self._process.kill()
                raise ChildDied(self._last_words(f"no answer within {self._timeout_s:g} s"))
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise ChildDied(self._last_words("ended"))
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def _last_words(self, what: str) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()
        return f"{self.name}: {what}" + (f": {words[-800:]}" if words else "")

    def pause(self) -> None:
        """Stops the process, threads that spin for more work included, until resume(); returns
        when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 1
        while self._state() not in "TZX" and time.monotonic() < deadline:
            time.sleep(0.0001)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _state(self) -> str:
        """R, S, T (stopped), Z (ended), ...; X when there is no such process."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="utf-8", errors="replace") as file:
                return file.read().rpartition(")")[2].split()[0]
        except OSError:
            return "X"

    def close(self) -> None:
        """Ends the process, paused or not; nothing happens when it has ended already."""
        if self._process.poll() is None:
            self.resume()
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
