"""Masks from files against NumPy: eval, run and verify, end to end."""

from __future__ import annotations

import csv
import shlex

import numpy as np
import oracle
import pytest

BATCH, HEADS, KV_HEADS, SEQ_Q, SEQ_K, DIM = 2, 4, 2, 75, 150, 16
TOLERANCE = 1e-5


def draw(seed=3):
    rng = np.random.default_rng(seed)

    def tensor(heads, seq):
        return rng.standard_normal((BATCH, heads, seq, DIM)).astype(np.float32)

    return tensor(HEADS, SEQ_Q), tensor(KV_HEADS, SEQ_K), tensor(KV_HEADS, SEQ_K)


def save(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def evaluate(run, variant, *flags):
    run("eval", variant, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--mask", "mask.npy",
        "--out", "o.npy", *flags, code=0)
    return np.load(run.folder / "o.npy")


def expected(q, k, v, mask, allowed):
    """Softmax attention under `allowed` and a mask as a file has it."""
    keys, values = (np.repeat(np.asarray(x, np.float64), HEADS // KV_HEADS, axis=1)
                    for x in (k, v))
    logits = np.asarray(q, np.float64) @ keys.swapaxes(-1, -2) / np.sqrt(DIM)
    if mask.dtype in (np.bool_, np.uint8):
        logits = np.where(mask.astype(bool), logits, -np.inf)
    else:
        logits = logits + mask
    logits = np.where(allowed, logits, -np.inf)
    top = logits.max(-1, keepdims=True)
    terms = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = terms.sum(-1, keepdims=True)
    return np.divide(terms, total, out=np.zeros_like(terms), where=total > 0) @ values


def assert_close(found, wanted):
    assert np.linalg.norm(found - wanted) <= TOLERANCE * np.linalg.norm(wanted)


def drawn(shape, dtype, seed=5):
    rng = np.random.default_rng(seed)
    read = rng.random(shape) < 0.4
    read[..., 64:128] &= rng.random(shape[:-1] + (1,)) < 0.1  # Rows without most of a block.
    if read.shape[-2] > 1:
        read[..., 7, :] = False
    if dtype in (np.bool_, np.uint8):
        return read.astype(dtype)
    return np.where(read, 2 * rng.standard_normal(shape), -np.inf).astype(dtype)


@pytest.mark.parametrize("shape", [
    (SEQ_Q, SEQ_K), (HEADS, SEQ_Q, SEQ_K), (BATCH, 1, 1, SEQ_K), (BATCH, HEADS, SEQ_Q, SEQ_K)])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float16, np.float32, np.float64])
def test_every_type_and_shape_against_numpy(run, shape, dtype):
    q, k, v = draw()
    mask = drawn(shape, dtype)
    save(run.folder, q=q, k=k, v=v, mask=mask)
    base = oracle.base_mask(SEQ_Q, SEQ_K, True, BATCH)
    assert_close(evaluate(run, "flash"), expected(q, k, v, mask, np.True_))
    assert_close(evaluate(run, "full", "--causal"), expected(q, k, v, mask, base))
    other = np.flip(mask, -1)
    assert np.linalg.norm(np.load(run.folder / "o.npy") - expected(q, k, v, other, base)) > 0.01


def test_a_variant_s_own_pattern_holds_besides(run):
    q, k, v = draw()
    mask = drawn((HEADS, SEQ_Q, SEQ_K), np.float32)
    save(run.folder, q=q, k=k, v=v, mask=mask)
    position, key = np.arange(SEQ_Q)[:, None] + SEQ_K - SEQ_Q, np.arange(SEQ_K)[None]
    window = (key >= position - 9) & (key <= position + 5)
    assert_close(evaluate(run, "local", "--param", "left=9", "--param", "right=5"),
                 expected(q, k, v, mask, window))
    strided = (abs(key - position) < 11) | ((key - position) % 11 == 0)
    assert_close(evaluate(run, "sparse", "--param", "stride=11"),
                 expected(q, k, v, mask, strided))


