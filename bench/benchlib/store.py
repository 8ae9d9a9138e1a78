"""Results as JSON lines that a rerun continues.

Every record has a `type` and a `build` (what was measured: a hash of binaries and versions). One
complete round is one line, written at once: a killed run loses at most the round in progress, and
rounds of another build never mix with these.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

SCHEMA = 1


class Store:
    def __init__(self, path: Path, build: str):
        self.path = Path(path)
        self.build = build
        self._done = Counter(record["group"] for record in read(self.path, build)
                             if record["type"] == "round")

    def rounds_done(self, group: str) -> int:
        return self._done[group]

    def append(self, kind: str, **fields: Any) -> None:
        record = {"schema": SCHEMA, "type": kind, "build": self.build, **fields}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab+") as file:
            # What a killed run left of its last line must not swallow this one.
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if kind == "round":
            self._done[fields["group"]] += 1


def read(path: Path, build: str | None = None) -> Iterator[dict[str, Any]]:
    """The records of a file, of one build or all; a line cut short is left out."""
    if not Path(path).exists():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if not isinstance(record, dict) or record.get("schema") != SCHEMA:
                continue
            if build is None or record.get("build") == build:
                yield record


def builds(path: Path) -> list[str]:
    """The builds of a file, in the order of their last record."""
    seen: dict[str, None] = {}
    for record in read(path):
        seen.pop(record["build"], None)
        seen[record["build"]] = None
    return list(seen)


def chosen_build(path: Path, wanted: str | None) -> str:
    """The build whose name starts with `wanted`, or the last one. LookupError when there is
    none."""
    known = builds(path)
    matching = [build for build in known if wanted is None or build.startswith(wanted)]
    if not matching:
        raise LookupError(f"{path} has no rounds" +
                          (f" of a build '{wanted}'; it has {', '.join(known)}" if known else ""))
    return matching[-1]
