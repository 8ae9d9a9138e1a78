"""End-to-end tests of gate ab --metric: scripted counts, and real ones where something counts."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time

import pytest

CELLS = """
variants = ["flash", "performer"]
seq = [64, 128]
heads = 1
threads = [1, 2]
"""

# A build that runs cells as the real one does and answers from a script when it is asked to count.
BUILD = """#!{python}
import json, subprocess, sys
SCRIPT = json.loads({script!r})
if sys.argv[1:] != ["gate", "child"]:
    print("attnbench scripted")
    sys.exit(0)
child = subprocess.Popen([{binary!r}, "gate", "child"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, bufsize=1)
cell = {{}}
for line in sys.stdin:
    request = json.loads(line)
    what = request["do"]
    if what == "prepare":
        cell = dict(map(tuple, request["flags"]))
    key = cell.get("variants", "") + " " + cell.get("seq", "")
    reply = None
    if what in SCRIPT:
        reply = SCRIPT[what].get(key, SCRIPT[what].get("*"))
    if reply is None:
        child.stdin.write(line)
        reply = child.stdout.readline().strip()
    elif reply == "hang":
        open(sys.argv[0] + ".hangs", "w").close()
        sys.stdin.read()  # Until whoever asks is gone.
        sys.exit(0)
    elif reply == "die":
        sys.exit(3)
    else:
        reply = json.dumps(reply)
    print(reply, flush=True)
"""


def counted(instructions):
    return {"ok": True, "instructions": instructions, "source": "perf", "isa": "avx2"}


def build(run, name, **script):
    path = run.folder / name
    path.write_text(BUILD.format(python=sys.executable, script=json.dumps(script),
                                 binary=str(run.binary)), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def cells(run):
    path = run.folder / "cells.toml"
    path.write_text(CELLS, encoding="utf-8")
    return path


def gate(run, cells, base, head, *flags, metric="instructions", code):
    out = run.folder / "out"
    run("gate", "ab", "--base", base, "--head", head, "--config", cells, "--metric", metric,
        "--out", out, *flags, code=code)
    return json.loads((out / "check.json").read_text(encoding="utf-8"))


def verdicts(report, metric="instructions"):
    return {(row["variant"], row["problem"].split()[0], row["threads"]): row["verdict"]
            for row in report["rows"] if row["metric"] == metric}


def test_equal_counts_pass_once_a_cell_whatever_its_threads(run, cells):
    base = build(run, "base", count={"*": counted(1000000)})
    report = gate(run, cells, base, base, code=0)
    assert report["kind"] == "exact" and report["outcome"] == "PASS"
    assert verdicts(report) == {(variant, length, 1): "pass" for variant in ("flash", "performer")
                                for length in ("N=64", "N=128")}
    assert all(" avx2" in row["problem"] for row in report["rows"])
    assert report["figures"] == {"instructions_margin": 0.01}
    assert any("on one thread" in text and "perf events" in text for text in report["summary"])


def test_more_instructions_fail_beyond_the_margin(run, cells):
    base = build(run, "base", count={"*": counted(1000000)})
    head = build(run, "head", count={"*": counted(1000000), "flash 64": counted(1010000),
                                     "flash 128": counted(1010001),
                                     "performer 64": counted(900000)})
    report = gate(run, cells, base, head, code=1)
    assert report["outcome"] == "REGRESSION"
    assert verdicts(report) == {("flash", "N=64", 1): "pass", ("flash", "N=128", 1): "regression",
                                ("performer", "N=64", 1): "improved",
                                ("performer", "N=128", 1): "pass"}
    gate(run, cells, base, head, "--margin", "2%", code=0)
    # What is accepted is written down.
    accepted = run.folder / "accepted.toml"
    accepted.write_text('[[accept]]\ncell = "flash N=128 *"\nmetric = "instructions"\n'
                        'limit = "1.1%"\nreason = "checks"\nexpires = 2999-12-31\n',
                        encoding="utf-8")
    report = gate(run, cells, base, head, "--accept", accepted, code=0)
    assert verdicts(report)[("flash", "N=128", 1)] == "accepted"


def test_a_byte_of_workspace_fails(run, cells):
    base = build(run, "base", workspace={"flash 64": {"ok": True, "workspace_bytes": 4096}})
    head = build(run, "head", workspace={"flash 64": {"ok": True, "workspace_bytes": 4097}})
    report = gate(run, cells, base, head, metric="workspace", code=1)
    found = verdicts(report, "workspace")
    assert found.pop(("flash", "N=64", 1)) == found.pop(("flash", "N=64", 2)) == "regression"
    # The others are real, at each cell's own threads.
    assert set(found.values()) == {"pass"} and len(found) == 6
    assert gate(run, cells, head, base, metric="workspace", code=0)["outcome"] == "PASS"


def test_a_cell_that_the_head_lost_fails(run, cells):
    base = build(run, "base", count={"*": counted(1000)})
    head = build(run, "head", count={"*": counted(1000)}, prepare={
        "flash 64": {"ok": False, "error": "failed", "message": "wrong result"}})
    report = gate(run, cells, base, head, metric="instructions,workspace", code=1)
    assert verdicts(report)[("flash", "N=64", 1)] == "failed"
    assert verdicts(report, "workspace")[("flash", "N=64", 2)] == "failed"


@pytest.mark.parametrize("reply, said", [
    ({"ok": False, "error": "usage", "message": "unknown request 'count'"}, "unknown request"),
    (counted(0), "counted 0 instructions"),
    ("die", "ended with exit code 3")])
def test_a_build_that_does_not_count_is_no_verdict(run, cells, reply, said):
    base = build(run, "base", count={"*": counted(1000)})
    head = build(run, "head", count={"*": counted(1000), "flash 128": reply})
    out = run.folder / "out"
    done = run("gate", "ab", "--base", base, "--head", head, "--config", cells, "--metric",
               "instructions", "--out", out, code=2)
    assert said in done.stderr and "flash N=128" in done.stderr and "head (" in done.stderr
    assert not list(out.glob("check.*"))


def test_without_any_counter_the_package_is_named(run, cells):
    refused = {"*": {"ok": False, "error": "unsupported", "message": "not permitted"}}
    base = build(run, "base", count=refused)
    empty = run.folder / "empty"
    empty.mkdir()
    done = run("gate", "ab", "--base", base, "--head", base, "--config", cells, "--metric",
               "instructions", env={"PATH": str(empty)}, code=2)
    assert "install the package valgrind" in done.stderr and "not permitted" in done.stderr


def start_until_the_head_hangs(run, cells):
    """A gate that has counted the base, and whose head does not answer."""
    base = build(run, "base", count={"*": counted(1000)})
    head = build(run, "head", count={"*": "hang"})
    gate(run, cells, base, base, code=0)  # An earlier report, which must go.
    process = run.start("gate", "ab", "--base", base, "--head", head, "--config", cells,
                        "--metric", "instructions", "--out", run.folder / "out")
    while not (run.folder / "head.hangs").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def test_killed_in_the_middle_it_leaves_no_report(run, cells):
    process = start_until_the_head_hangs(run, cells)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list((run.folder / "out").glob("check.*"))


def test_interrupted_it_says_so(run, cells):
    process = start_until_the_head_hangs(run, cells)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate()
    assert process.returncode == 130 and "interrupted" in rest
    assert not list((run.folder / "out").glob("check.*"))


def test_wrong_flags(run, cells):
    said = run("gate", "ab", "--base", run.binary, "--metric", "cycles", code=2).stderr
    assert "accepted: time, or instructions, workspace" in said
    assert "one after the other" in run("gate", "ab", "--base", run.binary, "--metric",
                                        "time,workspace", code=2).stderr
    assert "--budget is for" in run("gate", "ab", "--base", run.binary, "--metric", "workspace",
                             "--budget", "60s", code=2).stderr
    assert "--metric" in run("gate", "aa", "--out", run.folder / "aa", "--metric", "workspace",
                             code=2).stderr


def test_real_counts_are_those_of_the_kernel(run):
    cells = run.folder / "cells.toml"
    cells.write_text('variants = ["flash"]\nseq = [64, 128]\nheads = 1\nthreads = 1\n',
                     encoding="utf-8")
    done = run("gate", "ab", "--base", run.binary, "--head", run.binary, "--config", cells,
               "--metric", "instructions,workspace", "--out", run.folder / "out")
    if "install the package valgrind" in done.stderr:
        pytest.skip("neither perf events nor valgrind here")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((run.folder / "out" / "check.json").read_text(encoding="utf-8"))
    rows = {row["problem"].split()[0]: row for row in report["rows"]
            if row["metric"] == "instructions"}
    for length, row in rows.items():
        n = int(length[2:])
        flops = 4 * n * n * 64
        # A fused multiply-add of 8 or 16 lanes is one instruction for 16 or 32 of them.
        assert flops / 32 < row["head"] < flops / 2
    assert 3 < rows["N=128"]["head"] / rows["N=64"]["head"] < 5
    assert {row["verdict"] for row in report["rows"]} == {"pass"}
    if any("callgrind" in text for text in report["summary"]):
        # Exact, but for addresses: copies choose their way by alignment.
        for row in rows.values():
            assert abs(row["ratio"] - 1) < 1e-3
        assert all(" avx2" in row["problem"] for row in rows.values())
        assert shutil.which("valgrind")
