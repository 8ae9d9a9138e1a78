"""End-to-end tests of compare on made-up runs, hostile ones among them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import xml.etree.ElementTree as ElementTree

import plot_run
import pytest
from conftest import REPOSITORY

LENGTHS = (256, 512, 1024, 2048, 4096)


def scaled(rows, factor, match=lambda cells: True):
    for cells in rows:
        if not match(cells) or cells["status"] != "ok":
            continue
        for name in ("time_median_s", "time_ci_low_s", "time_ci_high_s", "time_min_s"):
            cells[name] = float(cells[name]) * factor
    return rows


def narrow(rows):
    """Rows whose intervals are narrower than the spread between the runs."""
    for cells in rows:
        if cells["status"] == "ok":
            cells["time_ci_low_s"] = float(cells["time_median_s"]) * 0.999
            cells["time_ci_high_s"] = float(cells["time_median_s"]) * 1.001
    return rows


def manifest(name):
    facts = plot_run.manifest()
    facts["ceilings"] = {"isa": "avx512"}
    return {**facts, "run_id": name, "config": "", "seed": 1}


def one_run(folder, name, seed, change=lambda rows: rows, machine=None, spread=0.004, **axes):
    """A run that differs from the others by the usual spread."""
    noise = random.Random(seed)
    rows = narrow(plot_run.grid(LENGTHS, threads=(1,), run_id=name, **axes))
    common = noise.gauss(0, 0.002)
    for cells in rows:
        scaled([cells], 1 + common + noise.gauss(0, spread))
    facts = {**(machine or manifest(name)), "run_id": name}
    return plot_run.write_run(folder / name, change(rows), facts, samples=False)


@pytest.fixture
def stored(run):
    """A folder of five base runs."""
    for seed in range(5):
        one_run(run.folder / "base", f"run-{seed}", seed)
    return run.folder / "base"


def compare(run, stored, new, *flags, code):
    done = run("compare", stored, new, "--format", "json", *flags, code=code)
    return json.loads(done.stdout)


def rows_of(report, verdict, metric="time"):
    return [each for each in report["rows"]
            if each["verdict"] == verdict and each["metric"] == metric]


def is_flash_1024(cells):
    return cells["variant"] == "flash" and cells["seq_q"] == 1024


def test_the_same_code_passes(run, stored):
    new = one_run(run.folder, "new", 100)
    report = compare(run, stored, new, code=0)
    assert report["outcome"] == "PASS" and report["exit_code"] == 0
    assert len(report["rows"]) == len(LENGTHS) * len(plot_run.VARIANTS) + 1
    assert {each["verdict"] for each in report["rows"]} == {"pass"}
    for each in report["rows"]:
        assert each["ratio_low"] < each["ratio"] < each["ratio_high"]
        assert each["ratio"] < each["ratio_upper"] < 1.05
    text = run("compare", stored, new, code=0).stdout
    assert "31 pass: PASS" in text and "flash N=1024" in text


def test_a_slowdown_fails_and_only_it(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 1.10, is_flash_1024))
    report = compare(run, stored, new, code=1)
    slow = rows_of(report, "regression")
    assert [each["cell"].split(" B=")[0] for each in slow] == ["flash N=1024"]
    assert slow[0]["p_value"] < 0.01 and 1.05 < slow[0]["ratio"] < 1.15
    assert slow[0]["ratio_low"] > 1.03


def test_a_uniform_slowdown_is_not_normalised_away(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 1.06))
    report = compare(run, stored, new, code=1)
    assert rows_of(report, "regression", "mean time")


def test_speed_ups_pass(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 0.7))
    report = compare(run, stored, new, code=0)
    assert len(rows_of(report, "improved")) == 30


def test_a_small_slowdown_within_the_margin_does_not_fail(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 1.01, is_flash_1024))
    report = compare(run, stored, new, code=0)
    assert not rows_of(report, "regression")


def test_missing_failing_and_new_cells(run, stored):
    def change(rows):
        for cells in rows:
            if cells["variant"] == "local" and cells["seq_q"] == 512:
                cells.update(plot_run.row("local", 512, 1, status="failed",
                                          reason="error 1 above 1e-5", run_id="new"))
        rows.append(narrow([plot_run.row("flash", 300, 1, run_id="new")])[0])
        return [cells for cells in rows if not is_flash_1024(cells)]

    report = compare(run, stored, one_run(run.folder, "new", 100, change), code=1)
    assert [each["variant"] for each in rows_of(report, "missing")] == ["flash"]
    failed = rows_of(report, "failed")
    assert [each["variant"] for each in failed] == ["local"]
    assert "error 1 above 1e-5" in failed[0]["reason"]
    assert [each["problem"].split()[0] for each in rows_of(report, "new")] == ["N=300"]


def test_noisy_runs_are_inconclusive(run):
    for seed in range(3):
        one_run(run.folder / "base", f"run-{seed}", seed, spread=0.08)
    new = one_run(run.folder, "new", 100, spread=0.08)
    report = compare(run, run.folder / "base", new, code=3)
    assert rows_of(report, "inconclusive") and not rows_of(report, "regression")


def test_fewer_than_three_base_runs_are_not_judged(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 2))
    one, two = stored / "run-0", stored / "run-1"
    done = run("compare", one, new, "--base", two, code=3)
    assert "2 base runs: at least 3 are needed" in done.stdout
    assert "flash N=1024" not in done.stdout
    shown = compare(run, one, new, "--base", two, "--advisory", code=3)
    assert shown["outcome"] == "NOT JUDGED"
    assert 1.9 < rows_of(shown, "inconclusive")[0]["ratio"] < 2.1
    run("compare", one, new, "--base", two, "--base", stored / "run-2", code=1)


def test_other_machines_are_not_judged(run, stored):
    machine = manifest("new")
    machine["machine"]["cpu_model"] = "Intel Xeon"
    machine["ceilings"]["isa"] = "avx2"
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 2), machine, isa="avx2")
    text = run("compare", stored, new, code=3).stdout
    assert "cpu_model: AMD EPYC 7R13 Processor | Intel Xeon" in text and "avx512 | avx2" in text
    shown = compare(run, stored, new, "--advisory", code=3)
    assert len(rows_of(shown, "inconclusive")) == 30 and not rows_of(shown, "missing")
    base_too = one_run(run.folder / "base", "run-9", 9, machine=machine, isa="avx2")
    assert base_too.exists()
    assert "run-9" in run("compare", stored, stored / "run-0", code=3).stdout


def test_without_a_manifest_the_machine_is_not_known(run, stored):
    new = one_run(run.folder, "new", 100)
    (new / "manifest.json").unlink()
    assert "its machine is not known" in run("compare", stored, new, code=3).stdout


def test_rows_of_two_machines_in_one_file(run, stored):
    def mixed(rows):
        for cells in rows[::2]:
            cells["isa"] = "avx2"
        return rows

    new = one_run(run.folder, "new", 100, mixed)
    assert "rows of several machines?" in run("compare", stored, new, code=3).stdout

    def two_runs(rows):
        for cells in rows[::2]:
            cells["run_id"] = "elsewhere"
        return rows

    other = one_run(run.folder, "other", 100, two_runs)
    text = run("compare", stored, other, code=3).stdout
    assert "run elsewhere" in text and "its machine is not known" in text


def edited(run, stored, edit):
    """A new run whose summary.csv went through `edit`."""
    new = one_run(run.folder, "new", 100)
    path = new / "summary.csv"
    path.write_bytes(edit(path.read_bytes()))
    return new


def line_with(data, column, value, line=3):
    rows = data.split(b"\r\n")
    cells = rows[line - 1].split(b",")
    cells[plot_run.COLUMNS.index(column)] = value
    rows[line - 1] = b",".join(cells)
    return b"\r\n".join(rows)


HOSTILE = {
    "another schema": (lambda data: line_with(data, "schema_version", b"7", 2),
                       "schema_version is 7; this build reads schema 1"),
    "nan": (lambda data: line_with(data, "time_median_s", b"NaN"),
            "summary.csv:3: column time_median_s"),
    "infinite": (lambda data: line_with(data, "time_median_s", b"inf"),
                 "summary.csv:3: column time_median_s"),
    "negative": (lambda data: line_with(data, "time_median_s", b"-0.001"),
                 "summary.csv:3: column time_median_s"),
    "no number": (lambda data: line_with(data, "time_ci_low_s", b"1,5e-3"), "summary.csv:3"),
    "truncated": (lambda data: data[:-300], "summary.csv:31"),
    "torn quote": (lambda data: line_with(data, "reason", b'"torn'), "summary.csv:"),
    "a row twice": (lambda data: data + data.split(b"\r\n")[1] + b"\r\n", "has a row already"),
    "no header": (lambda data: data.split(b"\r\n", 1)[1], "summary.csv:1"),
    "empty": (lambda data: b"", "empty file"),
    "binary": (lambda data: bytes(range(256)) * 50, "summary.csv:1"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("command", ["compare", "fit", "recommend"])
def test_hostile_files_are_refused_with_a_place(run, stored, kind, command):
    edit, expected = HOSTILE[kind]
    if kind == "a row twice" and command != "compare":
        pytest.skip("fit and recommend merge rows of the same case")
    new = edited(run, stored, edit)
    arguments = {"compare": (stored, new), "fit": (new,), "recommend": (new, "--seq", 1024)}
    done = run(command, *arguments[command], code=2)
    assert done.stdout == "" and "attnbench: error: " in done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_without_rows_is_not_a_pass(run, stored):
    new = edited(run, stored, lambda data: data.split(b"\r\n", 1)[0] + b"\r\n")
    done = run("compare", stored, new, code=1)
    assert "has no rows" in done.stdout and "30 missing" in done.stdout
    empty = run.folder / "nothing"
    empty.mkdir()
    assert "no summary.csv" in run("compare", stored, empty, code=2).stderr
    assert run("compare", stored, run.folder / "nowhere", code=2).stderr


def test_wrong_flags(run, stored):
    new = one_run(run.folder, "new", 100)
    assert "accepted: console, markdown" in run(
        "compare", stored, new, "--format", "html", code=2).stderr
    assert "--margin" in run("compare", stored, new, "--margin", "3", code=2).stderr


# As many rows as no sweep has: seconds, and no table that nobody reads.
def test_a_million_rows(run, stored):
    template = plot_run.row("flash", 256, 1, run_id="new", case_id="0123456789abcdef")
    new = plot_run.write_run(run.folder / "new", [template], manifest("new"), samples=False)
    path = new / "summary.csv"
    header, line, _ = path.read_bytes().split(b"\r\n")
    cells = line.split(b",")
    place = plot_run.COLUMNS.index("seq_q")
    before = b",".join(cells[:place]) + b","
    after = b"," + b",".join(cells[place + 2:]) + b"\r\n"
    with path.open("wb") as stream:
        stream.write(header + b"\r\n")
        for start in range(100000, 1100000, 50000):
            stream.write(b"".join(b"%s%d,%d%s" % (before, n, n, after)
                                  for n in range(start, start + 50000)))
    begin = time.monotonic()
    done = run("compare", stored, new, code=1)
    elapsed_s = time.monotonic() - begin
    assert "1000000 new" in done.stdout and "rows (0 of them passing) are left out" in done.stdout
    assert len(done.stdout.splitlines()) < 300
    print(f"{elapsed_s:.1f} s")  # Seconds; how many is no test on a shared machine.


def test_formats_and_files(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 1.10, is_flash_1024))
    out = run.folder / "out"
    done = run("compare", stored, new, "--format", "console,github", "--out", out, code=1)
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert len(errors) == 1 and errors[0].startswith("::error title=regression%3A flash N=1024")
    assert json.loads((out / "check.json").read_text())["exit_code"] == 1
    markdown = (out / "check.md").read_text()
    assert markdown.startswith("## compare ") and "| regression | flash N=1024" in markdown
    suite = ElementTree.parse(out / "check.xml").getroot().find("testsuite")
    assert suite.get("tests") == "31" and suite.get("failures") == "1"
    failing = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert [case.get("name").split(" B=")[0] for case in failing] == ["flash N=1024"]


def test_a_comparison_that_does_not_end_leaves_no_report(run, stored):
    out = run.folder / "out"
    new = one_run(run.folder, "new", 100)
    run("compare", stored, new, "--out", out, code=0)
    assert {path.name for path in out.iterdir()} == {"check.json", "check.md", "check.xml"}
    # A read that blocks, in the middle of the rows.
    pipe = run.folder / "rows.csv"
    os.mkfifo(pipe)
    process = run.start("compare", stored, pipe, "--out", out)
    with pipe.open("wb") as stream:
        stream.write((new / "summary.csv").read_bytes()[:3000])
        stream.flush()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not list(out.iterdir())

    run("compare", stored, new, "--out", out, code=0)
    run("compare", stored, edited(run, stored, HOSTILE["nan"][0]), "--out", out, code=2)
    assert not list(out.iterdir())


def steeper(rows):
    """flash, growing with a larger exponent."""
    for cells in rows:
        if cells["variant"] == "flash":
            scaled([cells], (cells["seq_q"] / 256) ** 0.25)
    return rows


def test_complexity(run, stored):
    same = one_run(run.folder, "same", 100)
    report = compare(run, stored, same, "--complexity", code=0)
    metrics = {each["metric"] for each in report["rows"]}
    assert {"growth exponent", "workspace exponent", "crossover"} <= metrics
    flash = [each for each in report["rows"]
             if each["metric"] == "growth exponent" and each["variant"] == "flash"]
    assert 1.9 < flash[0]["base"] < 2.1 and flash[0]["verdict"] == "pass"

    new = one_run(run.folder, "new", 100, steeper)
    report = compare(run, stored, new, "--complexity", code=1)
    assert [each["variant"] for each in rows_of(report, "regression", "growth exponent")] == [
        "flash"]
    assert not rows_of(report, "regression", "workspace exponent")


def test_a_later_crossover_fails_when_the_series_itself_is_slower(run, stored):
    slower = one_run(run.folder, "slower", 100,
                     lambda rows: scaled(rows, 1.6, lambda c: c["variant"] == "performer"))
    report = compare(run, stored, slower, "--complexity", code=1)
    later = rows_of(report, "regression", "crossover")
    assert later and all(each["cell"].startswith("performer") for each in later)
    # The other one's speed-up moves the same crossover, and is nobody's fault.
    faster = one_run(run.folder, "faster", 100,
                     lambda rows: scaled(rows, 0.6, lambda c: c["variant"] != "performer"))
    report = compare(run, stored, faster, "--complexity", code=0)
    moved = [each for each in report["rows"] if "the other series became faster" in each["reason"]]
    assert moved and not rows_of(report, "regression", "crossover")


def test_more_memory_growth_fails(run, stored):
    def hungry(rows):
        for cells in rows:
            if cells["variant"] == "flash":
                cells["workspace_peak_bytes"] = cells["workspace_model_bytes"] = (
                    4 * cells["seq_q"] ** 2)
        return rows

    new = one_run(run.folder, "new", 100, hungry)
    run("compare", stored, new, code=0)
    report = compare(run, stored, new, "--complexity", code=1)
    assert [each["variant"] for each in rows_of(report, "regression", "workspace exponent")] == [
        "flash"]


def accepted(run, **entry):
    keys = {"cell": "flash N=1024 *", "limit": "15%", "reason": "a fix of a race",
            "expires": "2999-12-31", **entry}
    path = run.folder / "accepted.toml"
    path.write_text("[[accept]]\n" + "".join(f'{key} = "{value}"\n'
                                             for key, value in keys.items()))
    return path


def test_accepted_slowdowns(run, stored):
    new = one_run(run.folder, "new", 100, lambda rows: scaled(rows, 1.10, is_flash_1024))
    report = compare(run, stored, new, "--accept", accepted(run), code=0)
    row = rows_of(report, "accepted")[0]
    assert "a fix of a race, up to 15% until 2999-12-31" in row["reason"]
    assert not report["warnings"][1:]

    report = compare(run, stored, new, "--accept", accepted(run, limit="5%"), code=1)
    assert "beyond the accepted 5%" in rows_of(report, "regression")[0]["reason"]

    expired = compare(run, stored, new, "--accept", accepted(run, expires="2020-01-31"), code=1)
    assert any("expired on 2020-01-31" in text for text in expired["warnings"])

    other = compare(run, stored, new, "--accept", accepted(run, cell="flash N=77 *"), code=1)
    assert any("matches no cell" in text for text in other["warnings"])

    same = one_run(run.folder, "same", 101)
    unused = compare(run, stored, same, "--accept", accepted(run), code=0)
    assert any("is not needed any more" in text for text in unused["warnings"])


def test_a_wrong_file_of_accepted_slowdowns_names_its_place(run, stored):
    new = one_run(run.folder, "new", 100)
    path = accepted(run, limit="8")
    done = run("compare", stored, new, "--accept", path, code=2)
    assert f"{path}:3:9: limit: given \"8\"; accepted: " in done.stderr


def test_the_document_describes_what_the_report_holds(run, stored):
    new = one_run(run.folder, "new", 100)
    report = compare(run, stored, new, code=0)
    text = (REPOSITORY / "docs" / "ci.md").read_text(encoding="utf-8")
    for key in [*report, *report["rows"][0]]:
        assert f"`{key}`" in text, key
