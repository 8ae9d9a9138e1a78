"""--input file:PATH: recorded Q, K and V as inputs of a sweep, and .safetensors in eval."""

from __future__ import annotations

import csv
import json
import shlex
import struct

import numpy as np
import pytest

QUICK = ("--threads", "1", "--budget", "10m", "--max-samples", "3")
DTYPES = {"float32": "F32", "float16": "F16", "float64": "F64"}


def rows(folder):
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tensors(seq=48, heads=4, kv_heads=2, dim=16, dim_v=16, batch=1, dtype=np.float32):
    rng = np.random.default_rng(7)
    return {"q": rng.standard_normal((batch, heads, seq, dim)).astype(dtype),
            "k": rng.standard_normal((batch, kv_heads, seq, dim)).astype(dtype),
            "v": rng.standard_normal((batch, kv_heads, seq, dim_v)).astype(dtype)}


def write_safetensors(path, arrays):
    header, data = {"__metadata__": {"model": "drawn"}}, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_npy(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def softmax_attention(q, k, v, causal):
    k = np.repeat(k, q.shape[1] // k.shape[1], axis=1).astype(np.float64)
    v = np.repeat(v, q.shape[1] // v.shape[1], axis=1).astype(np.float64)
    logits = q.astype(np.float64) @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    if causal:
        seq_q, seq_k = logits.shape[-2:]
        logits = np.where(np.tri(seq_q, seq_k, seq_k - seq_q, dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)) @ v


def test_shape_comes_from_the_file_and_longer_prefixes_are_skipped(run):
    write_safetensors(run.folder / "real.safetensors", tensors())
    run("run", "--input", "file:real.safetensors,gaussian", "--variants", "flash,linformer",
        "--seq", "16,48,64", "--heads", "1", "--dim", "8", *QUICK, "--out", "out", code=0)
    table = rows(run.folder / "out")
    recorded = [row for row in table if row["input"] != "gaussian"]
    assert len(table) == 12 and len(recorded) == 6
    for row in recorded:
        assert row["input"].startswith("file:real.safetensors#")
        assert (row["heads_q"], row["heads_kv"], row["dim_qk"]) == ("4", "2", "16")
        assert row["status"] == ("skipped" if row["seq_q"] == "64" else "ok"), row["reason"]
        if row["seq_q"] == "64":
            assert "64 queries asked for, file:real.safetensors#" in row["reason"]
            assert row["reason"].endswith("has 48")
    assert {(row["heads_q"], row["dim_qk"]) for row in table if row["input"] == "gaussian"} == {
        ("1", "8")}


def test_errors_are_of_the_recorded_tensors(run):
    # Keys that all are the same: attention answers mean(V), whatever the variant's window.
    arrays = tensors(kv_heads=4)
    arrays["k"][:] = arrays["k"][:, :, :1]
    write_npy(run.folder / "flat", arrays)
    run("run", "--input", "file:flat", "--variants", "linformer", "--seq", "48", "--param",
        "rank=48", *QUICK, "--out", "out", code=0)
    run("run", "--input", "gaussian", "--variants", "linformer", "--seq", "48", "--param",
        "rank=24", "--heads", "4", "--dim", "16", *QUICK, "--out", "drawn", code=0)
    assert float(rows(run.folder / "out")[0]["error_mean_v"]) < 1e-6
    assert float(rows(run.folder / "drawn")[0]["error_mean_v"]) > 0.1


@pytest.mark.parametrize("layout", ["bhnd", "bnhd"])
def test_repro_reruns_the_row(run, layout):
    write_npy(run.folder / "my captures", tensors())
    run("run", "--input", "file:my captures/{}.npy", "--variants", "flash", "--seq", "32",
        "--layout", layout, "--causal", *QUICK, "--out", "out", code=0)
    first = rows(run.folder / "out")[0]
    command = shlex.split(first["repro"])
    assert command[0] == "attnbench"
    run(*command[1:], "--out", "again", "--max-samples", "3", code=0)
    again = rows(run.folder / "again")[0]
    assert again["case_id"] == first["case_id"] and again["input"] == first["input"]


def test_the_name_follows_content_not_place_or_format(run):
    arrays = tensors()
    write_npy(run.folder / "a" / "cap", arrays)
    write_npy(run.folder / "b" / "cap", arrays)
    write_safetensors(run.folder / "c.safetensors", arrays)
    names = []
    for number, path in enumerate(("a/cap", run.folder / "b" / "cap", "c.safetensors")):
        run("run", "--input", f"file:{path}", "--variants", "flash", "--seq", "16", *QUICK,
            "--out", f"out{number}", code=0)
        names.append(rows(run.folder / f"out{number}")[0])
    assert names[0]["input"] == names[1]["input"]
    assert names[0]["case_id"] == names[1]["case_id"]
    assert names[0]["input"].split("#")[1] == names[2]["input"].split("#")[1]


def test_decode_takes_the_queries_at_the_end_of_the_prefix(run):
    write_npy(run.folder / "cap", tensors())
    run("run", "--input", "file:cap", "--variants", "flash", "--mode", "decode", "--seq", "16,48",
        *QUICK, "--out", "out", code=0)
    assert [row["status"] for row in rows(run.folder / "out")] == ["ok", "ok"]


def test_verify_and_toml_and_resume(run):
    write_npy(run.folder / "cap", tensors())
    done = run("verify", "--variants", "flash,full", "--input", "file:cap", "--seq", "48", code=0)
    assert "file:cap#" in done.stdout
    (run.folder / "s.toml").write_text(
        'variants = "flash"\nseq = 16\nthreads = 1\ninput = ["file:cap", "gaussian"]\n'
        'heads = 2\ndim = 8\nmax-samples = 3\nbudget = "10m"\n')
    run("run", "s.toml", "--out", "out", code=0)
    run("run", "s.toml", "--out", "out", "--resume", code=0)
    assert len(rows(run.folder / "out")) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_eval_takes_safetensors(run, dtype):
    arrays = tensors(dtype=dtype)
    write_safetensors(run.folder / "x.safetensors", arrays)
    names = ("--q", "x.safetensors", "--k", "x.safetensors", "--v", "x.safetensors")
    run("eval", "flash", *names, "--out", "o.npy", "--causal", "--check", code=0)
    expected = softmax_attention(**arrays, causal=True)
    np.testing.assert_allclose(np.load(run.folder / "o.npy"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("text,parts", [
    ("file:nowhere.safetensors", ["nowhere.safetensors: cannot be read"]),
    ("file:nowhere", ["accepted: a .safetensors file", "{}"]),
    ("file:", ["'file:' is not one of", "file:PATH"]),
    ("file:cap.safetensors", ["overlap"]),
])
def test_what_cannot_be_read_is_a_usage_error(run, text, parts):
    header = json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
                         for name in "qkv"}).encode()
    (run.folder / "cap.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + bytes(16))
    done = run("run", "--input", text, "--variants", "flash", "--seq", "16", "--out", "out",
               code=2)
    for part in parts:
        assert part in done.stderr
    assert not (run.folder / "out").exists()


def test_a_shape_beside_recorded_inputs_only_is_refused(run):
    write_npy(run.folder / "cap", tensors())
    done = run("run", "--input", "file:cap", "--heads", "2", "--variants", "flash", "--out", "out",
               code=2)
    assert "--heads: given with recorded inputs only" in done.stderr
