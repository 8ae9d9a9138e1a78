"""Positions, soft cap and sink: eval against NumPy, and the axes of a sweep, end to end."""

from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pytest
from scored_oracle import placed, slopes

QKV = ("--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy")
POSITIONS = ("none", "sinusoidal", "rope", "alibi")


def attention(q, k, v, mask, position="none", softcap=None, sink=None):
    """Softmax attention in float64; `mask` broadcasts to [B, H, Nq, Nk]."""
    heads = q.shape[1]
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, heads // x.shape[1], 1) for x in (k, v))
    i = np.arange(q.shape[2]) + k.shape[2] - q.shape[2]
    j = np.arange(k.shape[2])
    s = placed(q, i, position) @ placed(k, j, position).swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if softcap is not None:
        s = softcap * np.tanh(s / softcap)
    if position == "alibi":
        s = s - slopes(heads)[:, None, None] * np.abs(i[:, None] - j)
    s = np.where(mask, s, -np.inf)
    if sink is not None:
        extra = np.broadcast_to(np.asarray(sink, np.float64)[:, None, None], s.shape[:-1] + (1,))
        s = np.concatenate([s, extra], -1)
    top = s.max(-1, keepdims=True)
    w = np.exp(s - np.where(np.isfinite(top), top, 0))
    total = w.sum(-1, keepdims=True)
    w = np.divide(w, total, out=np.zeros_like(w), where=total > 0)
    return w[..., :k.shape[2]] @ v


def draw(folder, shape, seed=0, std=1.0):
    batch, heads_q, heads_kv, seq_q, seq_k, dim, dim_v = shape
    rng = np.random.default_rng(seed)
    sizes = ((batch, heads_q, seq_q, dim), (batch, heads_kv, seq_k, dim),
             (batch, heads_kv, seq_k, dim_v))
    tensors = [(std * rng.standard_normal(size)).astype(np.float32) for size in sizes]
    for name, tensor in zip("qkv", tensors):
        np.save(folder / f"{name}.npy", tensor)
    sink = rng.standard_normal(heads_q).astype(np.float32)
    np.save(folder / "sink.npy", sink)
    return *tensors, sink


def causal_mask(seq_q, seq_k):
    return np.arange(seq_k) <= np.arange(seq_q)[:, None] + seq_k - seq_q


def error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("shape", [(2, 6, 2, 37, 37, 20, 12), (1, 4, 4, 19, 71, 24, 8),
                                   (1, 3, 1, 45, 13, 8, 8), (1, 2, 1, 1, 90, 16, 16)],
                         ids=["self", "longer keys", "longer queries", "one query"])
def test_eval_agrees_with_numpy(run, position, shape):
    q, k, v, sink = draw(run.folder, shape, std=2.0)
    mask = causal_mask(*shape[3:5])
    for variant in ("flash", "full"):
        for softcap, with_sink in ((None, False), (1.5, True)):
            flags = (["--softcap", softcap] if softcap else []) \
                + (["--aux", "sink=sink.npy"] if with_sink else [])
            run("eval", variant, *QKV, "--causal", "--position", position, *flags, code=0)
            expected = attention(q, k, v, mask, position, softcap, sink if with_sink else None)
            assert error(np.load(run.folder / "o.npy"), expected) <= 1e-5


