"""attnbench run, resume, interrupt, verify, machine and plot, end to end on tiny problems."""

from __future__ import annotations

import csv
import json
import shlex
import signal
import time

TINY = ("--heads", "1", "--seq", "32,64", "--threads", "1", "--budget", "30s", "--target-ci", "20%",
        "--max-samples", "8")


def rows(folder):
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def samples(folder):
    with open(folder / "samples.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_run_leaves_rows_samples_and_a_manifest(run):
    done = run("run", "--variants", "full,flash,linformer", *TINY, "--causal", "off,on",
               "--out", "out", "--seed", "5", code=0)
    table = rows(run.folder / "out")
    assert len(table) == 3 * 2 * 2
    by_status = {status: [row for row in table if row["status"] == status]
                 for status in ("ok", "skipped")}
    assert len(by_status["ok"]) == 10 and len(by_status["skipped"]) == 2
    for row in by_status["skipped"]:
        assert row["variant"] == "linformer" and row["causal"] == "true"
        assert "causal" in row["reason"] and row["time_median_s"] == ""
    for row in by_status["ok"]:
        assert float(row["time_ci_low_s"]) <= float(row["time_median_s"]) <= float(
            row["time_ci_high_s"])
        assert float(row["definition_rel_l2"]) <= 1e-5
        assert row["workspace_model_bytes"] == row["workspace_peak_bytes"]
        assert row["seed"] == "5"
    ids = {row["case_id"] for row in table}
    assert len(ids) == len(table)
    timed = {sample["case_id"] for sample in samples(run.folder / "out")}
    assert timed == {row["case_id"] for row in by_status["ok"]}
    facts = manifest(run.folder / "out")
    assert facts["complete"] is True and facts["seed"] == 5
    assert "attnbench run" in facts["command"] or "run --variants" in facts["command"]
    assert facts["tool"]["version"] and facts["libraries"]["oneDNN"]
    assert facts["ceilings"]["fma_gflops"] and facts["finished_at"]
    assert "flash" in done.stdout and "skipped" in done.stdout
    assert "timing kernels" in done.stdout


def test_repro_reruns_the_row(run):
    run("run", "--variants", "local", "--param", "left=4,8", *TINY, "--out", "out", code=0)
    row = rows(run.folder / "out")[0]
    words = shlex.split(row["repro"])
    assert words[:2] == ["attnbench", "run"]
    run(*words[1:], "--budget", "30s", "--out", "again", code=0)
    again = rows(run.folder / "again")
    assert [each["case_id"] for each in again] == [row["case_id"]]


def test_an_existing_run_is_neither_lost_nor_mixed(run):
    run("run", "--variants", "flash", *TINY, "--out", "out", code=0)
    before = (run.folder / "out" / "summary.csv").read_bytes()
    done = run("run", "--variants", "flash", *TINY, "--out", "out", code=2)
    assert "--overwrite" in done.stderr
    run("run", "--variants", "full", *TINY, "--out", "out", "--resume", code=2)
    assert (run.folder / "out" / "summary.csv").read_bytes() == before
    run("run", "--variants", "flash", *TINY, "--out", "out", "--resume", code=0)
    assert (run.folder / "out" / "summary.csv").read_bytes() == before
    run("run", "--variants", "full", *TINY, "--out", "out", "--overwrite", code=0)
    assert {row["variant"] for row in rows(run.folder / "out")} == {"full"}


LONG = ("run", "--variants", "full,flash", "--heads", "2", "--seq", "64:2048:x2", "--threads", "1",
        "--budget", "15s", "--target-ci", "0.01%", "--out", "out")


def interrupt_after_first_rows(run, *flags):
    process = run.start(*LONG, *flags)
    deadline = time.monotonic() + 120
    summary = run.folder / "out" / "summary.csv"
    while time.monotonic() < deadline and process.poll() is None:
        if summary.exists() and len(rows(run.folder / "out")) >= 2:
            break
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_interrupt_keeps_what_was_measured_and_resume_finishes(run):
    code, out, err = interrupt_after_first_rows(run)
    assert code == 130, (code, out, err)
    kept = rows(run.folder / "out")
    finished = [row for row in kept if row["status"] == "ok"]
    assert len(finished) >= 2
    assert manifest(run.folder / "out")["complete"] is False
    assert "--resume" in out
    known = {row["case_id"] for row in kept}
    assert {sample["case_id"] for sample in samples(run.folder / "out")} <= known

    process = run.start(*LONG, "--resume")
    time.sleep(0.2)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    table = rows(run.folder / "out")
    assert len(table) == 2 * 6 and len({row["case_id"] for row in table}) == 12
    for row in finished:
        assert row in table
    assert manifest(run.folder / "out")["complete"] is True


def test_dry_run_prints_the_plan_and_writes_nothing(run):
    done = run("run", "--variants", "flash,linformer", *TINY, "--causal", "off,on", "--dry-run",
               code=0)
    assert "flash" in done.stdout and "causal" in done.stdout
    assert list(run.folder.iterdir()) == []


def test_quiet_prints_nothing_and_progress_can_be_forced(run):
    done = run("run", "--variants", "flash", *TINY, "--out", "a", "--quiet", code=0)
    assert done.stdout == ""
    assert all(line.startswith("attnbench: warning: ") for line in done.stderr.splitlines())
    done = run("run", "--variants", "flash", *TINY, "--out", "b", "--progress", "always", code=0)
    assert "\x1b[K" in done.stderr and "[0/2]" in done.stderr
    done = run("run", "--variants", "flash", *TINY, "--out", "c", "--progress", "auto", code=0)
    assert "\x1b[K" not in done.stderr and "/2]" in done.stderr


def test_formats(run):
    run("run", "--variants", "flash", *TINY, "--out", "out", "--format", "json,markdown", code=0)
    records = json.loads((run.folder / "out" / "summary.json").read_text())
    assert [record["case_id"] for record in records] == [
        row["case_id"] for row in rows(run.folder / "out")]
    assert "| variant" in (run.folder / "out" / "summary.md").read_text()


def test_the_default_folder_is_named_by_time_and_title(run):
    (run.folder / "tiny sweep.toml").write_text('variants = "flash"\nheads = 1\nseq = 32\n'
                                                'threads = 1\nbudget = "10m"\nmax-samples = 3\n')
    run("run", "tiny sweep.toml", code=0)
    (folder,) = (run.folder / "results").iterdir()
    assert folder.name.endswith("-tiny_sweep") and (folder / "summary.csv").is_file()


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(run):
    begun = [run.start("run", "--variants", "flash", *TINY) for _ in range(3)]
    for process in begun:
        stderr = process.communicate(timeout=120)[1]
        assert process.returncode == 0, stderr
    folders = list((run.folder / "results").iterdir())
    assert len(folders) == 3 and all((folder / "summary.csv").is_file() for folder in folders)


def test_memory_limit_skips_with_both_figures(run):
    run("run", "--variants", "full,flash", "--heads", "1", "--seq", "64,2048", "--threads", "1",
        "--budget", "60s", "--target-ci", "90%", "--memory-limit", "8MiB", "--out", "out", code=0)
    skipped = [row for row in rows(run.folder / "out") if row["status"] == "skipped"]
    assert [(row["variant"], row["seq_q"]) for row in skipped] == [("full", "2048")]
    assert skipped[0]["reason"].count("MiB") == 2


def test_verify_passes_and_shows_every_variant(run):
    done = run("verify", "--seq", "33", "--heads", "2", "--kv-heads", "1", "--dim", "16",
               "--causal", "off,on", code=0)
    for variant in ("full", "flash", "local", "sparse", "linformer", "performer"):
        assert variant in done.stdout
    assert "definition_rel_l2" in done.stdout and "FAILED" not in done.stdout


def test_verify_over_its_own_grid(run):
    done = run("verify", "--variants", "flash,local", "--verbose", code=0)
    assert "worst row" in done.stdout and "Nq=1 " in done.stdout


def test_machine_json(run):
    facts = json.loads(run("machine", "--json", "--threads", "1", "--time", "300ms",
                           code=0).stdout)
    assert facts["ceilings"]["isa"] in ("avx2", "avx512") or facts["ceilings"]["isa"]
    assert facts["machine"]["cores"] >= 1 and facts["fingerprint"]
    assert facts["noise"]["aa_spread"] >= 0


def test_machine_table(run):
    text = run("machine", "--threads", "1", "--time", "300ms", code=0).stdout
    for word in ("FMA GFLOP/s", "read GB/s", "memory", "A/A"):
        assert word in text


def test_plot(run):
    run("run", "--variants", "full,flash", *TINY, "--out", "out", code=0)
    run("plot", "out", "--out", "figures", code=0)
    names = {path.name for path in (run.folder / "figures").iterdir()}
    assert {"time.png", "time.svg"} <= names


def test_plot_takes_the_interpreter_that_is_named(run):
    (run.folder / "out").mkdir()
    (run.folder / "out" / "summary.csv").write_text("")
    done = run("plot", "out", env={"ATTNBENCH_PYTHON": "/bin/false"}, code=2)
    assert "ATTNBENCH_PYTHON" in done.stderr


def test_a_configuration_that_comes_with_the_tool_is_found_by_name(run):
    for name in ("quickstart", "quickstart.toml", "configs/quickstart.toml"):
        text = run("run", name, "--dry-run", code=0).stdout
        assert "performer" in text and "4096" in text
    (run.folder / "quickstart.toml").write_text('variants = "flash"\nseq = 32\n')
    assert "performer" not in run("run", "quickstart.toml", "--dry-run", code=0).stdout
