"""Masks from files together with positions, soft cap, sink, causal and key lengths: eval of every
softmax variant that takes them against NumPy, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
import scored_oracle as oracle

BATCH, HEADS, KV_HEADS, SEQ_Q, SEQ_K, DIM, DIM_V = 2, 4, 2, 70, 133, 16, 12
LENGTHS = (133, 97)
TOLERANCE = 1e-5
# Name in the tool, in the oracle, and parameters.
VARIANTS = {
    "flash": ("flash", "flash", ()), "full": ("full", "full", ()), "dot": ("dot", "dot", ()),
    "local": ("local", "local", ("left=9", "right=4")), "content": ("content", "content", ()),
    "bilinear": ("bilinear", "bilinear", ()), "additive": ("additive", "additive", ("hidden=9",)),
    "mlp": ("mlp", "mlp", ("d1=9", "d2=6")), "location": ("location", "location", ()),
    "local-m": ("local-m", "local_m", ()), "local-p": ("local-p", "local_p", ()),
    "topk": ("topk", "topk", ("k=6",)), "hard": ("hard", "hard", ()),
    "sampled": ("hard", "hard_sampled", ("sample=true",)), "mha": ("mha", "mha", ()),
}
TURNED = {"flash", "full", "dot", "local", "content", "local-m", "topk", "hard", "sampled", "mha"}


def masks(kind):
    """What --mask takes, as a file holds it, and pair by pair."""
    rng = np.random.default_rng(11)
    read = rng.random((HEADS, SEQ_Q, SEQ_K)) < 0.4
    read[..., 64:128] &= rng.random((HEADS, SEQ_Q, 1)) < 0.3
    read[:, 5] = False
    if kind == "boolean":
        return "mask.npy", read, read
    if kind == "additive":
        values = np.where(read, 2 * rng.standard_normal(read.shape), -np.inf).astype(np.float32)
        return "mask.npy", values, values
    blocks = rng.random((3, 6)) < 0.6
    blocks[1, :3] = True
    pairs = np.repeat(np.repeat(blocks, 24, 0), 24, 1)[:SEQ_Q, :SEQ_K]
    return "mask.npy:24", blocks, pairs


@pytest.fixture(name="tensors", scope="module")
def _tensors():
    rng = np.random.default_rng(7)
    shapes = ((BATCH, HEADS, SEQ_Q, DIM), (BATCH, KV_HEADS, SEQ_K, DIM),
              (BATCH, KV_HEADS, SEQ_K, DIM_V))
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    return q, k, v, rng.standard_normal(HEADS).astype(np.float32)


CROSSES = [
    ("boolean", "rope", 1.5, True, True, True), ("boolean", "alibi", None, True, False, True),
    ("additive", "alibi", 1.5, True, True, False), ("additive", "rope", None, False, False, True),
    ("blocks", "sinusoidal", 1.5, True, True, True), ("blocks", "none", 1.5, False, False, False),
    (None, "alibi", None, True, True, True),
]


def prepare(run, tensors, kind):
    q, k, v, sink = tensors
    np.save(run.folder / "lengths.npy", np.array(LENGTHS))
    for name, tensor in (("q", q), ("k", k), ("v", v), ("sink", sink)):
        np.save(run.folder / f"{name}.npy", tensor)
    if kind is None:
        return (), None
    given, file, pairs = masks(kind)
    np.save(run.folder / "mask.npy", file)
    return ("--mask", given), pairs


def evaluate(run, tool, params, isa, flags):
    done = run("eval", tool, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy",
               "--isa", isa, "--save-aux", "aux", *(x for p in params for x in ("--param", p)),
               *flags)
    if done.returncode == 2 and f"isa '{isa}' is not available on this machine" in done.stderr:
        return None, None  # A machine without AVX-512.
    assert done.returncode == 0, done.stderr
    aux = {path.stem: np.load(path) for path in (run.folder / "aux").glob("*.npy")}
    return np.load(run.folder / "o.npy"), aux


def expected(name, tensors, aux, **terms):
    q, k, v, sink = tensors
    q = q.astype(np.float64)
    k, v = (np.repeat(x.astype(np.float64), HEADS // KV_HEADS, 1) for x in (k, v))
    made = oracle.Terms(HEADS, SEQ_Q, SEQ_K, **terms)
    wanted = getattr(oracle, VARIANTS[name][1])(q, k, v, made, aux)
    decided = np.ones(wanted.shape[:3], bool)
    if name in ("topk", "hard"):
        decided = oracle.margins(q, k, made, 6 if name == "topk" else 1) > 1e-4
    if name == "sampled":
        u = aux["u"].astype(np.float64)[..., None]
        reached = np.cumsum(made.weights(oracle._scaled(*made.rows(q, k))), -1)
        decided = np.abs(reached - u).min(-1) > 1e-5
    assert decided.mean() > 0.8
    return wanted * decided[..., None], decided


def error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize("cross", CROSSES, ids=lambda c: "-".join(str(x) for x in c))
def test_every_variant_against_numpy(run, tensors, cross):
    kind, position, softcap, with_sink, causal, with_lengths = cross
    flags, mask = prepare(run, tensors, kind)
    for name, (tool, _, params) in VARIANTS.items():
        placed = position
        if name == "location" and position != "alibi" or position == "rope" and name not in TURNED:
            placed = "none"
        is_causal = causal and name != "location"
        terms = {"mask": mask, "causal": is_causal, "position": placed, "softcap": softcap,
                 "lengths": LENGTHS if with_lengths else None,
                 "sink": tensors[3] if with_sink else None}
        call = [*flags, "--position", placed]
        call += ["--causal"] if is_causal else []
        call += ["--softcap", softcap] if softcap else []
        call += ["--key-lengths", "lengths.npy"] if with_lengths else []
        call += ["--aux", "sink=sink.npy"] if with_sink else []
        for isa in ("avx2", "avx512"):
            found, aux = evaluate(run, tool, params, isa, call)
            if found is None:
                continue
            wanted, decided = expected(name, tensors, aux, **terms)
            assert error(found * decided[..., None], wanted) <= TOLERANCE, (name, isa)


def test_what_is_wrong_is_seen(run, tensors):
    """One pair of one head, the order of cap and mask, and a sink too many."""
    flags, mask = prepare(run, tensors, "boolean")
    for name in ("topk", "local-m", "local-p", "location", "mlp"):
        tool, _, params = VARIANTS[name]
        found, aux = evaluate(run, tool, params, "avx2",
                              [*flags, "--softcap", 1.5, "--aux", "sink=sink.npy"])
        right = {"mask": mask, "softcap": 1.5, "sink": tensors[3]}
        for wrong in ({"mask": np.roll(mask, 1, -1)}, {"softcap": 1.4}, {"sink": None},
                      {"causal": True}):
            wanted, decided = expected(name, tensors, aux, **{**right, **wrong})
            assert error(found * decided[..., None], wanted) > 1e-3, (name, wrong.keys())


def test_rows_without_a_key_are_zero(run, tensors):
    flags, _ = prepare(run, tensors, "boolean")
    for name in ("topk", "hard", "sampled", "local-m", "local-p", "location"):
        tool, _, params = VARIANTS[name]
        found, _ = evaluate(run, tool, params, "avx2", flags)
        assert (found[:, :, 5] == 0).all() and (found[:, :, 6] != 0).any(), name
