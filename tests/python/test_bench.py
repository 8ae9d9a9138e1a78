"""The evidence scripts of bench/: statistics, stores, sweeps without a clock, reports."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import random
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import compare_builds  # noqa: E402
from benchlib import compare_report, groups, peers_report, report, stats  # noqa: E402
from benchlib.cells import Cell, parse_cell  # noqa: E402
from benchlib.child import Refused  # noqa: E402
from benchlib.markdown import binary_bytes, significant, table  # noqa: E402
from benchlib.series import Series  # noqa: E402
from benchlib.store import Store, builds, chosen_build, read  # noqa: E402
from benchlib.sweep import Group, OutOfTime, Settings, Sweep, best_rates  # noqa: E402


# Statistics


def test_median():
    assert stats.median([3, 1, 2]) == 2
    assert stats.median([4, 1, 2, 3]) == 2.5
    with pytest.raises(ValueError):
        stats.median([])


@pytest.mark.parametrize("count", range(1, 21))
def test_interval_rank_has_the_coverage_it_claims(count):
    """Against all 2^n ways in which n values fall below or above the median."""

    def coverage(k: int) -> float:
        # The interval misses when fewer than k values are on either side.
        below = [math.comb(count, i) for i in range(count + 1)]
        return sum(below[k:count - k + 1]) / 2**count

    rank = stats.interval_rank(count)
    if rank is None:
        assert count < 6 and coverage(1) < 0.95
    else:
        assert coverage(rank) >= 0.95
        assert rank == count // 2 or coverage(rank + 1) < 0.95


def test_interval_is_of_order_statistics():
    assert stats.median_interval(range(5)) is None
    assert stats.median_interval([5, 3, 1, 2, 4, 6]) == (1, 6)
    assert stats.median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5]) == (2, 8)


def test_interval_covers_the_median_of_skewed_values():
    rng = random.Random(1)
    hits = 0
    for _ in range(4000):
        low, high = stats.median_interval([rng.expovariate(1) for _ in range(9)])
        hits += low <= math.log(2) <= high
    assert 0.95 <= hits / 4000 <= 0.975  # Exactly 0.961 for the second of nine.


def test_ratio_is_paired_and_reciprocal():
    drift = [1.0, 1.5, 0.7, 2.0, 1.1, 0.9, 1.3]
    fast = [d * 2.0 for d in drift]
    slow = [d * 3.0 for d in drift]
    found = stats.ratio(slow, fast)
    assert found.value == pytest.approx(1.5)
    assert (found.low, found.high) == (pytest.approx(1.5), pytest.approx(1.5))
    back = stats.ratio(fast, slow)
    assert back.value == pytest.approx(1 / found.value)
    with pytest.raises(ValueError):
        stats.ratio([1.0], [1.0, 2.0])


def test_estimate_excludes_only_with_an_interval():
    assert not stats.estimate([2.0] * 5).excludes(1.0)
    assert stats.estimate([2.0] * 6).excludes(1.0)
    assert not stats.estimate([0.5, 0.6, 0.9, 1.1, 1.2, 1.3]).excludes(1.0)
    assert stats.estimate([2.0] * 6).scaled(0.5) == stats.Estimate(1.0, 1.0, 1.0, 6)


def drifting_means(order: list[str]) -> dict[str, float]:
    """Geometric means of samples that are equal but for a drift linear in log time."""
    samples: dict[str, list[float]] = {}
    for position, name in enumerate(order):
        samples.setdefault(name, []).append(math.exp(0.05 * position))
    return {name: stats.geometric_mean(values) for name, values in samples.items()}


def test_mirrored_order_cancels_linear_drift():
    order = stats.mirrored_order(["a", "b", "c"], random.Random(3))
    assert sorted(order) == list("aabbcc") and order == order[::-1]
    means = drifting_means(order)
    assert means["a"] == pytest.approx(means["b"]) == pytest.approx(means["c"])
    repeated = drifting_means(["a", "b", "c", "a", "b", "c"])
    assert repeated["a"] != pytest.approx(repeated["c"])


def test_sample_lengths():
    assert stats.iterations_for(0.004, 0.02) == 5
    assert stats.iterations_for(0.5, 0.02) == 1
    assert stats.iterations_for(0.0, 0.02) == 1
    assert stats.warm_calls(0.01) == 1
    assert stats.warm_calls(2.0) == 0


# Cells


def test_key_has_every_field_that_makes_a_difference():
    cell = Cell("flash", 128)
    changes = {"variant": "full", "seq_q": 256, "seq_k": 256, "batch": 2, "heads": 16,
               "kv_heads": 2, "dim": 32, "dim_v": 32, "causal": True, "mode": "cross",
               "threads": 2, "isa": "avx2", "params": (("rank", "8"),)}
    assert set(changes) == set(Cell.__dataclass_fields__)
    keys = {dataclasses.replace(cell, **{name: value}).key() for name, value in changes.items()}
    assert len(keys | {cell.key()}) == len(changes) + 1


def test_cell_survives_its_request():
    cell = Cell("performer", 100, heads=4, kv_heads=2, causal=True, threads=2, isa="avx2",
                params=(("features", "64"), ("kernel", "relu")))
    request = json.loads(json.dumps(cell.request()))
    assert Cell.from_request(request, "avx2") == cell
    assert (cell.seq_k, cell.dim_v) == (100, 64)


def test_parse_cell():
    assert parse_cell("flash,n=512,d=128,t=2,causal") == Cell("flash", 512, dim=128, threads=2,
                                                              causal=True)
    assert parse_cell("performer,features=64").params == (("features", "64"),)
    for wrong in ("", ",n=5", "flash,n=0", "flash,n=x", "flash,causal=", "flash,loud"):
        with pytest.raises(ValueError):
            parse_cell(wrong)


# Results


def test_store_counts_rounds_of_its_own_build(tmp_path):
    path = tmp_path / "deep" / "results.jsonl"
    old = Store(path, "old")
    old.append("round", group="g", cells={})
    new = Store(path, "new")
    assert new.rounds_done("g") == 0
    new.append("round", group="g", cells={})
    new.append("cell", group="g")
    assert new.rounds_done("g") == 1 and new.rounds_done("other") == 0
    assert Store(path, "new").rounds_done("g") == 1
    assert builds(path) == ["old", "new"]
    assert chosen_build(path, None) == "new" and chosen_build(path, "o") == "old"
    with pytest.raises(LookupError):
        chosen_build(path, "x")
    with pytest.raises(LookupError):
        chosen_build(tmp_path / "none", None)


def test_store_survives_a_line_cut_short(tmp_path):
    path = tmp_path / "results.jsonl"
    store = Store(path, "b")
    store.append("round", group="g", cells={"x": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    again = Store(path, "b")
    assert again.rounds_done("g") == 1
    again.append("round", group="g", cells={"x": 2})
    assert [record["cells"]["x"] for record in read(path)] == [1, 2]


def test_table_cells():
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| :-- | --: |\n| x\\|y | 1 |\n"
    with pytest.raises(ValueError):
        table(["a", "b"], [["only one"]])
    shown = {0.000123456: "0.000123", 0.9999: "1.00", 12.34: "12.3", 999.9: "1000", 1234.5: "1230",
             0: "0"}
    assert {value: significant(value) for value in shown} == shown
    assert binary_bytes(512) == "512 B" and binary_bytes(3 * 2**20) == "3.00 MiB"


# The sweep, on a child without a clock


class FakeChild:
    """Answers like attnbench_serve, with made-up times: `call_s` by variant."""

    pid = os.getpid()

    def __init__(self, call_s: dict[str, float], scaling: float = 1.8):
        self.call_s = call_s
        self.scaling = scaling
        self.cells: dict[str, dict] = {}
        self.asked: list[tuple[str, str]] = []
        self.check_rows: list[int] = []

    def time_of(self, cell: dict) -> float:
        factor = self.scaling if cell["threads"] == 2 else 1.0
        return self.call_s[cell["variant"]] * cell["seq_q"] / 64 / factor

    def ask(self, what: str, **fields):
        self.asked.append((what, fields.get("id", "")))
        if what == "prepare":
            if fields["variant"] not in self.call_s:
                raise Refused("unsupported", "no such form")
            self.cells[fields["id"]] = fields
            self.check_rows.append(fields["check_rows"])
            return {"ok": True, "warm_call_s": self.time_of(fields), "performed_flops": 2e9,
                    "useful_flops": 1e9, "min_bytes": 1e6, "workspace_peak_bytes": 2048}
        if what == "time":
            wall_s = self.time_of(self.cells[fields["id"]]) * fields["iterations"]
            return {"ok": True, "wall_s": wall_s, "cpu_s": wall_s}
        if what == "ceilings":
            return {"ok": True, "bandwidth": [
                {"threads": t, "level": level, "read_bytes_per_s": t * 2e9}
                for t in fields["threads"] for level in ("L1", "L2")], "compute": [
                {"threads": t, "fma_flops_per_s": t * 1e11, "exp_per_s": t * 1e9}
                for t in fields["threads"]]}
        if what == "compute":
            return {"ok": True, "fma_flops_per_s": fields["threads"] * 1e11, "exp_per_s": 1e9}
        if what == "bound":
            return {"ok": True, "bound_s": 2e9 / fields["fma_flops_per_s"], "level": "L2"}
        del self.cells[fields["id"]]
        return {"ok": True}


SETTINGS = Settings(rounds=6, visit=2, sample_s=0.1)


def small_axes(*variants: str) -> groups.Axes:
    return groups.Axes(variants=variants, lengths=(64, 128), dims=(64,), causals=(False,),
                       isas=("auto",), heads=2, decode_lengths=(256,), edge_scale=16)


def swept(path: Path, child: FakeChild, sections=("main",), deadline=None,
          settings=SETTINGS, earlier: FakeChild | None = None) -> Series:
    axes = small_axes("flash", "local", "linformer")
    sweep = Sweep({"auto": child}, Store(path, "b"), settings, lambda _: None, deadline,
                  random.Random(1), earlier={"auto": earlier} if earlier else None)
    sweep.run(groups.make(sections, axes))
    return Series(path, "b")


def test_sweep_has_every_cell_once_a_round_and_takes_turns(tmp_path):
    child = FakeChild({"flash": 0.05, "local": 0.01})
    series = swept(tmp_path / "r.jsonl", child)
    timed = [cell for what, cell in child.asked if what == "time"]
    assert len(timed) == 2 * 6 * 4  # Groups, rounds, two variants on two thread counts.
    order = ["N64x64" in cell for cell in timed]
    turns = [(short, len(list(run))) for short, run in itertools.groupby(order)]
    assert turns == [(True, 8), (False, 8)] * 3
    assert len({tuple(timed[at:at + 4]) for at in range(0, 24, 4)}) > 1, "a fixed order"
    assert not child.cells, "cases are dropped"
    flash = Cell("flash", 64, heads=2, isa="auto")
    group = "main: N=64 D=64 full"
    assert series.rounds(group) == 6
    assert series.time_s(group, flash).value == pytest.approx(0.05)
    assert series.roofline_fraction(group, flash) == pytest.approx(2e9 / 1e11 / 0.05)
    assert series.of_peak(group, flash) == pytest.approx(1e9 / 1e11 / 0.05)
    speedup, share = series.scaling(group, flash, Cell("flash", 64, heads=2, threads=2,
                                                       isa="auto"))
    assert speedup.value == pytest.approx(1.8) and share == pytest.approx(0.9)


def test_sweep_times_an_earlier_build_beside_this_one(tmp_path):
    child = FakeChild({"flash": 0.05, "local": 0.01})
    earlier = FakeChild({"flash": 0.08})
    order: list[str] = []
    for build, one in (("now", child), ("earlier", earlier)):
        def ask(what, build=build, ask=one.ask, **fields):
            if what == "time" and fields["id"].startswith("flash"):
                order.append(build)
            return ask(what, **fields)
        one.ask = ask
    series = swept(tmp_path / "r.jsonl", child, earlier=earlier)
    group, flash = "main: N=64 D=64 full", Cell("flash", 64, heads=2, isa="auto")
    assert series.over_earlier(group, flash).value == pytest.approx(0.05 / 0.08)
    local = Cell("local", 64, heads=2, isa="auto")
    assert series.time_s(group, local) and series.over_earlier(group, local) is None
    pairs = [tuple(order[at:at + 2]) for at in range(0, len(order), 2)]
    assert set(pairs) == {("now", "earlier"), ("earlier", "now")}, "side by side, either first"
    assert not earlier.cells, "cases are dropped"
    text = report.full_report(swept(tmp_path / "all.jsonl", child, ("main", "decode", "edges"),
                                    earlier=earlier))
    assert "| earlier ms T=1 | over earlier T=1 | ms T=2 |" in text
    assert "| flash | 64 | 50.0 ±0.0% | 40.0 | 0.40 | 80.0 | 0.625 [0.625, 0.625] | " in text
    row = next(line for line in text.splitlines() if line.startswith("| local | 64 |"))
    assert row.split(" | ")[5:7] == ["-", "-"]
    # One query takes 1/64 of 50 ms and of 80 ms.
    assert " | 0.781 ±0.0% | 1.28 | 0.64 | 25.60 | 1.25 | 0.625 [0.625, 0.625] | " in text
    assert ("| short sequences | auto | N=8 D=64 H=2 | 1 | 6.25 ±0.0% | 160 | 3.20 | 10.0 | "
            "0.625 [0.625, 0.625] | 8.000 [8.000, 8.000] | N=64 D=64 H=2 |") in text


def test_sweep_continues_where_it_stopped(tmp_path):
    path = tmp_path / "r.jsonl"
    swept(path, FakeChild({"flash": 0.05}), settings=Settings(rounds=2, visit=2))
    child = FakeChild({"flash": 0.05})
    series = swept(path, child, settings=Settings(rounds=3, visit=2))
    assert len([1 for what, _ in child.asked if what == "time"]) == 2 * 2
    assert series.rounds("main: N=64 D=64 full") == 3
    idle = FakeChild({"flash": 0.05})
    swept(path, idle, settings=Settings(rounds=3, visit=2))
    assert idle.asked == []


def test_sweep_stops_at_the_deadline(tmp_path):
    child = FakeChild({"flash": 0.05})
    with pytest.raises(OutOfTime):
        swept(tmp_path / "r.jsonl", child, deadline=time.monotonic() - 1)
    assert child.asked == []


def test_sweep_records_what_cannot_run(tmp_path):
    series = swept(tmp_path / "r.jsonl", FakeChild({"flash": 0.05}))
    assert set(series.refusals.values()) == {"unsupported: no such form"}
    text = report.full_report(series)
    assert "- local: unsupported: no such form" in text
    row = next(line for line in text.splitlines() if line.startswith("| local | 64 |"))
    assert set(row.split(" | ")[2:-1]) == {"-"}


def test_cells_are_checked_once_and_stored_for_every_group(tmp_path):
    child = FakeChild({"flash": 0.05, "full": 0.1})
    series = swept(tmp_path / "r.jsonl", child, ("edges",))
    planned = groups.make(["edges"], small_axes("flash"))
    for group in planned:  # Some share their base.
        assert {cell.key() for cell in group.cells} == set(series.cells[group.key]), group.key
        for cell in group.cells:
            assert series.base_of(group.key, cell) == group.base_of(cell)
    prepared = [rows for rows in child.check_rows if rows > 0]
    assert len(prepared) == sum(len(group.cells) for group in planned)
    assert len(child.check_rows) == 3 * len(prepared)  # Six rounds in visits of two.


def test_rates_fall_back_only_when_nothing_was_measured():
    place = ("auto", 2)
    before = {place: {"fma_flops_per_s": 0.0, "exp_per_s": 2.0}}
    after = {place: {"fma_flops_per_s": 0.0, "exp_per_s": 3.0}}
    otherwise = {place: {"fma_flops_per_s": 7.0, "exp_per_s": 9.0}}
    assert best_rates(before, after, otherwise) == {
        place: {"fma_flops_per_s": 7.0, "exp_per_s": 3.0}}


def test_report_tables(tmp_path):
    child = FakeChild({"flash": 0.05, "local": 0.0625, "full": 0.1})
    text = report.full_report(swept(tmp_path / "r.jsonl", child, ("main", "decode", "edges")))
    # 50 ms, 2 GFLOP performed, a bound of 20 ms; twice the bound's rate with two threads.
    assert ("| flash | 64 | 50.0 ±0.0% | 40.0 | 0.40 | 27.8 ±0.0% | 72.0 | 0.36 | 1.80 | 0.90 | "
            "2.00 KiB |") in text
    assert "| auto | full | 64 | 64 | 0.200 | - | 0.80 |" in text
    # 16 times as many queries take 16 times as long on this child, for the same FLOPs.
    assert ("| short sequences | auto | N=8 D=64 H=2 | 1 | 6.25 ±0.0% | 160 | 3.20 | "
            "8.000 [8.000, 8.000] | N=64 D=64 H=2 |") in text
    # 1 MB in 0.78 ms is 1.28 GB/s of 2 with one thread, 2.30 of 4 with two.
    assert "| auto | flash | 2 | 256 | L2 | 0.781 ±0.0% | 1.28 | 0.64 | 25.60 | " in text
    assert " | 2.30 | 0.58 | " in text


def test_sections_have_distinct_groups_and_bases():
    axes = groups.Axes(variants=("flash", "full"))
    made = groups.make(list(groups.SECTIONS), axes)
    assert len({group.key for group in made}) == len(made)
    for group in made:
        assert len({cell.key() for cell in group.cells}) == len(group.cells), group.key
    edge = [group for group in made if group.section == "edges"]
    assert all(group.base_of(cell) in group.cells for group in edge for cell in group.cells
               if cell.seq_q != group.base.seq_q)
    main = [group for group in made if group.section == "main"]
    assert len(main) == 5 * 2 * 2 and all(len(group.cells) == 2 * 2 * 2 for group in main)


def test_group_without_base_has_none():
    cell = Cell("flash", 64)
    assert Group("main", "x", (cell,)).base_of(cell) is None
    assert Group("edges", "x", (cell,), cell).base_of(cell) is None


# Peers


def test_peers_report(tmp_path):
    path = tmp_path / "p.jsonl"
    store = Store(path, "b")
    shape = Cell("flash", 512, threads=2, isa="auto")
    store.append("session", isa="avx512", machine={}, peers={"slow": {"peer": "slow 1.0"}})
    store.append("contestant", group="g", contestant="flash", problem=shape.request(), isa="auto",
                 useful_flops=1e9)
    store.append("refused", group="g", contestant="odd", error="missing", message="not there",
                 problem=shape.request(), isa="auto")
    for drift in (1.0, 2.0, 1.5, 1.2, 0.8, 0.9):
        store.append("round", group="g", noise={"others": 0.01}, samples={},
                     times={"flash": 0.01 * drift, "slow": 0.025 * drift})
    text = peers_report.report(path, "b")
    assert "| full | 64 | 512 | 2 | 90.9 | 36.4 | 2.500 [2.500, 2.500] |" in text
    assert "- odd: missing: not there" in text and "slow: slow 1.0." in text


# Two builds


def test_quad_cancels_linear_drift():
    times = [math.exp(0.1 * position) for position in range(4)]
    assert compare_builds.log_ratio("BHHB", times) == pytest.approx(0)
    assert compare_builds.log_ratio("BBHH", times) != pytest.approx(0)
    assert compare_builds.log_ratio("HBBH", [2, 1, 1, 2]) == pytest.approx(math.log(2))


def test_compare_report(tmp_path):
    path = tmp_path / "c.jsonl"
    store = Store(path, "a..b")
    group = compare_report.group_name("auto", ["y", "x"])
    assert group == compare_report.group_name("auto", ["x", "y"])
    assert group != compare_report.group_name("avx2", ["x", "y"])
    store.append("session", machine={}, group=group)
    for jitter in (-0.02, -0.01, 0.0, 0.0, 0.01, 0.02):
        store.append("round", group=group, noise={"others": 0.0}, cells={
            "faster": {"log_ratio": math.log(0.8) + jitter, "base_s": 0.01, "head_s": 0.008},
            "same": {"log_ratio": jitter, "base_s": 0.01, "head_s": 0.01},
            "absent": {"error": "usage: unknown variant"}})
    text = compare_report.report(path, "a..b")
    assert "| faster | 10.0 | 8.00 | 0.800 [0.784, 0.816] | faster |" in text
    assert "| same | 10.0 | 10.0 | 1.000 [0.980, 1.020] |  |" in text
    assert "- absent: usage: unknown variant" in text
    with pytest.raises(LookupError):
        compare_report.report(path, "a..c")