@pytest.mark.parametrize("flags,allowed", [
    (("local", "--param", "left=5", "--param", "right=3"), lambda d, i, j: (d >= -5) & (d <= 3)),
    (("sparse", "--param", "stride=6"), lambda d, i, j: (abs(d) < 6) | (d % 6 == 0)),
    (("sparse", "--param", "pattern=fixed", "--param", "stride=6", "--param", "summary=2"),
     lambda d, i, j: (i // 6 == j // 6) | (j % 6 >= 4)),
    (("longformer", "--param", "window=3", "--param", "dilation=2", "--param", "global=0+9"),
     lambda d, i, j: ((d % 2 == 0) & (abs(d) <= 6)) | np.isin(i, [0, 9]) | np.isin(j, [0, 9])),
    (("blocked", "--param", "block=8"), lambda d, i, j: i // 8 == j // 8),
], ids=["local", "strided", "fixed", "longformer", "blocked"])
def test_patterns_know_the_positions_of_their_keys(run, flags, allowed):
    """Gathered and reordered keys keep their own positions."""
    q, k, v, sink = draw(run.folder, (1, 4, 2, 80, 80, 16, 16))
    i, j = np.arange(80)[:, None], np.arange(80)[None, :]
    mask = allowed(j - i, i, j)
    for position in POSITIONS:
        run("eval", *flags, *QKV, "--position", position, "--softcap", "2", "--aux",
            "sink=sink.npy", code=0)
        expected = attention(q, k, v, mask, position, 2.0, sink)
        assert error(np.load(run.folder / "o.npy"), expected) <= 1e-5, position


@pytest.mark.parametrize("isa", ["avx2", "auto"])
@pytest.mark.parametrize("shape", [(2, 4, 2, 37, 37, 20, 12), (1, 2, 2, 9, 50, 64, 8),
                                   (1, 2, 1, 30, 13, 6, 6)], ids=["self", "cross", "short"])
def test_rope_of_neighbours_and_other_bases(run, shape, isa):
    """(x_2m, x_2m+1) as one complex number, turned by exp(i p / base^(2m/D))."""
    q, k, v, _ = draw(run.folder, shape, std=2.0)
    dim = shape[5]

    def turned(x, positions):
        angles = positions[:, None] / 500.0 ** (2 * np.arange(dim // 2) / dim)
        pairs = (x[..., 0::2] + 1j * x[..., 1::2].astype(np.float64)) * np.exp(1j * angles)
        return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)
    i, j = np.arange(shape[3]) + shape[4] - shape[3], np.arange(shape[4])
    expected = attention(turned(q, i), turned(k, j), v, causal_mask(*shape[3:5]))
    halves = attention(placed(q, i, "rope"), placed(k, j, "rope"), v, causal_mask(*shape[3:5]))
    for variant in ("flash", "full", "local", "topk"):
        run("eval", variant, *QKV, "--causal", "--position", "rope", "--rope-pairs", "interleaved",
            "--rope-base", "500", "--isa", isa, *(("--param", "k=100") if variant == "topk" else ()),
            code=0)
        assert error(np.load(run.folder / "o.npy"), expected) <= 1e-5, variant
        assert error(np.load(run.folder / "o.npy"), halves) > 1e-2, variant


def test_a_sweep_records_and_repeats_pairs_and_base(run):
    small = ("--seq", "40", "--heads", "2", "--kv-heads", "=", "--dim", "16", "--threads", "1",
             "--budget", "10m", "--max-samples", "6", "--target-ci", "30%")
    run("run", "--shape", "llama-3-8b", "--variants", "flash,performer", *small, "--rope-pairs",
        "interleaved", "--out", "out", code=0)
    with open(run.folder / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert rows["performer"]["status"] == "skipped"
    chosen = rows["flash"]
    assert chosen["position"] == "rope"
    assert chosen["params"] == "rope-base=500000;rope-pairs=interleaved"
    run(*shlex.split(chosen["repro"])[1:], "--budget", "10m", "--max-samples", "6", "--out",
        "again", code=0)
    with open(run.folder / "again" / "summary.csv", newline="", encoding="utf-8") as file:
        again = list(csv.DictReader(file))
    assert [row["case_id"] for row in again] == [chosen["case_id"]]
    run("run", "--shape", "llama-3-8b", "--position", "none", "--variants", "flash,performer",
        *small, "--out", "none", code=0)
    with open(run.folder / "none" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert all(row["position"] == "none" for row in rows)


def test_eval_check_and_weights(run):
    q, k, v, sink = draw(run.folder, (1, 2, 2, 30, 30, 8, 8))
    done = run("eval", "flash", *QKV, "--position", "rope", "--softcap", "1", "--aux",
               "sink=sink.npy", "--weights", "w.npy", "--save-aux", "aux", "--check", code=0)
    assert "error_rel_l2" in done.stdout
    weights = np.load(run.folder / "w.npy")
    assert error(weights @ v, np.load(run.folder / "o.npy")) <= 1e-5
    assert (weights.sum(-1) < 1).all()
    assert np.array_equal(np.load(run.folder / "aux" / "sink.npy"), sink)
    # Drawn from the seed where none is given.
    run("eval", "flash", *QKV, "--sink", "--seed", "7", "--save-aux", "drawn", code=0)
    drawn = np.load(run.folder / "drawn" / "sink.npy")
    expected = attention(q, k, v, np.full((30, 30), True), sink=drawn)
    assert error(np.load(run.folder / "o.npy"), expected) <= 1e-5


@pytest.mark.parametrize("flags,message", [
    (("--position", "rop"), "'rop' is not one of none, sinusoidal, rope, alibi"),
    (("--softcap", "0"), '--softcap: given "0"; accepted: none or a number above 0'),
    (("--softcap", "-3"), "accepted: none or a number above 0"),
    (("--softcap", "nan"), "accepted: none or a number above 0"),
    (("--sink=maybe",), "--sink: given \"maybe\""),
    (("--aux", "sink=q.npy"), "accepted is a sink: floating point of shape [3]"),
    (("--position", "rope"), "rope turns pairs of dimensions, and dim 5 is odd"),
    (("--rope-pairs", "both"), '--rope-pairs: given "both"; accepted: half or interleaved'),
    (("--rope-base", "1"), '--rope-base: given "1"; accepted: a number above 1'),
])
def test_eval_refuses(run, flags, message):
    draw(run.folder, (1, 3, 3, 8, 8, 5, 4))
    done = run("eval", "flash", *QKV, *flags, code=2)
    assert message in done.stderr


def test_a_variant_that_does_not_take_it_says_what_it_takes(run):
    draw(run.folder, (1, 2, 2, 16, 16, 8, 8))
    done = run("eval", "performer", *QKV, "--position", "rope", code=2)
    assert "performer does not take position rope (accepted: none)" in done.stderr


def test_axes_of_a_sweep(run):
    run("run", "--variants", "flash,full,performer", "--seq", "48", "--heads", "2", "--dim", "16",
        "--threads", "1", "--causal", "on", "--position", "none,rope,alibi", "--softcap",
        "none,50", "--sink", "off,on", "--budget", "10m", "--max-samples", "6", "--target-ci",
        "30%", "--out", "out", code=0)
    with open(run.folder / "out" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 2 * 2
    assert len({row["case_id"] for row in rows}) == len(rows)
    for row in rows:
        plain = row["position"] == "none" and "softcap" not in row["params"] \
            and "sink" not in row["params"]
        if row["variant"] == "performer" and not plain:
            assert row["status"] == "skipped" and "performer does not take" in row["reason"]
            continue
        assert row["status"] == "ok", row["reason"]
        if row["variant"] == "performer":
            continue
        # An exact variant is exact under the same positions, caps and sinks.
        assert float(row["error_rel_l2"]) <= 1e-5
        assert row["workspace_law"] == {"flash": "N" if row["position"] == "rope" else "1",
                                        "full": "N^2"}[row["variant"]]
        turned = 3 * 2 * 48 * 16 * 2 if row["position"] == "rope" else 0
        of_plain = next(r for r in rows if r["variant"] == row["variant"] and r["params"] == ""
                        and r["position"] == "none")
        assert float(row["performed_flops"]) == float(of_plain["performed_flops"]) + turned
    assert {row["params"] for row in rows if row["variant"] == "flash"} == {
        "", "softcap=50", "sink=true", "sink=true;softcap=50"}
    chosen = next(row for row in rows if row["variant"] == "flash" and row["position"] == "alibi"
                  and row["params"] == "sink=true;softcap=50")
    run(*shlex.split(chosen["repro"])[1:], "--budget", "30s", "--out", "again", code=0)
    with open(run.folder / "again" / "summary.csv", newline="", encoding="utf-8") as file:
        again = list(csv.DictReader(file))
    assert len(again) == 1
    for column in ("case_id", "definition_rel_l2", "error_mean_v", "exp_count"):
        assert again[0][column] == chosen[column]


def test_list_and_describe_say_what_a_variant_takes(run):
    everything = {each["name"]: each for each in json.loads(run("list", "--json", code=0).stdout)}
    assert everything["flash"]["positions"] == list(POSITIONS)
    assert everything["flash"]["takes_softcap"] and everything["flash"]["takes_sink"]
    assert everything["performer"]["positions"] == ["none"]
    assert not everything["performer"]["takes_sink"]
    flash = run("describe", "flash", "--position", "rope", code=0).stdout
    assert "none, sinusoidal, rope, alibi (--position)" in flash
    assert "softcap, sink (--softcap, --sink)" in flash
    assert "no softcap, no sink" in run("describe", "performer", code=0).stdout
    cost = json.loads(run("describe", "flash", "--position", "rope", "--softcap", "50", "--sink",
                          "--json", code=0).stdout)["costs"][0]
    assert (cost["position"], cost["softcap"], cost["sink"]) == ("rope", 50, True)


def test_verify(run):
    done = run("verify", "--variants", "flash,bigbird,bilinear", "--seq", "65", "--heads", "2",
               "--dim", "16", "--position", "none,alibi", "--softcap", "5", "--sink", code=0)
    assert "alibi softcap=5 sink" in done.stdout and "0 failed" in done.stdout