@pytest.mark.parametrize(("mask", "message"), [
    (np.ones((SEQ_K, SEQ_Q), bool), "[1, 1, 150, 75]; accepted are [B, H, Nq, Nk] = [2, 4, 75, 150]"),
    (np.ones((3, SEQ_Q, SEQ_K), bool), "[1, 3, 75, 150]; accepted are"),
    (np.ones(SEQ_K, bool), "mask.npy: holds [150] '|b1'; accepted are masks [Nq, Nk]"),
    (np.ones((SEQ_Q, SEQ_K), np.int64), "mask.npy: holds [75, 150] '<i8'; accepted are masks"),
    (np.full((SEQ_Q, SEQ_K), 2, np.uint8), "mask.npy: element [0, 0] is 2; accepted are 0 and 1"),
    (np.full((SEQ_Q, SEQ_K), np.nan), "mask.npy: element [0, 0] is nan; accepted are finite"),
    (np.full((SEQ_Q, SEQ_K), np.inf), "mask.npy: element [0, 0] is inf; accepted are finite"),
    (np.ones((SEQ_Q, SEQ_K), complex), "mask.npy: dtype '<c16' is not supported"),
    (np.array([[None]]), "mask.npy: dtype '|O' holds pickled Python objects"),
])
def test_hostile_files_are_refused(run, mask, message):
    q, k, v = draw()
    save(run.folder, q=q, k=k, v=v, mask=mask)
    done = run("eval", "flash", "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--mask",
               "mask.npy", "--out", "o.npy", code=2)
    assert message in done.stderr
    assert not (run.folder / "o.npy").exists()


def test_truncated_files_and_variants_without_masks_are_refused(run):
    q, k, v = draw()
    save(run.folder, q=q, k=k, v=v, mask=np.ones((SEQ_Q, SEQ_K), bool))
    call = ("--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy", "--mask")
    refused = run("eval", "performer", *call, "mask.npy", code=2)
    assert "performer takes no mask from a file" in refused.stderr
    data = (run.folder / "mask.npy").read_bytes()
    (run.folder / "mask.npy").write_bytes(data[:-5])
    assert "mask.npy: truncated" in run("eval", "flash", *call, "mask.npy", code=2).stderr
    assert "none.npy: cannot be read" in run("eval", "flash", *call, "none.npy", code=2).stderr


def rows(folder):
    with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


SWEEP = ("--heads", "2", "--dim", "16", "--threads", "1", "--budget", "10m", "--max-samples", "6",
         "--target-ci", "30%")


def test_masks_are_an_axis_of_a_sweep(run):
    (run.folder / "data").mkdir()
    mask = drawn((2, 150, 150), np.float32)
    np.save(run.folder / "data" / "bias.npy", mask)
    run("run", "--variants", "flash,performer", "--seq", "150,64", *SWEEP, "--mask",
        "none,data/bias.npy", "--causal", "off,on", "--out", "out", code=0)
    table = rows(run.folder / "out")
    assert len(table) == 2 * 2 * 2 * 2 == len({row["case_id"] for row in table})
    name = (({row["mask"] for row in table}) - {"none"}).pop()
    assert name.startswith("bias.npy@") and "/" not in name
    for row in table:
        if row["mask"] == "none":
            assert row["status"] == "ok"
        elif row["seq_q"] == "64":
            assert "bias.npy@" in row["reason"] and "[1, 2, 150, 150]" in row["reason"]
        elif row["variant"] == "performer":
            assert row["reason"] == ("performer takes no mask from a file: its keys are summed "
                                     "before they meet a query")
        else:
            allowed = np.isfinite(mask) & oracle.base_mask(150, 150, row["causal"] == "true")[0]
            assert row["status"] == "ok"
            assert float(row["useful_flops"]) == 2 * allowed.sum() * (16 + 16)
    chosen = next(row for row in table if row["mask"] == name and row["status"] == "ok")
    assert "--mask data/bias.npy" in chosen["repro"]
    run(*shlex.split(chosen["repro"])[1:], "--budget", "30s", "--out", "again", code=0)
    again = rows(run.folder / "again")
    assert len(again) == 1 and again[0]["case_id"] == chosen["case_id"]


