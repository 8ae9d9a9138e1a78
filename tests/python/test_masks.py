"""Key lengths and masks from files: run, verify and eval, end to end."""

from __future__ import annotations

import csv
import shlex

import numpy as np

SMALL = ("--heads", "2", "--dim", "16", "--threads", "1", "--budget", "10m", "--max-samples", "6",
         "--target-ci", "30%")


def rows(folder):
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def without_times(row):
    """What a rerun has to reproduce of a row."""
    return {key: row[key] for key in (
        "case_id", "status", "mask", "useful_flops", "performed_flops", "exp_count",
        "definition_rel_l2", "error_rel_l2", "error_mean_v")}


def test_key_lengths_are_an_axis_of_a_sweep(run):
    (run.folder / "data").mkdir()
    np.save(run.folder / "data" / "lengths.npy", np.array([48, 17, 0], np.int32))
    run("run", "--variants", "flash,performer,linformer", "--param", "linformer.rank=16",
        "--seq", "48,64", "--batch", "3", *SMALL, "--key-lengths", "none,data/lengths.npy",
        "--causal", "off,on", "--out", "out", code=0)
    table = rows(run.folder / "out")
    assert len(table) == 3 * 2 * 2 * 2
    masks = {row["mask"] for row in table}
    assert len(masks) == 2 and "none" in masks
    name = (masks - {"none"}).pop()
    assert name.startswith("lengths.npy@") and "/" not in name
    assert len({row["case_id"] for row in table}) == len(table)
    for row in table:
        if row["variant"] != "flash" or row["seq_q"] != "48":
            continue
        length = np.array([48, 17, 0]) if row["mask"] == name else np.array([48] * 3)
        allowed = np.minimum(np.arange(48)[:, None] + 1, length) if row["causal"] == "true" \
            else np.broadcast_to(length, (48, 3))
        assert float(row["useful_flops"]) == 2 * allowed.sum() * 2 * (16 + 16)
        assert row["status"] == "ok"
    chosen = next(row for row in table if row["mask"] == name and row["variant"] == "performer"
                  and row["causal"] == "true")
    assert "--key-lengths data/lengths.npy" in chosen["repro"]
    run(*shlex.split(chosen["repro"])[1:], "--budget", "30s", "--out", "again", code=0)
    again = rows(run.folder / "again")
    assert len(again) == 1 and without_times(again[0]) == without_times(chosen)


def test_key_lengths_that_do_not_fit_are_skips_with_the_reason(run):
    np.save(run.folder / "two.npy", np.array([30, 40]))
    run("run", "--variants", "flash", "--seq", "32,64", "--batch", "1,2", *SMALL,
        "--key-lengths", "two.npy", "--out", "out", code=0)
    table = {(row["batch"], row["seq_q"]): row for row in rows(run.folder / "out")}
    assert table["2", "64"]["status"] == "ok"
    assert "key length 40 is outside [0, 32]" in table["2", "32"]["reason"]
    assert "key-lengths has 2 entries, batch is 1" in table["1", "64"]["reason"]


def test_key_lengths_from_a_configuration_file(run):
    np.save(run.folder / "with,comma.npy", np.array([5, 9]))
    (run.folder / "c.toml").write_text(
        'variants = "full"\nseq = 12\nbatch = 2\nkey_lengths = ["with,comma.npy"]\n')
    done = run("verify", "--variants", "full", "--seq", "12", "--batch", "2", "--heads", "2",
               code=0)
    assert "key-lengths" not in done.stdout
    done = run("run", "c.toml", "--dry-run", code=0)
    assert "with,comma.npy@" in done.stdout
    np.save(run.folder / "float.npy", np.array([5.0]))
    for text, expected in (
            ('key-lengths = "no.npy"', "c.toml:1:15: key-lengths: no.npy: cannot be read"),
            ('key-lengths = "float.npy"', "float.npy: holds [1] '<f8'; accepted are key lengths"),
            ('key-lengths = 3', "given 3 (an integer); accepted: .npy files and none"),
            ('key-lengths = "a,,b"', 'given "a,,b"')):
        (run.folder / "c.toml").write_text(text + "\n")
        assert expected in run("run", "c.toml", "--dry-run", code=2).stderr


def test_verify_takes_key_lengths(run):
    np.save(run.folder / "lengths.npy", np.array([40, 1, 0]))
    done = run("verify", "--seq", "40", "--batch", "3", "--heads", "2", "--dim", "8", "--causal",
               "off,on", "--key-lengths", "lengths.npy", "--param", "linformer.rank=8", code=0)
    assert "flash" in done.stdout and "key-lengths" in done.stdout and "0 failed" in done.stdout
