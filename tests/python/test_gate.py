"""The gate end to end: real processes of scripted builds on a simulated clock.

`scripted_attnbench` (tests/scripted) is the whole program with variants whose call times are
scripted in SCRIPT_<file name>, so that what a gate finds is known, and the same in every run.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import stat
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import Runner

CELLS = """
variants = ["steady", "short", "wide"]
seq = 8
heads = 1
dim = 4
threads = 1
"""
FILES = ("check.json", "check.md", "check.xml", "launches.csv")


@pytest.fixture
def builds(attnbench, tmp_path) -> Runner:
    """Runs `head gate ab --base base` in a folder that has both builds and a configuration."""
    scripted = attnbench.parent / "tests" / "scripted_attnbench"
    if not scripted.is_file():
        pytest.skip("tests/scripted_attnbench is not built (ATTNBENCH_TESTS=OFF)")
    for name in ("base", "head"):
        shutil.copy(scripted, tmp_path / name)
    (tmp_path / "cells.toml").write_text(CELLS)
    return Runner(tmp_path / "head", tmp_path)


def gate(builds, *flags, head="", base="", copy="", code=0, **environment):
    """A gate with seed 1; its report."""
    scripts = {"SCRIPT_head": head, "SCRIPT_base": base, "SCRIPT_copy": copy, **environment}
    usual = {"--base": "base", "--config": "cells.toml", "--seed": "1", "--progress": "never"}
    given = dict(zip(flags[::2], flags[1::2]))
    words = [word for pair in {**usual, **given}.items() for word in pair]
    done = builds("gate", "ab", "--out", "out", *words, env=scripts, code=code)
    path = builds.folder / "out" / "check.json"
    return done, json.loads(path.read_text()) if path.exists() else None


def verdicts(report):
    return {row["cell"].split()[0]: row["verdict"] for row in report["rows"]}


def test_a_slowdown_of_ten_percent_is_found_and_reported(builds):
    done, report = gate(builds, head="steady=1.10", code=1, GITHUB_ACTIONS="true")
    assert report["exit_code"] == 1 and report["outcome"].startswith("REGRESSION")
    found = verdicts(report)
    assert found["steady"] == "regression" and found["short"] == found["wide"] == "pass"
    row = next(row for row in report["rows"] if row["variant"] == "steady")
    assert row["ratio"] == pytest.approx(1.10, abs=0.003)
    assert 1.03 < row["ratio_low"] < 1.10 < row["ratio_high"] < 1.11
    assert row["base"] == pytest.approx(1e-3, rel=0.01)
    assert row["p_value"] < 0.008
    assert [control["as_expected"] for control in report["controls"]] == [True, True]
    assert "REGRESSION" in done.stdout and "::error" in done.stdout
    junit = ElementTree.parse(builds.folder / "out" / "check.xml").getroot()
    assert len(junit.findall(".//failure")) >= 1
    assert "steady" in (builds.folder / "out" / "check.md").read_text()
    with open(builds.folder / "out" / "launches.csv", newline="", encoding="utf-8") as file:
        launches = list(csv.DictReader(file))
    screen = [row for row in launches if row["stage"] == "screen"]
    assert len(screen) == 24 * 3
    assert {row["what"] for row in launches} == {"cell", "A/A", "positive"}
    # What survived the screen was measured again, the rest was not.
    assert {row["cell"].split()[0] for row in launches
            if row["stage"] == "confirm" and row["what"] == "cell"} == {"steady"}


def test_a_slowdown_below_the_margin_and_a_speedup_pass(builds):
    _, report = gate(builds, head="steady=1.01 wide=0.80")
    assert report["exit_code"] == 0 and report["outcome"] == "PASS"
    found = verdicts(report)
    assert found["steady"] == "pass" and found["wide"] == "improved"
    assert any("found 9 times in 10" in line for line in report["summary"])


def test_a_missing_cell_fails(builds):
    done, report = gate(builds, head="gone=wide", code=1)
    assert verdicts(report)["wide"] == "missing"
    assert "variant 'wide' is unknown" in done.stdout


def test_a_wrong_result_fails_and_a_new_cell_does_not(builds):
    _, report = gate(builds, base="gone=wide", head="wrong=steady", code=1)
    found = verdicts(report)
    assert found["steady"] == "failed" and found["wide"] == "new" and found["short"] == "pass"
    row = next(row for row in report["rows"] if row["variant"] == "steady")
    assert "wrong result" in row["reason"]


def test_a_tripped_control_is_never_a_regression(builds):
    _, report = gate(builds, copy="short=1.04", head="steady=1.10", code=4)
    assert report["exit_code"] == 4 and "A/A CONTROL TRIPPED" in report["outcome"]
    assert [control["as_expected"] for control in report["controls"]][0] is False


def test_a_known_slowdown_that_is_missed_makes_the_gate_blind(builds):
    _, report = gate(builds, copy="extra=0.3", code=3)
    assert "blind" in report["outcome"]


def test_a_drill_fails(builds):
    _, report = gate(builds, "--inject", "wide *=10%", code=1)
    row = next(row for row in report["rows"] if row["variant"] == "wide")
    assert row["verdict"] == "regression" and row["ratio"] == pytest.approx(1.10, abs=0.005)
    assert any("--inject" in warning for warning in report["warnings"])


def test_an_accepted_slowdown_passes_within_its_limit(builds):
    accepted = builds.folder / "accepted.toml"
    entry = '[[accept]]\ncell = "steady *"\nlimit = "{}"\nreason = "checks"\nexpires = 2999-12-31\n'
    accepted.write_text(entry.format("12%")
                        + entry.format("9%").replace("steady *", "geometric mean *"))
    _, report = gate(builds, "--accept", "accepted.toml", head="steady=1.10", code=0)
    assert verdicts(report)["steady"] == "accepted" and report["outcome"] == "PASS"
    accepted.write_text(entry.format("8%"))
    _, report = gate(builds, "--accept", "accepted.toml", head="steady=1.10", code=1)
    assert verdicts(report)["steady"] == "regression"


def test_a_process_that_dies(builds):
    _, report = gate(builds, head="die=steady", code=1)
    assert verdicts(report)["steady"] == "failed"
    row = next(row for row in report["rows"] if row["variant"] == "steady")
    assert "signal 9" in row["reason"]
    # The base has nothing to answer for: its death is an error, not a verdict.
    done, report = gate(builds, base="die=steady", code=2)
    assert report is None
    assert "base (base) was ended by signal 9" in done.stderr and "steady" in done.stderr


def test_a_process_that_hangs_is_ended(builds):
    # The parent's clock runs so fast that its patience lasts a fraction of a second.
    _, report = gate(builds, "--budget", "1h", head="hang=steady", code=1,
                     SCRIPT_CLOCK_RATE="100")
    assert verdicts(report)["steady"] == "failed"
    row = next(row for row in report["rows"] if row["variant"] == "steady")
    assert "gave no answer within 30 s" in row["reason"]


def children_of(builds):
    """Processes of the builds in the test's folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            program = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if program.startswith(str(builds.folder)):
            found.append(int(pid))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_gate_that_is_stopped_leaves_no_report(builds, number):
    gate(builds)
    out = builds.folder / "out"
    assert all((out / name).exists() for name in FILES)
    gate_process = builds.start("gate", "ab", "--base", "base", "--config", "cells.toml",
                                "--out", "out", "--progress", "always")
    try:
        for line in gate_process.stderr:
            if "(screen)" in line:
                break
        gate_process.send_signal(number)
        gate_process.communicate(timeout=60)
    finally:
        gate_process.kill()
    expected = 130 if number == signal.SIGINT else -signal.SIGKILL
    assert gate_process.returncode == expected
    assert not any((out / name).exists() for name in FILES)
    for _ in range(600):
        if not children_of(builds):
            break
        time.sleep(0.1)
    assert not children_of(builds)


