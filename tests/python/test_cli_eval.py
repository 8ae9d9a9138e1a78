"""attnbench eval against an independent float64 implementation, and its refusals."""

from __future__ import annotations

import json

import numpy as np
import oracle
import pytest

SHAPES = {
    # name: (B, Hq, Hkv, Nq, Nk, D, Dv)
    "small": (1, 2, 2, 16, 16, 8, 8),
    "one query": (1, 1, 1, 1, 1, 4, 4),
    "odd": (2, 3, 3, 37, 37, 20, 20),
    "grouped heads": (2, 6, 2, 33, 33, 16, 16),
    "longer keys": (1, 2, 1, 19, 71, 24, 40),
    "longer queries": (1, 2, 2, 45, 13, 12, 7),
}
TOLERANCE = 1e-5
PERFORMER_TOLERANCE = 1e-4


def draw(shape, seed=0, std=1.0):
    batch, heads_q, heads_kv, seq_q, seq_k, dim, dim_v = shape
    rng = np.random.default_rng(seed)

    def tensor(*sizes):
        return (std * rng.standard_normal(sizes)).astype(np.float32)

    return (tensor(batch, heads_q, seq_q, dim), tensor(batch, heads_kv, seq_k, dim),
            tensor(batch, heads_kv, seq_k, dim_v))


def save(folder, **tensors):
    for name, tensor in tensors.items():
        np.save(folder / f"{name}.npy", tensor)


QKV = ("--q", "q.npy", "--k", "k.npy", "--v", "v.npy")
OUT = ("--out", "o.npy")


def evaluate(run, variant, q, k, v, *flags, code=0):
    """The output of one call, from files in and out."""
    save(run.folder, q=q, k=k, v=v)
    done = run("eval", variant, *QKV, *OUT, *flags, code=code)
    return np.load(run.folder / "o.npy") if code == 0 else done


