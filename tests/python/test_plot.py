"""The figures of a run: what is drawn, what is said of cells without a time, and bad input."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from plot import problems, speedup, table, unmeasured  # noqa: E402
from plot.__main__ import main  # noqa: E402
from plot.charts import CHARTS  # noqa: E402
from plot.data import RunError, load_run  # noqa: E402
from plot.growth import draw_time, draw_workspace  # noqa: E402
from plot.pareto import points_at  # noqa: E402
from plot.style import figure_style, series_style  # noqa: E402
from plot_run import COLUMNS, grid, manifest, row, with_work, write_run  # noqa: E402


def texts(figure) -> list[str]:
    """All words of a figure, axis by axis and around them."""
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]


def draw(function, path):
    run = load_run(path)
    with figure_style():
        groups = problems.split_problems(run)
        assert len(groups) == 1
        figure = function(groups[0], run)
        if not isinstance(figure, str):
            figure.canvas.draw()
        return figure


@pytest.fixture
def run_dir(tmp_path):
    return write_run(tmp_path / "run", with_work(grid()), manifest())


FEW = ("--charts", "time,speedup,roofline")  # Where it is not about the figures.
WITHOUT_FIT = {"time", "workspace", "speedup", "efficiency", "roofline", "share", "pareto"}


def test_every_chart_is_written_that_needs_no_fit(run_dir, capsys):
    assert main([str(run_dir)]) == 0
    for name in WITHOUT_FIT:
        assert (run_dir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (run_dir / f"{name}.svg").read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert sorted(said.out.splitlines()) == sorted(
        str(run_dir / f"{n}.{e}") for n in WITHOUT_FIT for e in ("png", "svg"))
    left_out = {line.split(": ")[2] for line in said.err.splitlines() if "not drawn: " in line}
    assert left_out == set(CHARTS) - WITHOUT_FIT
    assert "growth: there is no usable fit.json" in said.err
    assert not list(run_dir.glob(".*"))


def test_out_and_formats(run_dir, tmp_path):
    assert main([str(run_dir), "--out", str(tmp_path / "a" / "b"), "--formats", "svg",
                 "--charts", "time,pareto"]) == 0
    assert {p.name for p in (tmp_path / "a" / "b").iterdir()} == {"time.svg", "pareto.svg"}
    assert main([str(run_dir), "--charts", "time,lime"]) == 2
    with pytest.raises(SystemExit) as error:
        main([str(run_dir), "--formats", "gif"])
    assert error.value.code == 2


def test_same_run_gives_the_same_bytes(run_dir, tmp_path):
    digests = []
    for name in ("first", "second"):
        out = tmp_path / name
        # Fresh processes: nothing may depend on hash seeds or on what was drawn before.
        subprocess.run([sys.executable, "-m", "plot", str(run_dir), "--out", str(out)], cwd=ROOT,
                       check=True, capture_output=True,
                       env={**os.environ, "PYTHONHASHSEED": str(len(digests))})
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest()
                        for p in out.iterdir()})
    assert digests[0] == digests[1]
    other = write_run(tmp_path / "other", grid(lengths=(128, 256, 512)), manifest())
    main([str(other), "--formats", "svg", *FEW])
    digest = hashlib.sha256((other / "time.svg").read_bytes()).hexdigest()
    assert digest != digests[0]["time.svg"]


def test_time_names_problem_machine_and_run(run_dir):
    figure = draw(draw_time, run_dir)
    words = "\n".join(texts(figure))
    for expected in ("self attention", "B=1, H=4, D=64", "gaussian input", "AMD EPYC 7R13",
                     "avx512", "1, 2 threads of 2 CPUs", "2025-06-11", "20250611T101500-7f3a",
                     "attnbench 0.1.0 (0f3a2bc)", "∝ N²", "∝ N", "1 thread", "2 threads",
                     "Doubtful: the load average was 5.1 on 2 CPUs.", "sequence length N", "time of one call (median)"):
        assert expected in words
    for axis in figure.axes:
        labels = [t.get_text() for t in axis.texts]
        for variant in ("full", "flash", "local", "sparse", "linformer", "performer"):
            assert labels.count(variant) == 1
        assert [t.get_text() for t in axis.get_xticklabels()] == [
            "256", "512", "1024", "2048", "4096"]


def test_time_lines_hold_the_medians(run_dir):
    run = load_run(run_dir)
    figure = draw(draw_time, run_dir)
    for axis, threads in zip(figure.axes, (1, 2)):
        for variant in ("full", "performer"):
            expected = [r.figure("time_median_s") for r in run.rows
                        if r.text["variant"] == variant and r.sizes["threads"] == threads]
            assert any(list(line.get_ydata()) == expected for line in axis.lines)
        assert any(len(band.get_paths()[0].vertices) > 10 for band in axis.collections)


@pytest.mark.parametrize("sweep", [(64, 96, 128, 192, 256, 384, 512), tuple(range(64, 90))])
def test_labels_stay_apart_and_inside(tmp_path, sweep):
    rows = []
    for features in sweep:
        rows += [row("performer", n, 1, params=f"features={features};kernel=softmax")
                 for n in (256, 512)]
    rows += grid(lengths=(256, 512), threads=(1,))
    figure = draw(draw_time, write_run(tmp_path / "run", rows, manifest()))
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts
             if not t.get_text().startswith("∝")]
    assert len(boxes) == len(sweep) + 6
    page = figure.bbox
    for i, box in enumerate(boxes):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_unmeasured_cells_are_marked_and_listed(tmp_path):
    rows = grid(threads=(1,))
    for cells in rows:
        if cells["variant"] == "full" and cells["seq_q"] == 4096:
            cells.update(row("full", 4096, 1, status="skipped", reason="needs 9 GiB, 4 are free"))
        if cells["variant"] == "sparse" and cells["seq_q"] == 2048:
            cells.update(row("sparse", 2048, 1, status="failed", reason="error 0.2 > 1e-5"))
        if cells["variant"] == "local" and cells["seq_q"] == 256:
            cells.update(row("local", 256, 1, status="timeout", reason="slower than 60 s"))
        if cells["variant"] == "flash" and cells["seq_q"] == 512:
            cells.update(row("flash", 512, 1, status="out-of-memory", reason="bad alloc"))
    path = write_run(tmp_path / "run", rows, manifest())
    figure = draw(draw_time, path)
    marks = {t.get_text(): t.get_position()[0] for t in figure.axes[0].texts
             if t.get_text() in ("S", "F", "T", "M")}
    assert marks == {"S": 4096, "F": 2048, "T": 256, "M": 512}
    words = "\n".join(texts(figure))
    assert "skipped: full at N = 4096: needs 9 GiB, 4 are free" in words
    assert "failed: sparse at N = 2048: error 0.2 > 1e-5" in words
    assert "26 of 30 cells measured" in words
    assert main([str(path), "--formats", "png", *FEW]) == 0


def test_all_measured_has_no_strip(run_dir):
    group = problems.split_problems(load_run(run_dir))[0]
    assert unmeasured.notes(group) == [] and unmeasured.unmeasured_series(group) == []


def test_no_workspace_is_shown_as_none_and_models_hollow(tmp_path):
    rows = grid(threads=(1,), variants=("full", "local"))
    rows[-2] = row("full", 4096, 1, status="skipped", reason="too big",
                   workspace_model_bytes=4 * 4096**2)
    figure = draw(draw_workspace, write_run(tmp_path / "run", rows, manifest()))
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == "none" and any(label.endswith("MiB") for label in labels)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[4096]]


def test_problems_get_their_own_files(tmp_path):
    rows = grid(lengths=(256, 512)) + grid(lengths=(256, 512), causal="true")
    rows += grid(lengths=(256, 512), dim_qk=128, dim_v=128)
    path = write_run(tmp_path / "run", rows, manifest())
    assert main([str(path), "--formats", "png", *FEW]) == 0
    assert {p.name for p in path.glob("time*.png")} == {
        "time_dim-64_causal-off.png", "time_dim-64_causal-on.png", "time_dim-128_causal-off.png"}


def test_cross_and_decode_choose_the_length_that_grows(tmp_path):
    rows = [row("flash", 64, 1, mode="cross", seq_q=q, seq_k=k)
            for q in (64, 128) for k in (256, 512, 1024)]
    groups = problems.split_problems(load_run(write_run(tmp_path / "cross", rows)))
    assert [(g.length_name, g.lengths, g.slug) for g in groups] == [
        ("seq_k", [256, 512, 1024], "seq-q-64"), ("seq_k", [256, 512, 1024], "seq-q-128")]
    rows = [row("flash", 64, 1, mode="decode", seq_q=1, seq_k=k) for k in (256, 512)]
    (group,) = problems.split_problems(load_run(write_run(tmp_path / "decode", rows)))
    assert (group.length_name, group.lengths, group.slug) == ("seq_k", [256, 512], "")
    assert "Nq=1" in group.title


def test_series_are_told_apart_by_what_varies(tmp_path):
    rows = [row("performer", 256, 1, params=f"features={m};kernel={k}")
            for m in (64, 128) for k in ("relu", "softmax")] + [row("local", 256, 1)]
    (group,) = problems.split_problems(load_run(write_run(tmp_path / "run", rows)))
    assert [s.label for s in group.series] == [
        "performer features=64 kernel=relu", "performer features=64 kernel=softmax",
        "performer features=128 kernel=relu", "performer features=128 kernel=softmax", "local"]
    styles = [series_style(i) for i in range(32)]
    assert len({(s.color, s.marker, str(s.dashes)) for s in styles}) == 32


def test_speedup_is_against_one_thread(tmp_path):
    rows = [row("flash", 256, 1, time_median_s=8.0, time_ci_low_s=7.0, time_ci_high_s=9.0),
            row("flash", 256, 4, time_median_s=2.5, time_ci_low_s=2.0, time_ci_high_s=3.0),
            row("full", 256, 1, status="failed", reason="x"), row("full", 256, 4)]
    path = write_run(tmp_path / "run", rows, manifest((1, 4)))
    (group,) = problems.split_problems(load_run(path))
    flash, full = group.series
    assert speedup.speedups(flash, 256, [1, 4]) == [(1, 1.0, 1.0, 1.0), (4, 3.2, 7 / 3, 4.5)]
    assert speedup.speedups(full, 256, [1, 4]) == []
    words = texts(draw(speedup.draw_speedup, path))
    assert "ideal: T times" in words and "this machine's arithmetic peak" in words


def test_speedup_needs_two_thread_counts(tmp_path, capsys):
    path = write_run(tmp_path / "run", grid(threads=(1,)), manifest())
    (path / "speedup.png").write_bytes(b"of an earlier run")
    assert main([str(path), "--formats", "png"]) == 0
    assert "not drawn: speedup: only one thread count was run" in capsys.readouterr().err
    assert not (path / "speedup.png").exists()
    assert isinstance(draw(speedup.draw_speedup,
                           write_run(tmp_path / "two", grid(threads=(2, 4)))), str)


def test_error_chart_separates_exact_from_approximate(tmp_path):
    rows = grid(lengths=(256, 4096), threads=(1,))
    rows.append({**row("full", 4096, 1), "variant": "hyena", "exactness": "different",
                 "error_rel_l2": "", "error_mean_v": ""})
    path = write_run(tmp_path / "run", rows, manifest())
    (group,) = problems.split_problems(load_run(path))
    exact = {p.series.label: p.exact for p in points_at(group, 4096, 1)}
    assert exact == {"full": True, "flash": True, "local": True, "sparse": True,
                     "linformer": False, "performer": False}
    words = "\n".join(texts(draw(CHARTS["pareto"], path)))
    assert "Error against time at N = 4096" in words and "mean(V)" in words
    assert "no error against softmax attention is recorded: hyena" in words


def test_one_point_run_is_drawn(tmp_path, capsys):
    path = write_run(tmp_path / "run", [row("flash", 1024, 1)], samples=False)
    assert main([str(path), "--formats", "png"]) == 0
    assert {p.stem for p in path.glob("*.png")} == {"time", "workspace", "share", "pareto"}
    assert "manifest.json: not there" in capsys.readouterr().err


def write_summary(path, header, *lines):
    path.mkdir(parents=True, exist_ok=True)
    (path / "summary.csv").write_bytes(b"\r\n".join([header, *lines, b""]))
    return path


HEADER = ",".join(COLUMNS).encode()


def cells_of(**changes) -> bytes:
    return ",".join(map(str, {**row("flash", 256, 1), **changes}.values())).encode()


@pytest.mark.parametrize("lines, expected", [
    ([b""], "the file is empty"),
    ([HEADER], "a header and no rows"),
    ([b"a,b,c", b"1,2,3"], "no column schema_version"),
    ([HEADER, b"1,2,3"], "summary.csv:2: 3 cells where the header has 59"),
    ([HEADER, cells_of(schema_version=2)], "schema_version is '2'"),
    ([HEADER, cells_of(status="great")], "accepted: ok, skipped, failed"),
    ([HEADER, cells_of(status="failed", reason="bad")], "none of its 1 rows is ok (1 failed)"),
    ([HEADER, cells_of(seq_q="many")], "seq_q is 'many'; expected a whole number above 0"),
    ([HEADER, cells_of(seq_q="٣")], "expected a whole number above 0"),
    ([HEADER, cells_of(threads=-1)], "threads is '-1'"),
    ([HEADER, cells_of(causal="maybe")], "causal is 'maybe'; accepted: true, false"),
    ([HEADER, cells_of(time_median_s="nan")], "time_median_s is 'nan'"),
    ([HEADER, cells_of(time_median_s="0")], "an ok row needs a time_median_s above 0"),
    ([HEADER, cells_of(time_median_s="")], "an ok row needs a time_median_s above 0"),
    ([HEADER, cells_of(time_ci_low_s="-1")], "time_ci_low_s is '-1'"),
    ([HEADER, cells_of(time_ci_low_s="1e-300")], "time_ci_low_s is '1e-300'"),
    ([HEADER, cells_of(workspace_peak_bytes="inf")], "workspace_peak_bytes is 'inf'"),
    ([HEADER, cells_of(variant="")], "the variant is empty"),
    ([HEADER, b"\xff\xfe" + cells_of()], "not UTF-8 text"),
    ([HEADER, b'"' + cells_of()], "not a CSV file"),
])
def test_hostile_summaries_are_refused_in_words(tmp_path, capsys, lines, expected):
    path = write_summary(tmp_path / "run", *lines)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert expected in error and "Traceback" not in error
    assert not list(path.glob("*.png"))


@pytest.mark.parametrize("changes", [
    {"variant": "$\\frac{$", "reason": "$x_$"},
    {"variant": "x" * 300, "params": "a=" + "b" * 300},
    {"variant": "漢字\x07", "params": "=;=;;"},
    {"run_id": "../../escape", "input": "file:/a/b c.npy"},
    {"seq_q": 10**17, "seq_k": 10**17},
    {"time_median_s": 1e-29, "time_ci_low_s": 0, "time_ci_high_s": 1e29},
    {"error_rel_l2": "inf", "error_mean_v": "inf"},
    {"roofline_fraction": 1e9},
])
def test_odd_but_valid_rows_are_drawn_inside_the_directory(tmp_path, changes):
    path = tmp_path / "deep" / "run"
    odd = [{**row("flash", 1024, threads), **changes} for threads in (1, 2)]
    write_run(path, grid(lengths=(256, 512)) + odd, manifest())
    assert main([str(path), "--formats", "png"]) == 0
    assert list(path.glob("time*.png"))
    assert {p.name for p in tmp_path.iterdir()} == {"deep"}


def test_missing_directories_and_bad_manifests(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such directory" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "no summary.csv" in capsys.readouterr().err
    path = write_run(tmp_path / "run", grid(lengths=(256, 512)))
    for text in ("{", "[]", '{"machine": 3, "ceilings": {"fma_gflops": [1, {"threads": 1}]}}',
                 '{"machine": {"cpu_model": 5, "cores": true}, "ceilings": {"bandwidth_gbs": 1}}'):
        (path / "manifest.json").write_text(text, encoding="utf-8")
        (path / "samples.csv").write_text("case_id,oops\n", encoding="utf-8")
        assert main([str(path), "--formats", "png", *FEW]) == 0
        assert "samples.csv: not used" in capsys.readouterr().err


def test_manifest_figures_are_read_in_both_forms(tmp_path):
    document = manifest((1, 2))
    path = write_run(tmp_path / "run", grid(), document)
    first = load_run(path).manifest
    document["ceilings"]["fma_gflops"] = [
        {"threads": t, "fma_gflops": v} for t, v in first.fma_gflops.items()]
    (path / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    second = load_run(path).manifest
    assert first.fma_gflops == second.fma_gflops and set(first.memory_gbs) == {1, 2}


def test_load_run_raises_a_named_error(tmp_path):
    with pytest.raises(RunError):
        load_run(tmp_path / "nowhere")


def test_table_gives_medians_growth_and_status(tmp_path, capsys):
    rows = [row("flash", 256, 1, time_median_s=0.001), row("flash", 512, 1, time_median_s=0.0041),
            row("full", 256, 1, time_median_s=2.0), row("full", 512, 1, status="failed")]
    assert table.main([str(write_run(tmp_path / "run", rows))]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[c.strip() for c in line if c.strip()] for line in lines]
    assert cells[1:] == [["variant", "N=256", "N=512", "x2 N", "error"],
                         ["flash", "1 ms", "4.1 ms", "x4.1", "2.0e-07"],
                         ["full", "2 s", "failed", "3.0e-07"]]
    assert table.main([str(tmp_path / "nowhere")]) == 2