PROXY = """#!{python}
import json, subprocess, sys
child = subprocess.Popen(["{real}", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True, bufsize=1)
if sys.argv[1:] != ["gate", "child"]:
    sys.exit(subprocess.call(["{real}", *sys.argv[1:]]))
for line in sys.stdin:
    child.stdin.write(line)
    answer = child.stdout.readline()
    if json.loads(line)["do"] == {do!r}:
        answer = {answer!r} + "\\n"
    sys.stdout.write(answer)
    sys.stdout.flush()
"""


@pytest.mark.parametrize("do, answer, code, says", [
    ("hello", "ready when you are", 2, "no answer of a gate's child"),
    ("hello", '{"ok": true, "protocol": 99}', 2, "protocol"),
    ("plan", '{"ok": true, "cells": "all"}', 2, "list of cells"),
    ("hello", '{"ok": true, "protocol": "old"}', 2, "protocol"),
    ("prepare", '{"ok": 7, "message": 7}', 1, "no reason given"),
    ("plan", '{"ok": true, "cells": [{"flags": [["seq"]]}]}', 2, "head"),
    ("time", '{"ok": true, "wall_s": -1}', 3, "no valid time"),
    ("time", '{"ok": true, "wall_s": 1e999}', 1, "no answer of a gate's child"),
    ("time", '{"ok": true, "wall_s": NaN}', 1, "no answer of a gate's child"),
    ("time", '{"ok": false}', 1, "no reason given"),
    ("prepare", '{"ok": true, "call_s": -3}', 1, "reported no time"),
])
def test_hostile_answers_have_a_defined_end(builds, do, answer, code, says):
    proxy = builds.folder / "proxy"
    proxy.write_text(PROXY.format(python=shutil.which("python3"), real=builds.folder / "head",
                                  do=do, answer=answer))
    proxy.chmod(proxy.stat().st_mode | stat.S_IXUSR)
    done, report = gate(builds, "--head", "proxy", code=code)
    told = done.stderr + done.stdout + json.dumps(report)
    assert says in told
    assert code != 2 or report is None


