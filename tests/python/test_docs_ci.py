"""The jobs that docs/ci.md offers for pasting: valid YAML, and only flags that exist."""

from __future__ import annotations

import re

import pytest
from conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_the_gate_workflow_of_the_repository_is_the_documented_one():
    workflow = (REPOSITORY / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
    without_comment = "".join(line for line in workflow.splitlines(True)
                              if not line.startswith("#"))
    assert without_comment in BLOCKS


def test_jobs_are_valid_yaml():
    yaml = pytest.importorskip("yaml")
    assert len(BLOCKS) >= 3
    github = gitlab = 0
    for block in BLOCKS:
        jobs = yaml.safe_load(block)
        if isinstance(jobs, list):  # Steps to add to a job.
            assert all("uses" in step or "run" in step for step in jobs)
        elif "jobs" in jobs:
            github += 1
            # YAML 1.1 reads the key "on" as true.
            assert jobs.get("on", jobs.get(True)) and jobs["name"]
            for job in jobs["jobs"].values():
                assert job["runs-on"] and job["timeout-minutes"]
                assert all("uses" in step or "run" in step for step in job["steps"])
        else:
            gitlab += 1
            assert jobs.pop("stages")
            for job in jobs.values():
                assert job["stage"] and job["script"] and job["image"]
    assert github >= 2 and gitlab >= 1


def test_commands_use_only_flags_that_exist(run):
    commands = re.findall(r"build/release/attnbench ((?:.*\\\n)*.*)", "\n".join(BLOCKS))
    assert len(commands) >= 4
    for command in commands:
        words = re.split(r"\s+", command.split("||")[0].replace("\\\n", " "))
        known = run(words[0], "--help", code=0).stdout
        for flag in (word for word in words if word.startswith("--")):
            assert re.search(rf"(^|[\s,]){re.escape(flag)}([\s,=]|$)", known), (words[0], flag)
    presets = (REPOSITORY / "CMakePresets.json").read_text(encoding="utf-8")
    for preset in re.findall(r"--preset (\S+)", "\n".join(BLOCKS)):
        assert f'"name": "{preset}"' in presets
