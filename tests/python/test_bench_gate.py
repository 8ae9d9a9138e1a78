"""bench/gate_evidence.py with a gate that is made up: order, resuming, and the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import gate_evidence  # noqa: E402
from benchlib import gate_report  # noqa: E402

CELLS = ("flash N=512", "local N=512")

STUB = f"""#!{sys.executable}
import json, sys
from pathlib import Path
words = sys.argv[1:]
assert words[:2] == ["gate", "ab"]
out = Path(words[words.index("--out") + 1])
slow = 1.0
if "--inject" in words:
    slow += float(words[words.index("--inject") + 1].split("=")[1].rstrip("%")) / 100
code = 1 if slow > 1.07 else 3 if slow > 1 else 0
out.mkdir(exist_ok=True)
rows = [{{"cell": cell, "ratio": slow if cell.startswith("flash") else 1.0,
         "verdict": "regression" if code == 1 and cell.startswith("flash") else "pass"}}
        for cell in {CELLS!r}]
(out / "check.json").write_text(json.dumps({{"outcome": "made up", "rows": rows, "controls": [],
                                            "figures": {{"launch_spread": 0.01}}}}))
lines = ["stage,launch,what,cell,base_s,head_s,log_ratio"]
for launch in range(24):
    for row in rows:
        lines.append(f"screen,{{launch}},cell,{{row['cell']}},0.001,{{0.001 * row['ratio']}},0")
    lines.append(f"confirm,{{launch}},A/A,local N=512,0.5,0.5,0")
(out / "launches.csv").write_text("\\r\\n".join(lines) + "\\r\\n")
sys.exit(code)
"""


def evidence(tmp_path, *flags, code=0):
    stub = tmp_path / "attnbench"
    stub.write_text(STUB)
    stub.chmod(0o755)
    done = subprocess.run(
        [sys.executable, BENCH / "gate_evidence.py", "--binary", str(stub), "--out",
         str(tmp_path / "gates.jsonl"), *flags], text=True, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def gates(tmp_path):
    records = [json.loads(line) for line in (tmp_path / "gates.jsonl").read_text().splitlines()]
    return [record for record in records if record["type"] == "round"]


def test_a_rerun_goes_on_and_the_report_counts(tmp_path):
    evidence(tmp_path, "--blocks", "1")
    first = gates(tmp_path)
    assert sorted(gate["group"] for gate in first) == ["+10%", "+5%"] + 4 * ["null"]
    evidence(tmp_path, "--blocks", "2")
    both = gates(tmp_path)
    assert both[:6] == first and [gate["number"] for gate in both] == list(range(12))
    assert [gate["group"] for gate in both[6:]] == gate_evidence.order_of(1)
    assert set(both[0]["launches"]) == set(CELLS) and len(both[0]["launches"][CELLS[0]]) == 24
    table = evidence(tmp_path, "--summary").stdout
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
            for line in table.splitlines() if line.startswith("|")}
    assert rows["nothing"][0].startswith("0 of 8") and rows["nothing"][3:5] == ["0 of 8"] * 2
    assert rows["+5% in one cell"][:2] == ["0 of 2 (0.0..77.6%)", "2"]
    assert rows["+10% in one cell"][0].startswith("2 of 2")
    assert rows["+10% in one cell"][3:5] == ["2 of 2"] * 2
    assert "0 false alarms in 8 null gates: the rate is below 31.2%" in table


def test_an_error_of_the_gate_ends_it_and_counts_for_nothing(tmp_path):
    stub = tmp_path / "broken"
    stub.write_text("#!/bin/sh\necho no cells >&2\nexit 2\n")
    stub.chmod(0o755)
    done = evidence(tmp_path, "--binary", str(stub), code=2)
    assert "exit code 2: no cells" in done.stderr
    assert gates(tmp_path) == []
    assert "no finished gate" in evidence(tmp_path, "--summary", code=2).stderr


@pytest.mark.parametrize("hits, trials, low, high", [
    (0, 60, 0.0, 0.0487), (15, 15, 0.8190, 1.0), (5, 10, 0.1871, 0.8129), (1, 20, 0.0013, 0.2487)])
def test_exact_intervals(hits, trials, low, high):
    assert gate_report.clopper_pearson(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_the_plain_rule_looks_at_the_worst_cell_and_the_launches_it_is_given():
    gate = {"launches": {"a": [[1.0, 1.06], [1.0, 1.0]], "b": [[1.0, 0.9], [1.0, 0.9]]}}
    assert gate_report.plain_rule_fails(gate, {"a": 1.0, "b": 1.0}, 1)
    assert not gate_report.plain_rule_fails(gate, {"a": 1.0, "b": 1.0}, 2)
    assert gate_report.plain_rule_fails(gate, {"a": 1.0, "b": 0.85}, 2)


def test_a_detection_names_the_cell_that_was_slowed():
    gate = {"exit_code": 1, "slowed": "flash *",
            "verdicts": {"flash N=8": "pass", "local N=8": "regression"}}
    assert not gate_report.detected(gate)
    gate["verdicts"]["flash N=8"] = "regression"
    assert gate_report.detected(gate)
    assert not gate_report.detected({**gate, "exit_code": 4})