@pytest.mark.parametrize("flags, says", [
    (["--base", "nowhere"], "a git revision"),
    (["--base", "cells.toml"], "not executable"),
    (["--base", "plugin.so"], "shared libraries cannot be gated yet"),
    (["--margin", "nan"], "--margin"),
    (["--margin", "-3%"], "--margin"),
    (["--alpha", "50%"], "--alpha"),
    (["--budget", "0s"], "--budget"),
    (["--inject", "steady"], "--inject"),
    (["--inject", "nothing*=5%"], "matches no cell"),
    (["--inject", "steady *=-5%"], "--inject"),
    (["--seed", "-1"], "--seed"),
    (["--config", "missing.toml"], "missing.toml"),
    (["--config", "broken.toml"], "broken.toml:1"),
    (["--config", "other.toml"], "'unheard-of' is unknown"),
    (["--budget", "10ms"], "--budget"),
    (["--accept", "cells.toml"], "cells.toml"),
])
def test_hostile_flags_are_refused(builds, flags, says):
    (builds.folder / "plugin.so").write_text("")
    (builds.folder / "broken.toml").write_text("variants = [")
    (builds.folder / "other.toml").write_text('variants = "unheard-of"\nseq = 8\n')
    done, report = gate(builds, *flags, code=2)
    assert says in done.stderr, done.stderr
    assert report is None


def aa(builds, *flags, code=0, **environment):
    return builds("gate", "aa", "--base", "base", "--config", "cells.toml", "--seed", "1", "--out",
                  "aa", "--progress", "never", *flags, env=environment, code=code)


def test_aa_counts_false_alarms_and_goes_on(builds):
    aa(builds, "--runs", "1")
    path = builds.folder / "aa" / "gates.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"setup": "cut sh')  # What a kill leaves.
    done = aa(builds, "--runs", "2")
    lines = [json.loads(line) for line in path.read_text().splitlines()
             if line.startswith("{") and line.endswith("}")]
    assert [line["exit_code"] for line in lines] == [0, 0]
    assert "0 false alarms in 2 gates" in done.stdout
    report = json.loads((builds.folder / "aa" / "check.json").read_text())
    figures = report["figures"]
    assert figures["gates"] == 2 and figures["false_alarms"] == 0
    # 1 - 0.025^(1/2) or 1 - 0.05^(1/2): an exact bound of nothing in two.
    assert figures["false_alarm_bound"] == pytest.approx(1 - 0.05 ** 0.5, abs=1e-6)
    # Finished gates are counted, not run again.
    assert aa(builds, "--runs", "2").stdout == done.stdout
    (builds.folder / "cells.toml").write_text(CELLS.replace("seq = 8", "seq = 16"))
    assert "another build or configuration" in aa(builds, "--runs", "3", code=2).stderr


CMAKE = """#!/bin/sh
echo "$@" >> "{log}"
[ -e "{broken}" ] && echo no compiler && exit 1
if [ "$1" = --build ]; then mkdir -p "$2" && cp "{build}" "$2/attnbench"; fi
"""


def test_revisions_are_built_once_the_way_this_build_was(builds):
    folder = builds.folder
    repository, log, broken = folder / "repository", folder / "cmake.log", folder / "broken"
    (repository / "src" / "attention").mkdir(parents=True)
    (repository / "src" / "attention" / "variant.h").write_text("")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "cmake").write_text(CMAKE.format(log=log, broken=broken, build=folder / "base"))
    (tools / "cmake").chmod(0o755)

    def git(*words):
        subprocess.run(["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b",
                        *words], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    git("commit", "-q", "--allow-empty", "-m", "two")
    inside = Runner(builds.binary, repository)
    (repository / "cells.toml").write_text(CELLS)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(folder / "cache"),
                   "GIT_CONFIG_GLOBAL": os.devnull}

    def gate_revisions(code):
        return inside("gate", "ab", "--base", "main~1", "--head", "main", "--config", "cells.toml",
                      "--budget", "1ms", "--progress", "never", env=environment, code=code)

    broken.write_text("")
    failed = gate_revisions(2)
    assert "build.log" in failed.stderr
    built = next((folder / "cache" / "attnbench" / "builds").iterdir())
    assert "no compiler" in (built / "build.log").read_text()
    broken.unlink()
    log.write_text("")
    # A budget of nothing: both revisions are built and verified, and the gate stops before launches.
    assert "--budget" in gate_revisions(2).stderr
    steps = log.read_text().splitlines()
    assert [step.startswith("--build") for step in steps] == [False, True, False, True]
    for step in steps:
        if step.startswith("--build"):
            assert "--target attnbench" in step and "--parallel " in step
        else:
            assert "-DCMAKE_BUILD_TYPE=" in step and "-DCMAKE_CXX_COMPILER=" in step
    assert steps[0].split()[1] != steps[2].split()[1]  # A folder for each.
    # What was built is kept.
    log.write_text("")
    gate_revisions(2)
    assert log.read_text() == ""


def test_scripted_variants_are_not_in_the_program(run):
    names = {variant["name"] for variant in json.loads(run("list", "--json", code=0).stdout)}
    assert "flash" in names and not names & {"steady", "short", "wide"}
