"""Help pages, listings and the exit codes of wrong usage."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from conftest import REPOSITORY

COMMANDS = ["list", "describe", "run", "verify", "eval", "machine", "compare", "gate",
            "plot", "report"]
VARIANTS = {"full", "flash", "local", "sparse", "linformer", "performer"}


def test_help_names_every_command_and_exit_code(run):
    text = run("--help", code=0).stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text
    assert "Exit codes" in text and "130" in text
    assert run("help", code=0).stdout == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_usage_groups_and_three_examples(run, command):
    text = run(command, "--help", code=0).stdout
    assert text.startswith(f"Usage: attnbench {command}")
    examples = text.split("Examples:\n", 1)[1].split("\n\n")[0]
    assert sum("attnbench " in line for line in examples.splitlines()) >= 3
    assert max(map(len, text.splitlines())) <= 100
    assert run("help", command, code=0).stdout == text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_document_has_every_flag_and_no_other(run, command):
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {command}\n", 1)[1].split("\n## ", 1)[0]
    options = run(command, "--help", code=0).stdout.split("Examples:")[0]
    known = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", options, re.MULTILINE)) - {"--help"}
    written = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section))
    if command == "verify":  # Its problem flags are those of run.
        assert "(those of `run`)" in section
        known &= written
    assert written == known


def test_version(run):
    text = run("--version", code=0).stdout
    assert text.startswith("attnbench 0.")
    for library in ("oneDNN", "oneTBB", "Highway", "toml++"):
        assert library in text


def test_without_arguments_the_help_is_an_error(run):
    done = run(code=2)
    assert done.stdout == "" and "Commands:" in done.stderr


def test_list(run):
    text = run("list", code=0).stdout
    for variant in VARIANTS:
        assert any(line.startswith(variant) for line in text.splitlines())


def test_list_json_is_complete(run):
    variants = {each["name"]: each for each in json.loads(run("list", "--json", code=0).stdout)}
    assert VARIANTS <= variants.keys()
    for each in variants.values():
        for key in ("family", "exactness", "summary", "formula", "source", "time_law",
                    "workspace_law"):
            assert each[key], (each["name"], key)
        assert each["exactness"] in ("exact", "exact-under-mask", "approximate", "different")
    assert {param["name"] for param in variants["local"]["params"]} >= {"left", "right"}
    assert [aux["name"] for aux in variants["performer"]["aux"]] == ["omega"]


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_describe(run, variant):
    text = run("describe", variant, "--causal=on" if variant == "sparse" else "--causal=off",
               code=0).stdout
    for title in ("formula", "source", "exactness", "growth", "Cost of one call"):
        assert title in text
    facts = json.loads(run("describe", variant, "--json", code=0).stdout)
    assert facts["name"] == variant and facts["costs"]


def test_describe_gives_the_cost_at_a_shape(run):
    facts = json.loads(run("describe", "full", "--seq", "512,1k", "--heads", "2", "--dim", "32",
                           "--json", code=0).stdout)
    short, long = facts["costs"]
    assert (short["seq_q"], long["seq_q"]) == (512, 1024)
    assert short["useful_flops"] == 2 * 2 * 512 * 512 * 64
    assert long["useful_flops"] == 4 * short["useful_flops"]
    assert long["workspace_bytes"] >= 4 * 1024 * 1024
    one = json.loads(run("describe", "linformer", "--causal", "--json", code=0).stdout)
    assert "causal" in one["costs"][0]["unsupported"]


WRONG = {
    "unknown command": (("lits",), "did you mean 'attnbench list'"),
    "unrelated command": (("frobnicate",), "accepted are list, describe, run"),
    "flag before command": (("--json", "list"), "unknown flag --json before a command"),
    "unknown flag": (("list", "--jsn"), "did you mean --json"),
    "unknown flag of run": (("run", "--varaints", "flash"), "did you mean --variants"),
    "short flag": (("list", "-x"), "-x"),
    "extra word": (("list", "flash"), "flash"),
    "missing value": (("run", "--seq"), "--seq"),
    "flag twice": (("run", "--seq", "1", "--seq", "2"), "--seq"),
    "describe what": (("describe",), "VARIANT is required"),
    "describe unknown": (("describe", "perfomer"), "performer"),
    "describe many": (("describe", "all"), "not the name of one variant"),
    "describe bad shape": (("describe", "flash", "--seq", "0"), "--seq"),
    "run bad list": (("run", "--seq", "256:128:x2"), "--seq"),
    "run bad range": (("run", "--seq", "256:1024:x1"), "--seq"),
    "run bad variant": (("run", "--variants", "flsh"), "flash"),
    "run bad parameter": (("run", "--variants", "local", "--param", "local.lft=3"), "left"),
    "run parameter of unselected": (("run", "--variants", "flash", "--param", "local.left=3"),
                                    "local"),
    "run bad causal": (("run", "--causal", "maybe"), "maybe"),
    "run bad budget": (("run", "--budget", "soon"), "--budget"),
    "run bad isa": (("run", "--isa", "mmx"), "avx512"),
    "run bad input": (("run", "--input", "uniform"), "gaussian"),
    "run bad progress": (("run", "--progress", "loud"), "auto, always, never"),
    "run bad mode": (("run", "--mode", "selfish"), "self"),
    "run absent file": (("run", "no.toml"), "no.toml"),
    "run resume without out": (("run", "--resume"), "--out"),
    "run resume and overwrite": (("run", "--resume", "--overwrite", "--out", "x"), "exclude"),
    "run nothing runnable": (("run", "--variants", "linformer", "--causal", "--seq", "64"),
                             "nothing runnable"),
    "verify bad variant": (("verify", "--variants", "nope"), "nope"),
    "verify bad list": (("verify", "--seq", "x"), "--seq"),
    "machine bad time": (("machine", "--time", "long"), "--time"),
    "machine bad threads": (("machine", "--threads", "0"), "--threads"),
    "plot nothing": (("plot",), "DIR is required"),
    "plot absent": (("plot", "nowhere"), "nowhere"),
    "report nothing": (("report",), "DIR is required"),
    "report absent": (("report", "nowhere"), "nowhere: holds no summary.csv"),
}


@pytest.mark.parametrize("arguments,message", WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_exits_2_and_says_what_is_accepted(run, arguments, message):
    done = run(*arguments, code=2)
    assert message in done.stderr, done.stderr
    assert done.stdout == ""


def test_a_bare_causal_takes_no_argument_after_it(run):
    (run.folder / "on.toml").write_text('variants = "flash"\nseq = 64\nheads = 1\n')
    text = run("run", "--causal", "on.toml", "--dry-run", code=0).stdout
    assert "causal" in text
    done = run("run", "--causal", "off.toml", "--dry-run", code=2)
    assert "off.toml" in done.stderr


def test_a_repeatable_flag_takes_one_argument_each_time(run):
    (run.folder / "x.toml").write_text('seq = 64\nheads = 1\n')
    text = run("run", "--variants", "local", "--param", "left=4", "--param", "right=2", "x.toml",
               "--dry-run", code=0).stdout
    assert "left=4;right=2" in text


def test_configuration_errors_name_file_line_and_column(run):
    (run.folder / "bad.toml").write_text('title = "x"\nsequence = 64\n')
    done = run("run", "bad.toml", code=2)
    assert "bad.toml:2:1: sequence" in done.stderr


def test_a_full_standard_output_is_an_error(run):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([str(run.binary), "list"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False)
    assert done.returncode == 2 and "standard output" in done.stderr


def test_shapes_of_published_models(run):
    table = run("list", "--shapes", code=0).stdout
    assert "llama-3-8b" in table and "whisper-small-cross" in table
    shapes = {shape["name"]: shape for shape in json.loads(run("list", "--shapes", "--json",
                                                               code=0).stdout)}
    assert (shapes["llama-3-8b"]["heads"], shapes["llama-3-8b"]["kv_heads"]) == (32, 8)
    assert shapes["gemma-2-9b"]["softcap"] == 50 and "arXiv" in shapes["gemma-2-9b"]["source"]
    text = run("run", "--shape", "vit-b16", "--variants", "flash", "--heads", "2", "--dry-run",
               code=0).stdout
    assert re.search(r"\b197\b", text) and "heads=2 kv-heads=2" in text, text
    described = json.loads(run("describe", "flash", "--shape", "falcon-7b", "--seq", "1k", "--json",
                               code=0).stdout)
    assert described["costs"][0]["heads_q"] == 71 and described["costs"][0]["heads_kv"] == 1
    assert 'did you mean "vit-b16"?' in run("run", "--shape", "vit-b61", code=2).stderr
