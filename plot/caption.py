"""The words around the panels: what was run, where, when, and by which tool."""

from __future__ import annotations

from plot.data import Run
from plot.problems import ProblemGroup
from plot.sheet import Text
from plot.style import plain

LENGTH_LABELS = {
    "seq_q": "sequence length N",
    "seq_k": "number of keys Nk",
}


def threads_title(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def page_text(group: ProblemGroup, run: Run, heading: str, notes: list[str]) -> Text:
    return Text(heading, plain(group.title), _machine(group, run), notes + _doubts(run),
                _footnote(group, run))


def _doubts(run: Run) -> list[str]:
    """What the run itself says against its timings."""
    if not run.manifest or not run.manifest.warnings:
        return []
    return ["Doubtful: " + plain("; ".join(run.manifest.warnings), 400) + "."]


def _machine(group: ProblemGroup, run: Run) -> str:
    manifest = run.manifest
    isas = sorted({row.text["isa"] for row in group.rows() if row.measured and row.text["isa"]})
    if not isas and manifest and manifest.isa:
        isas = [manifest.isa]
    threads = ", ".join(map(str, group.threads))
    parts = [plain(manifest.cpu_model, 80) if manifest and manifest.cpu_model
             else "machine not recorded"]
    parts += [plain(" and ".join(isas), 40)] if isas else []
    parts.append(f"{threads} {'thread' if group.threads == [1] else 'threads'}"
                 + (f" of {manifest.cores} CPUs" if manifest and manifest.cores else ""))
    if manifest and manifest.date:
        parts.append(plain(manifest.date))
    return " · ".join(parts)


def _footnote(group: ProblemGroup, run: Run) -> str:
    manifest = run.manifest
    tool = "attnbench"
    if manifest and manifest.version:
        tool += f" {plain(manifest.version, 40)}"
        tool += f" ({plain(manifest.git, 40)})" if manifest.git else ""
    measured = sum(row.measured for row in group.rows())
    parts = [f"run {plain(run.run_id, 60) or 'without id'}", tool,
             f"{measured} of {len(group.rows())} cells measured"]
    if manifest and not manifest.complete:
        parts.append("run not complete")
    return " · ".join(parts)