def test_masks_from_a_configuration_file_and_in_verify(run):
    np.save(run.folder / "with,comma.npy", np.tri(12, dtype=bool))
    (run.folder / "c.toml").write_text(
        'variants = "full"\nseq = 12\nmask = ["none", "with,comma.npy"]\n')
    assert "with,comma.npy@" in run("run", "c.toml", "--dry-run", code=0).stdout
    (run.folder / "c.toml").write_text('mask = "no.npy"\n')
    assert "c.toml:1:8: mask: no.npy: cannot be read" in run("run", "c.toml", "--dry-run",
                                                            code=2).stderr
    np.save(run.folder / "mask.npy", drawn((40, 40), np.float32))
    done = run("verify", "--seq", "40", "--heads", "2", "--dim", "8", "--mask", "mask.npy",
               "--param", "linformer.rank=8", code=0)
    assert "flash" in done.stdout and "mask" in done.stdout and "0 failed" in done.stdout


@pytest.mark.parametrize("dtype", [np.bool_, np.float32])
def test_agrees_with_torch(run, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    q, k, v = draw()
    # Rows without a key are NaN in some versions of PyTorch: every row keeps its first key.
    mask = drawn((BATCH, HEADS, SEQ_Q, SEQ_K), dtype)
    mask[..., 0] = True if dtype is np.bool_ else 0.5
    save(run.folder, q=q, k=k, v=v, mask=mask)
    keys, values = (torch.from_numpy(np.repeat(x, HEADS // KV_HEADS, axis=1)).double()
                    for x in (k, v))
    bias = torch.from_numpy(mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        torch.from_numpy(q).double(), keys, values,
        attn_mask=bias if dtype is np.bool_ else bias.double()).numpy()
    for variant in ("flash", "full"):
        assert_close(evaluate(run, variant), wanted)


@pytest.mark.parametrize("variant", ["block-mask", "flash", "full"])
def test_masks_of_blocks_against_numpy(run, variant):
    q, k, v = draw()
    blocks = np.random.default_rng(9).random((HEADS, 3, 5)) < 0.5  # 75 and 150 in blocks of 32.
    blocks[1, 2] = False
    save(run.folder, q=q, k=k, v=v, mask=blocks)
    run("eval", variant, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--mask", "mask.npy:32",
        "--out", "o.npy", code=0)
    pairs = np.repeat(np.repeat(blocks, 32, 1), 32, 2)[:, :SEQ_Q, :SEQ_K]
    assert_close(np.load(run.folder / "o.npy"), expected(q, k, v, pairs, np.True_))


def test_a_sweep_over_masks_of_blocks(run):
    save(run.folder, blocks=np.eye(4, dtype=bool))
    run("run", "--variants", "block-mask,flash", "--seq", "100,128", "--mask",
        "none,blocks.npy:32,blocks.npy:25", *SWEEP, "--out", "out", code=0)
    table = rows(run.folder / "out")
    timed = [row for row in table if row["status"] == "ok"]
    # 100 and 128 round up to 4 blocks of 32, and 100 is 4 of 25.
    assert len(timed) == 2 * (2 + 2 + 1)
    skipped = [row for row in table if row["status"] == "skipped"]
    assert len(skipped) == 2 and "in blocks of 25" in skipped[0]["reason"]
    again = [row for row in timed if row["mask"] != "none" and row["variant"] == "block-mask"][0]
    assert "blocks.npy:32" in again["repro"] or "blocks.npy:25" in again["repro"]


@pytest.mark.parametrize("size", ["0", "65537", "99999999999999999999"])
def test_a_wrong_block_size_is_refused(run, size):
    q, k, v = draw()
    save(run.folder, q=q, k=k, v=v, mask=np.ones((3, 5), bool))
    done = run("eval", "flash", "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--mask",
               f"mask.npy:{size}", "--out", "o.npy")
    assert done.returncode == 2
    assert f"mask.npy: blocks of {size}; accepted are 1 to 65536" in done.stderr