def assert_close(found, expected, tolerance=TOLERANCE):
    assert oracle.relative_l2(found, expected) <= tolerance


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("causal", [False, True], ids=["open", "causal"])
@pytest.mark.parametrize("variant", ["full", "flash"])
def test_softmax_variants(run, variant, causal, shape):
    q, k, v = draw(shape)
    found = evaluate(run, variant, q, k, v, *(["--causal"] if causal else []))
    assert found.dtype == np.float32
    assert_close(found, oracle.full(q, k, v, causal)[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("left,right,causal", [(5, 3, False), (0, 0, False), (-1, 2, False),
                                               (9, 0, True), (-1, -1, False)])
def test_local(run, shape, left, right, causal):
    q, k, v = draw(shape)
    found = evaluate(run, "local", q, k, v, "--param", f"left={left}", "--param", f"right={right}",
                     f"--causal={'on' if causal else 'off'}")
    assert_close(found, oracle.local(q, k, v, left, right, causal)[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("causal", [False, True], ids=["open", "causal"])
@pytest.mark.parametrize("pattern,stride,summary", [("strided", 4, 1), ("strided", 1, 1),
                                                    ("fixed", 6, 2), ("fixed", 7, 7)])
def test_sparse(run, shape, pattern, stride, summary, causal):
    q, k, v = draw(shape)
    found = evaluate(run, "sparse", q, k, v, f"--causal={'on' if causal else 'off'}", "--param", f"pattern={pattern}",
                     "--param", f"stride={stride}", "--param", f"summary={summary}")
    assert_close(found, oracle.sparse(q, k, v, pattern, stride, summary, causal)[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("per_head", [False, True], ids=["shared", "per head"])
def test_linformer_with_given_projections(run, shape, per_head):
    q, k, v = draw(shape)
    rng = np.random.default_rng(1)
    rank = min(5, k.shape[2])
    sizes = ((k.shape[1],) if per_head else ()) + (rank, k.shape[2])
    e, f = (rng.standard_normal(sizes).astype(np.float32) / np.sqrt(k.shape[2]) for _ in range(2))
    save(run.folder, e=e, f=f)
    found = evaluate(run, "linformer", q, k, v, "--aux", "E=e.npy", "--aux", "F=f.npy")
    assert_close(found, oracle.linformer(q, k, v, e, f)[0])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("causal", [False, True], ids=["open", "causal"])
def test_performer_with_given_features(run, shape, causal):
    q, k, v = draw(shape)
    omega = np.random.default_rng(2).standard_normal((24, q.shape[3])).astype(np.float32)
    save(run.folder, omega=omega)
    found = evaluate(run, "performer", q, k, v, "--aux", "omega=omega.npy",
                     f"--causal={'on' if causal else 'off'}")
    assert_close(found, oracle.performer(q, k, v, omega, causal)[0], PERFORMER_TOLERANCE)


def test_drawn_features_are_saved_and_give_the_same_result(run):
    q, k, v = draw(SHAPES["odd"])
    found = evaluate(run, "performer", q, k, v, "--seed", 7, "--param", "features=32",
                     "--save-aux", "aux")
    omega = np.load(run.folder / "aux" / "omega.npy")
    assert omega.shape == (32, q.shape[3])
    assert_close(found, oracle.performer(q, k, v, omega)[0], PERFORMER_TOLERANCE)
    again = evaluate(run, "performer", q, k, v, "--aux", "omega=aux/omega.npy")
    assert np.array_equal(found, again)
    other = evaluate(run, "performer", q, k, v, "--seed", 8, "--param", "features=32")
    assert not np.array_equal(found, other)


def test_the_comparison_can_fail():
    q, k, v = draw(SHAPES["small"])
    wrong = oracle.full(q, k, v, causal=True)[0]
    with pytest.raises(AssertionError):
        assert_close(wrong, oracle.full(q, k, v)[0])
    assert oracle.relative_l2(np.ones((1, 1)), np.zeros((1, 1))) == np.inf


def test_threads_and_instruction_sets_agree(run):
    q, k, v = draw((1, 4, 4, 130, 130, 64, 64))
    expected = oracle.full(q, k, v)[0]
    for flags in (("--threads", "2"), ("--threads", "all"), ("--isa", "avx2")):
        assert_close(evaluate(run, "flash", q, k, v, *flags), expected)


def test_large_logits(run):
    q, k, v = draw(SHAPES["odd"], std=4.0)
    assert_close(evaluate(run, "flash", q, k, v), oracle.full(q, k, v)[0])


@pytest.mark.parametrize("variant", ["full", "flash"])
def test_scale(run, variant):
    q, k, v = draw(SHAPES["odd"])
    found = evaluate(run, variant, q, k, v, "--scale", "-0.25")
    assert_close(found, oracle.full(q, k, v, scale=-0.25)[0])


def test_key_lengths_hide_what_lies_beyond_them(run):
    q, k, v = draw(SHAPES["odd"])
    save(run.folder, lengths=np.array([5, 0], np.int32))
    found = evaluate(run, "flash", q, k, v, "--key-lengths", "lengths.npy")
    assert_close(found, oracle.full(q, k, v, key_lengths=[5, 0])[0])
    assert not found[1].any()
    k[0, :, 5:] += 1
    v[0, :, 5:] *= 1e6
    assert np.array_equal(found, evaluate(run, "flash", q, k, v, "--key-lengths", "lengths.npy"))


def test_layout_bnhd_is_the_same_call_on_swapped_axes(run):
    q, k, v = draw(SHAPES["grouped heads"])
    expected = oracle.full(q, k, v)[0]
    swapped = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in (q, k, v)]
    found = evaluate(run, "flash", *swapped, "--layout", "bnhd")
    assert found.shape == expected.swapaxes(1, 2).shape
    assert_close(found.swapaxes(1, 2), expected)


@pytest.mark.parametrize("rank", [2, 3])
def test_missing_leading_sizes_are_one_and_the_output_has_the_rank_of_q(run, rank):
    q, k, v = draw((1, 1 if rank == 2 else 3, 1 if rank == 2 else 3, 9, 11, 8, 6))
    expected = oracle.full(q, k, v)[0]
    inner = [x.reshape(x.shape[4 - rank:]) for x in (q, k, v)]
    found = evaluate(run, "full", *inner)
    assert found.ndim == rank
    assert_close(found, expected.reshape(expected.shape[4 - rank:]))
    # A batch of one in the keys alone changes nothing.
    found = evaluate(run, "full", inner[0], k, v)
    assert found.ndim == rank


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_float_types_are_converted(run, dtype):
    q, k, v = (x.astype(dtype) for x in draw(SHAPES["odd"]))
    assert_close(evaluate(run, "flash", q, k, v), oracle.full(q, k, v)[0])


WEIGHTED = {
    "full": ((), lambda q, k, v: oracle.full(q, k, v)),
    "flash": (("--causal",), lambda q, k, v: oracle.full(q, k, v, True)),
    "local": (("--param", "left=4", "--param", "right=0"),
              lambda q, k, v: oracle.local(q, k, v, 4, 0)),
    "sparse": (("--causal", "--param", "stride=5"),
               lambda q, k, v: oracle.sparse(q, k, v, "strided", 5)),
}


@pytest.mark.parametrize("shape", [SHAPES["grouped heads"], (1, 2, 2, 30, 150, 8, 9)])
@pytest.mark.parametrize("variant", WEIGHTED)
def test_weights(run, variant, shape):
    q, k, v = draw(shape)
    flags, expected = WEIGHTED[variant]
    found = evaluate(run, variant, q, k, v, *flags, "--weights", "w.npy")
    weights = np.load(run.folder / "w.npy")
    output, expected_weights = expected(q, k, v)
    assert_close(weights, expected_weights)
    assert_close(found, output)
    group = q.shape[1] // k.shape[1]
    assert_close(weights.astype(np.float64) @ np.repeat(v, group, 1), found)


def test_weights_of_approximations(run):
    q, k, v = draw(SHAPES["grouped heads"])
    rng = np.random.default_rng(3)
    save(run.folder, e=rng.standard_normal((6, 33)) / 6, omega=rng.standard_normal((20, 16)))
    evaluate(run, "linformer", q, k, v, "--aux", "E=e.npy", "--weights", "w.npy")
    e = np.load(run.folder / "e.npy")
    assert_close(np.load(run.folder / "w.npy"), oracle.linformer(q, k, v, e, e)[1])
    evaluate(run, "performer", q, k, v, "--aux", "omega=omega.npy", "--weights", "w.npy")
    omega = np.load(run.folder / "omega.npy")
    assert_close(np.load(run.folder / "w.npy"), oracle.performer(q, k, v, omega)[1],
                 PERFORMER_TOLERANCE)


def test_check_prints_the_errors(run):
    q, k, v = draw(SHAPES["odd"])
    save(run.folder, q=q, k=k, v=v)
    text = run("eval", "flash", *QKV, "--check", code=0).stdout
    assert "definition_rel_l2" in text and "ok" in text and "error_mean_v" in text


def test_agrees_with_torch(run):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    q, k, v = draw(SHAPES["odd"])
    for causal in (False, True):
        expected = torch.nn.functional.scaled_dot_product_attention(
            *(torch.from_numpy(x).double() for x in (q, k, v)), is_causal=causal).numpy()
        assert_close(evaluate(run, "flash", q, k, v, *(["--causal"] if causal else [])), expected)


def test_an_earlier_output_is_replaced_and_nothing_else_is_left(run):
    q, k, v = draw(SHAPES["small"])
    (run.folder / "o.npy").write_text("old")
    evaluate(run, "full", q, k, v)
    assert sorted(path.name for path in run.folder.iterdir()) == ["k.npy", "o.npy", "q.npy",
                                                                  "v.npy"]


def change(**tensors):
    """A mutation of the three files before the call."""
    return lambda folder: save(folder, **tensors)


def truncate(folder):
    whole = (folder / "k.npy").read_bytes()
    (folder / "k.npy").write_bytes(whole[:-5])


ONES = np.ones((1, 2, 16, 8), np.float32)
NAN = ONES.copy()
NAN[0, 1, 2, 3] = np.nan

BAD_FILES = {
    "missing file": (lambda folder: (folder / "k.npy").unlink(), "k.npy: cannot be read"),
    "not npy": (lambda folder: (folder / "k.npy").write_text("x" * 200), "not an .npy file"),
    "truncated": (truncate, "truncated"),
    "fortran": (change(k=np.asfortranarray(ONES)), "Fortran order"),
    "big-endian": (change(k=ONES.astype(">f4")), "big-endian"),
    "integers": (change(q=ONES.astype(np.int32)), "holds integers"),
    "complex": (change(q=ONES.astype(np.complex64)), "not supported"),
    "objects": (change(q=np.array([None, 1], object)), "pickled"),
    "nan": (change(k=NAN), "element [0, 1, 2, 3] is nan"),
    "infinite": (change(v=ONES * np.float32(np.inf)), "is inf"),
    "too wide": (change(v=ONES.astype(np.float64) * 1e300), "beyond the range of float32"),
    "vector": (change(q=ONES[0, 0, 0]), "has 1 dimensions"),
    "five dimensions": (change(q=ONES[None]), "has 5 dimensions"),
    "empty": (change(q=ONES[:, :, :0]), "is empty"),
    "head dimension": (change(k=ONES[..., :5]), "head dimension D differs"),
    "keys": (change(v=ONES[:, :, :9]), "number of keys N differs"),
    "key-value heads": (change(v=ONES[:, :1]), "number of key-value heads differs"),
    "query heads": (change(q=ONES[:, [0, 1, 0]]), "must be a multiple"),
    "batch": (change(q=np.concatenate([ONES, ONES])), "batch size B differs"),
}


@pytest.mark.parametrize("spoil,message", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files_are_refused_by_name(run, spoil, message):
    save(run.folder, q=ONES, k=ONES, v=ONES)
    spoil(run.folder)
    done = run("eval", "flash", *QKV, *OUT, code=2)
    first = done.stderr.splitlines()[0]
    assert first.startswith("attnbench: error: ") and message in first
    assert ".npy" in first
    assert not (run.folder / "o.npy").exists()


BAD_CALLS = {
    "unknown variant": (("flahs", *QKV, *OUT), "did you mean flash"),
    "nothing to do": (("flash", *QKV), "nothing to do"),
    "no q": (("flash", "--k", "k.npy", "--v", "v.npy", *OUT), "--q is required"),
    "causal linformer": (("linformer", *QKV, *OUT, "--causal"), "causal"),
    "parameter of another": (("flash", *QKV, *OUT, "--param", "left=3"), "left"),
    "unknown parameter": (("local", *QKV, *OUT, "--param", "lft=3"), "left"),
    "parameter range": (("local", *QKV, *OUT, "--param", "left=-7"), "left"),
    "parameter form": (("local", *QKV, *OUT, "--param", "left"), "accepted: name=value"),
    "parameter twice": (("local", *QKV, *OUT, "--param", "left=1", "--param", "left=2"), "twice"),
    "aux of another": (("flash", *QKV, *OUT, "--aux", "omega=q.npy"), "accepted: none"),
    "unknown aux": (("performer", *QKV, *OUT, "--aux", "omga=q.npy"), "did you mean omega"),
    "aux shape": (("linformer", *QKV, *OUT, "--aux", "E=q.npy"), "E"),
    "aux file": (("performer", *QKV, *OUT, "--aux", "omega=none.npy"), "none.npy: cannot be read"),
    "key lengths": (("flash", *QKV, *OUT, "--key-lengths", "q.npy"), "key lengths"),
    "threads": (("flash", *QKV, *OUT, "--threads", "0"), "--threads"),
    "isa": (("flash", *QKV, *OUT, "--isa", "sse9"), "avx2"),
    "layout": (("flash", *QKV, *OUT, "--layout", "nhd"), "bnhd"),
    "scale": (("flash", *QKV, *OUT, "--scale", "inf"), "finite"),
    "seed": (("performer", *QKV, *OUT, "--seed", "-1"), "--seed"),
    "unknown flag": (("flash", *QKV, *OUT, "--weigths", "w.npy"), "did you mean --weights"),
    "output folder": (("flash", *QKV, "--out", "no/such/o.npy"), "no/such/o.npy"),
}


@pytest.mark.parametrize("arguments,message", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_are_refused(run, arguments, message):
    save(run.folder, q=ONES, k=ONES, v=ONES)
    done = run("eval", *arguments, code=2)
    assert done.stderr.startswith("attnbench: error: ")
    assert message in done.stderr
    assert not (run.folder / "o.npy").exists()


def every_variant(run):
    return json.loads(run("list", "--json", code=0).stdout)


def test_auxiliary_tensors_of_every_variant_can_be_saved_and_given_back(run):
    q, k, v = draw((1, 2, 2, 70, 70, 16, 16))
    save(run.folder, q=q, k=k, v=v)
    seen = set()
    for variant in every_variant(run):
        name = variant["name"]
        first = run("eval", name, *QKV, "--out", f"{name}.npy", "--save-aux", f"aux-{name}",
                    "--causal=off")
        if first.returncode == 2:  # Defined for causal problems only, or for other inputs.
            continue
        assert first.returncode == 0, (name, first.stderr)
        saved = sorted((run.folder / f"aux-{name}").glob("*.npy"))
        given = [flag for path in saved for flag in ("--aux", f"{path.stem}={path}")]
        # What the tensors do not imply is repeated by the defaults.
        run("eval", name, *QKV, "--out", "again.npy", "--seed", "99", *given, code=0)
        assert np.array_equal(np.load(run.folder / f"{name}.npy"),
                              np.load(run.folder / "again.npy")), name
        seen.update(path.stem for path in saved)
    assert {"E", "F", "omega"} <= seen


def test_what_a_variant_does_not_define_is_refused(run):
    save(run.folder, q=ONES, k=ONES, v=ONES)
    for variant in every_variant(run):
        if not variant["has_scale"]:
            done = run("eval", variant["name"], *QKV, *OUT, "--scale", "2", code=2)
            assert "defines no scale" in done.stderr
        if not variant["has_dense_weights"]:
            done = run("eval", variant["name"], *QKV, *OUT, "--weights", "w.npy", code=2)
            assert "no dense weights" in done.stderr
