"""End-to-end tests of fit and recommend on made-up runs."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess

import plot_run
import pytest
from conftest import REPOSITORY

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
PROBLEM = "B=1 H=4 D=64 avx512"


def rows(**changes):
    """Runs of all variants; linear ones with laws of their own."""
    laws = {"full": ("N^2", "N^2"), "flash": ("N^2", "1"), "local": ("N", "1"),
            "sparse": ("N^1.5", "N"), "linformer": ("N", "N"), "performer": ("N", "N")}
    all_rows = plot_run.grid(LENGTHS, **changes)
    for cells in all_rows:
        cells["time_law"], cells["workspace_law"] = laws[cells["variant"]]
    return all_rows


@pytest.fixture
def stored(run):
    return plot_run.write_run(run.folder / "stored", rows())


def fit(run, path, *flags):
    return json.loads(run("fit", path, "--json", *flags, code=0).stdout)


def series_of(report, variant, threads=1):
    found = [each for each in report["series"]
             if each["variant"] == variant and each["threads"] == threads]
    assert len(found) == 1
    return found[0]


def test_the_table_names_every_variant_and_the_files(run, stored):
    text = run("fit", stored, code=0).stdout
    for variant in plot_run.VARIANTS:
        assert f"\n  {variant} " in text
    for title in (PROBLEM, "Growth in N", "Crossovers", "Threads", "Error against time"):
        assert title in text
    assert json.loads((stored / "fit.json").read_text())["series"]
    with (stored / "fit.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 2 * 2 * len(plot_run.VARIANTS)
    assert {each["quantity"] for each in table} == {"time", "workspace"}


def test_json_is_one_object_and_the_same_as_the_file(run, stored):
    report = fit(run, stored)
    assert sorted(report) == ["crossovers", "pareto", "scaling", "series"]
    assert json.loads((stored / "fit.json").read_text()) == report
    full = series_of(report, "full")
    assert full["problem"] == PROBLEM and full["params"] == ""
    for quantity in ("time", "workspace"):
        assert {"exponent", "ci_low", "ci_high", "law", "law_weight", "declared",
                "verdict"} <= full[quantity].keys()
        assert full[quantity]["ci_low"] <= full[quantity]["exponent"] <= full[quantity]["ci_high"]
        assert (full[quantity]["law"], full[quantity]["verdict"]) == ("N^2", "agrees")
    assert abs(full["time"]["exponent"] - 2) < 0.1
    assert series_of(report, "local")["workspace"]["law"] == "1"
    crossing = next(each for each in report["crossovers"]
                    if {each["a"], each["b"]} == {"flash", "performer"} and each["threads"] == 1)
    assert crossing["verdict"] == "crossover" and crossing["b"] == "performer"
    assert 256 < crossing["ci_low"] < crossing["seq"] < crossing["ci_high"] < 2048
    none = next(each for each in report["crossovers"]
                if {each["a"], each["b"]} == {"linformer", "performer"})
    assert none["verdict"] == "none in range" and none["seq"] is None
    assert none["ratio_at_min"] > 1 and none["ratio_at_max"] > 1
    scaling = next(each for each in report["scaling"]
                   if each["variant"] == "flash" and each["seq"] == 4096)
    assert 1.6 < scaling["speedup"] < 2.1 and scaling["best_threads"] == 2
    assert (scaling["serial_fraction_ci_low"] <= scaling["serial_fraction"]
            <= scaling["serial_fraction_ci_high"])
    group = next(each for each in report["pareto"]
                 if each["seq"] == 16384 and each["threads"] == 1)
    front = {each["variant"] for each in group["points"] if each["on_dense_front"]}
    assert {"linformer", "performer", "flash"} <= front and "full" not in front


def test_a_csv_alone_of_unknown_variants(run):
    changed = rows()
    for cells in changed:
        cells["variant"] = "their-" + cells["variant"]
    folder = plot_run.write_run(run.folder / "theirs", changed, samples=False)
    (folder / "summary.csv").rename(run.folder / "other.csv")
    report = fit(run, run.folder / "other.csv", "--out", run.folder / "deep" / "analysed")
    assert series_of(report, "their-full")["time"]["law"] == "N^2"
    assert (run.folder / "deep" / "analysed" / "fit.json").is_file()
    assert not (run.folder / "fit.json").exists()


def test_few_lengths_are_undetermined_and_good(run):
    folder = plot_run.write_run(run.folder / "few", plot_run.grid((256, 512, 1024, 8192)))
    for each in fit(run, folder)["series"]:
        assert each["time"]["law"] == "undetermined" and each["time"]["verdict"] == "undetermined"
        assert each["time"]["exponent"] is not None


def test_a_law_that_is_not_followed(run):
    changed = rows()
    for cells in changed:
        cells["time_law"] = {"full": "N", "linformer": "N^2"}.get(cells["variant"], "strange")
    report = fit(run, plot_run.write_run(run.folder / "wrong", changed))
    assert series_of(report, "full")["time"]["verdict"] == "slower"
    assert series_of(report, "linformer")["time"]["verdict"] == "faster"
    strange = series_of(report, "flash")["time"]
    assert strange["verdict"] == "undetermined" and strange["declared"] == "strange"


def test_skipped_rows_and_nothing_at_all(run):
    changed = rows()
    for cells in changed:
        if cells["variant"] == "full" and cells["seq_q"] == 16384:
            cells.update(plot_run.row("full", 16384, cells["threads"], status="skipped",
                                      reason="needs 17 GiB"))
    report = fit(run, plot_run.write_run(run.folder / "skipped", changed))
    assert series_of(report, "full")["not_measured"][0]["reason"] == "needs 17 GiB"
    empty = plot_run.write_run(run.folder / "empty", [], samples=False)
    assert fit(run, empty)["series"] == []


def test_what_lies_beside_may_be_broken(run, stored):
    (stored / "manifest.json").write_text("{")
    (stored / "samples.csv").write_text("case_id\r\n")
    done = run("fit", stored, code=0)
    assert done.stderr.count("warning") == 2 and "manifest.json" in done.stderr


def test_unusable_input_exits_2(run):
    assert "nowhere" in run("fit", "nowhere", code=2).stderr
    (run.folder / "bad.csv").write_text("a,b\r\n1,2\r\n")
    assert "bad.csv" in run("fit", "bad.csv", code=2).stderr
    assert "RUN is required" in run("fit", code=2).stderr
    plot_run.write_run(run.folder / "good", rows())
    (run.folder / "file").write_text("")
    done = run("fit", "good", "--out", "file/deeper", code=2)
    assert "file/deeper" in done.stderr


def recommend(run, path, *flags, code=0):
    return run("recommend", path, *flags, code=code)


def test_recommend_names_the_fastest_and_its_margin(run, stored):
    flags = ("--seq", "1k", "--dim", 64, "--heads", 4, "--threads", 1)
    answer = json.loads(recommend(run, stored, *flags, "--json").stdout)
    assert answer["variant"] == "linformer" and answer["margin"] > 1.2
    assert answer["margin_ci_low"] < answer["margin"] < answer["margin_ci_high"]
    assert [each["variant"] for each in answer["candidates"]][0] == "linformer"
    text = recommend(run, stored, *flags).stdout
    assert "linformer" in text and "fastest exact one: flash" in text
    limited = json.loads(recommend(run, stored, *flags, "--max-error", "1e-3",
                                   "--variants", "full,flash,performer", "--json").stdout)
    assert limited["variant"] == "flash"
    assert any("error" in each["reason"] for each in limited["rejected"])
    small = json.loads(recommend(run, stored, *flags, "--variants", "full,flash,performer",
                                 "--max-memory", "100kB", "--json").stdout)
    assert small["variant"] == "flash"


def test_recommend_interpolates_but_does_not_extrapolate(run, stored):
    between = json.loads(recommend(run, stored, "--seq", 3000, "--heads", 4, "--json").stdout)
    linformer = between["candidates"][0]
    assert linformer["basis"] == "interpolated"
    assert abs(linformer["time_s"] / (2e-5 + 0.6e-3 * 3000 / 256) - 1) < 0.05
    beyond = ("--seq", "32k", "--heads", 4)
    refused = recommend(run, stored, *beyond, code=3)
    assert "measured from 256 to 16384" in refused.stderr and PROBLEM in refused.stderr
    assert refused.stdout == ""
    asked = json.loads(recommend(run, stored, *beyond, "--extrapolate", "--json").stdout)
    assert asked["candidates"][0]["basis"] == "extrapolated"


@pytest.mark.parametrize("flags,message", [
    (("--seq", "1k", "--dim", 32), "--dim 32 was not measured; measured: 64"),
    (("--seq", "1k", "--threads", 8), "--threads 8 was not measured; measured: 1, 2"),
    (("--seq", "1k", "--causal"), "--causal true was not measured"),
    (("--seq", "1k", "--max-error", "1e-12"), "no variant comes into question"),
])
def test_recommend_exits_3_with_what_was_measured(run, stored, flags, message):
    done = recommend(run, stored, *flags, code=3)
    assert message in done.stderr and "N from 256 to 16384" in done.stderr


@pytest.mark.parametrize("flags,message", [
    ((), "--seq N or --table FILE"),
    (("--seq", "many"), "--seq"),
    (("--seq", "1k", "--max-error", "-1"), "--max-error"),
    (("--seq", "1k", "--max-memory", "big"), "--max-memory"),
    (("--table", "choice.txt"), ".h or .json"),
    (("--table", "no/such/folder/choice.h"), "choice.h"),
])
def test_recommend_usage(run, stored, flags, message):
    assert message in recommend(run, stored, *flags, code=2).stderr


def test_recommend_asks_which_when_the_run_has_several(run):
    folder = plot_run.write_run(
        run.folder / "two", rows(input="sink") + rows(input="peaked"), samples=False)
    assert "several values of input: peaked, sink" in recommend(run, folder, "--seq", "1k",
                                                                code=2).stderr
    recommend(run, folder, "--seq", "1k", "--input", "sink")


def test_dispatch_table_as_json(run, stored):
    recommend(run, stored, "--table", "choice.json", "--max-error", "1e-3",
              "--variants", "full,flash,sparse")
    table = json.loads((run.folder / "choice.json").read_text())
    assert len(table["entries"]) == 2 * len(LENGTHS)
    for threads in (1, 2):
        mine = [each for each in table["entries"] if each["threads"] == threads]
        assert [each["seq"] for each in mine] == list(LENGTHS)
        for low, high in zip(mine, mine[1:]):
            assert low["seq_to"] + 1 == high["seq_from"]
        assert mine[-1]["variant"] == "sparse"


LOOKUP = """
#include <stdio.h>
#include "choice.h"
int main(void) {
  long long seqs[] = {255, 256, 300, 3000, 16384, 16385};
  int i;
  for (i = 0; i < 6; ++i) {
    attnbench_problem problem = {1, 4, 4, 64, 64, 0, 2, 0};
    const attnbench_choice* choice;
    problem.seq = seqs[i];
    choice = attnbench_lookup(&problem);
    printf("%s\\n", choice == NULL ? "nothing" : choice->variant);
  }
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_the_c_header_compiles_and_answers(run, stored, standard):
    recommend(run, stored, "--table", "choice.h", "--max-error", "1e-3",
              "--variants", "full,flash,sparse")
    (run.folder / "main.c").write_text(LOOKUP)
    subprocess.run(["cc", f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                    "main.c", "-o", "lookup"], cwd=run.folder, check=True)
    answers = subprocess.run([run.folder / "lookup"], capture_output=True, text=True,
                             check=True).stdout.split()
    assert answers[0] == answers[-1] == "nothing"
    assert answers[1] in ("full", "flash", "sparse")
    assert answers[3] == answers[4] == "sparse"


@pytest.mark.parametrize("command", ["fit", "recommend"])
def test_help(run, command):
    text = run(command, "--help", code=0).stdout
    assert text.startswith(f"Usage: attnbench {command}")
    assert text.split("Examples:\n", 1)[1].count("attnbench ") >= 3
    assert max(map(len, text.splitlines())) <= 100


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_the_documentation_names_every_key(run, stored):
    text = (REPOSITORY / "docs" / "analysis.md").read_text(encoding="utf-8")
    report = fit(run, stored)
    keys = keys_of([{**each, "axes": None} for each in report["series"]])
    keys |= keys_of([report["crossovers"], report["scaling"][0], report["pareto"]])
    keys -= {"time_s"}
    assert len(keys) > 60
    with (stored / "fit.csv").open(newline="") as stream:
        keys |= set(next(csv.reader(stream)))
    assert sorted(key for key in keys if f"`{key}`" not in text) == []
