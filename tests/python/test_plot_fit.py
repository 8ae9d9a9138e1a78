"""The figures that rest on the fit: they show its figures, and say when they cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from plot import crossovers, laws, parameters, pareto, problems, roofline  # noqa: E402
from plot.charts import CHARTS  # noqa: E402
from plot.data import load_run  # noqa: E402
from plot.style import figure_style, pyplot  # noqa: E402
from plot_run import grid, manifest, row, with_work, write_run  # noqa: E402


@pytest.fixture(scope="module")
def analysed(attnbench, tmp_path_factory):
    """A run with its fit.json: six variants, five lengths over a factor of 16, two threads."""
    path = write_run(tmp_path_factory.mktemp("fit") / "run", with_work(grid()), manifest())
    subprocess.run([str(attnbench), "fit", str(path)], check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def run_and_group(analysed):
    run = load_run(analysed)
    (group,) = problems.split_problems(run)
    return run, group


def drawn(name, run, group):
    with figure_style():
        figure = CHARTS[name](group, run)
        if not isinstance(figure, str):
            figure.canvas.draw()
            pyplot.close(figure)
    return figure


def texts(figure) -> list[str]:
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]


def test_the_fit_of_a_line_is_found(run_and_group):
    run, group = run_and_group
    raw = json.loads((run.path / "fit.json").read_text())["series"]
    assert len(run.fit.series) == len(raw) == 12
    for series in group.series:
        found = run.fit.of(group, series, 2)
        assert (found.variant, found.threads) == (series.variant, 2)
        expected = next(e for e in raw if e["variant"] == series.variant and e["threads"] == 2)
        assert found.time.curve.exponent == expected["time"]["exponent"]
        assert found.time.at_low.exponent == pytest.approx(found.time.ci_low, abs=1e-4)
    assert run.fit.of(group, group.series[0], 3) is None
    group_of_another = problems.ProblemGroup("", "", "seq_q", group.series,
                                             {**group.facts, "causal": True})
    assert run.fit.of(group_of_another, group.series[0], 2) is None


def test_growth_draws_the_fitted_curve_and_its_band(run_and_group):
    run, group = run_and_group
    figure = drawn("growth", run, group)
    assert len(figure.axes) == len(group.series)
    for axis, series in zip(figure.axes, group.series):
        growth = run.fit.of(group, series, 1).time
        curves = [line for line in axis.lines if len(line.get_xdata()) == laws.CURVE_POINTS]
        assert len(curves) == 2  # One and two threads.
        for x, y in zip(curves[0].get_xdata(), curves[0].get_ydata()):
            assert y == pytest.approx(growth.curve.at(x))
        band = axis.collections[0].get_paths()[0].vertices
        for end in (growth.at_low, growth.at_high):
            assert any(y == pytest.approx(end.at(4096), rel=1e-6)
                       for x, y in band if x == pytest.approx(4096)) or \
                growth.ci_low < growth.curve.exponent < growth.ci_high
        words = " ".join(texts(axis))
        assert f"T=1: p = {growth.curve.exponent:.2f} [" in words and series.label in words


def test_verdicts_are_words():
    def growth(verdict, declared="N"):
        return laws.Growth(None, None, None, None, None, "N", 1.0, declared, verdict, "", 1, 2, [],
                           [])
    assert [laws.verdict_text(growth(v)) for v in ("agrees", "faster", "slower", "undetermined")] \
        == [", as N", ", less than N", ", more than N", ", N?"]
    assert laws.verdict_text(growth("undetermined", "")) == ""


def test_exponents_have_a_cell_for_each_step(run_and_group):
    run, group = run_and_group
    figure = drawn("exponents", run, group)
    assert len(figure.axes) == 2
    for axis, threads in zip(figure.axes, (1, 2)):
        words = [t.get_text() for t in axis.texts]
        for series in group.series:
            for local in run.fit.of(group, series, threads).time.local:
                assert any(w.startswith(f"{local.exponent:.2f} ±") for w in words)
        assert len(axis.patches) == 6 * 4


def test_crossovers_are_marked_with_their_interval(run_and_group):
    run, group = run_and_group
    pairs = crossovers.pairs_of(group, run, 1)
    assert len(pairs) == 15
    sure = [p for p in pairs if p.crosses and p.sure]
    assert sure
    axis = drawn("crossovers", run, group).axes[0]
    for pair in sure:
        assert any(list(line.get_xdata()) == [pair.found.seq] for line in axis.lines)
        assert any(list(line.get_xdata()) == [pair.found.ci_low, pair.found.ci_high]
                   for line in axis.lines)
    # And on the chart of times, when they are few.
    few, complete = crossovers.few_sure(pairs)
    time = drawn("time", run, group)
    rings = [line for line in time.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert len(rings) == len(few) and complete == (len(few) == len(sure))
    assert crossovers.few_sure(pairs, most=0) == ([], False)


def test_chosen_crossovers_put_crossings_of_exact_variants_first(run_and_group):
    run, group = run_and_group
    pairs = crossovers.pairs_of(group, run, 1)
    against = [p for p in pairs if p.crosses and p.sure and p.against_exact]
    kept = crossovers.chosen(pairs, len(against))
    assert {(p.found.a, p.found.b) for p in kept} == {(p.found.a, p.found.b) for p in against}
    lengths = [p.found.seq for p in crossovers.chosen(pairs) if p.crosses]
    assert lengths == sorted(lengths)


def test_the_front_is_that_of_the_fit(run_and_group):
    run, group = run_and_group
    front = {variant for variant, _ in pareto.front_of(group, run, 4096, 1)}
    expected = {p.variant for g in run.fit.pareto if (g.seq, g.threads) == (4096, 1)
                for p in g.points if p.on_dense_front}
    assert front == expected and front
    assert not front & {"local", "sparse"}  # Under masks of their own.
    assert "front: not beaten in both" in texts(drawn("pareto", run, group))


def test_roofline_places_and_roofs(run_and_group):
    run, group = run_and_group
    figure = drawn("roofline", run, group)
    words = texts(figure)
    assert "104 GFLOP/s" in words and "memory 11 GB/s" in words
    for place in roofline.places(group.series[0], 1):
        cell = group.series[0].cells[(place.length, 1)]
        assert place.gflops == cell.figure("gflops_performed")
        assert place.intensity == pytest.approx(place.length / 4)
    bare = load_run(write_run(run.path.parent / "bare", grid((256, 512), (1,))))
    (plain,) = problems.split_problems(bare)
    assert "no row has performed_flops" in drawn("roofline", bare, plain)


def test_efficiency_is_speedup_per_thread(run_and_group):
    run, group = run_and_group
    axis = drawn("efficiency", run, group).axes[-1]
    flash = next(s for s in group.series if s.label == "flash")
    one, two = (flash.cells[(4096, t)].figure("time_median_s") for t in (1, 2))
    assert any(list(line.get_ydata()) == pytest.approx([100, 50 * one / two])
               for line in axis.lines if len(line.get_ydata()) == 2)


def swept(lengths=(512, 1024)):
    rows = []
    for n in lengths:
        for features in (32, 64, 128):
            rows.append(row("performer", n, 1, params=f"features={features};kernel=softmax",
                            error_rel_l2=5 / features**0.5))
        rows += [row("local", n, 1, params=f"left={w}") for w in (16, 32)]
        rows += [row("linformer", n, 1, params=f"rank={k}", error_rel_l2=1e-7 if k == n else 0.5)
                 for k in (64, n)]
    return rows


def test_parameters_are_swept_numbers_of_what_is_not_exact(tmp_path):
    run = load_run(write_run(tmp_path / "run", swept(), manifest()))
    (group,) = problems.split_problems(run)
    panels = parameters.panels_of(group)
    assert [(p.variant, p.parameter) for p in panels] == [
        ("performer", "features"), ("linformer", "rank"), ("local", "left")]
    assert [panel.own_mask for panel in panels] == [False, False, True]
    assert [line.label for line in panels[0].lines] == ["N=512", "N=1024"]
    assert panels[0].lines[0].points == [(m, 5 / m**0.5) for m in (32.0, 64.0, 128.0)]
    figure = drawn("parameters", run, group)
    assert "exact, up to float32 rounding" in texts(figure.axes[1])
    assert "exact, up to float32 rounding" not in texts(figure.axes[0])
    assert "exact, up to float32 rounding" in texts(figure.axes[2])
    assert "local: left, under its mask" in texts(figure)
    assert "about the keys left out" in " ".join(" ".join(texts(figure)).split())
    approximate = [each for each in swept() if each["variant"] != "local"]
    run = load_run(write_run(tmp_path / "without", approximate, manifest()))
    (group,) = problems.split_problems(run)
    words = " ".join(texts(drawn("parameters", run, group))).split()
    assert "the keys left out" not in " ".join(words) and "linformer: rank" in " ".join(words)


def test_charts_are_left_out_with_a_reason(tmp_path, attnbench):
    path = write_run(tmp_path / "run", with_work(grid((1024,), (1,))), manifest())
    done = subprocess.run([str(attnbench), "plot", str(path), "--formats", "svg", "--charts",
                           "growth,exponents,crossovers,efficiency,parameters,pareto"],
                          capture_output=True, text=True, timeout=120, check=False,
                          env={"ATTNBENCH_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    for reason in ("growth: no series was measured at two lengths",
                   "exponents: no series was measured at two lengths",
                   "crossovers: no two series have two lengths in common",
                   "efficiency: only one thread count was run",
                   "parameters: no approximate or masked variant"):
        assert f"not drawn: {reason}" in done.stderr
    assert done.stdout.split() == [str(path / "pareto.svg")]
    assert (path / "fit.json").is_file() and (path / "fit.csv").is_file()


@pytest.mark.parametrize("content, expected", [
    ("{", "fit.json: not used: "),
    ("[]", "fit.json: not used: "),
    ('{"series": [{}], "crossovers": [], "scaling": [], "pareto": []}', "no key"),
    ('{"series": [], "crossovers": [{"a": 3}], "scaling": [], "pareto": []}', "expected a text"),
])
def test_an_unusable_fit_is_a_warning(tmp_path, content, expected):
    path = write_run(tmp_path / "run", grid((256, 512), (1,)), samples=False)
    (path / "fit.json").write_text(content, encoding="utf-8")
    run = load_run(path)
    assert run.fit is None and any(expected in warning for warning in run.warnings)
    (group,) = problems.split_problems(run)
    assert "no usable fit.json" in drawn("growth", run, group)


def test_forty_variants_keep_their_labels_apart(tmp_path, attnbench):
    rows = [{**row("flash", n, 1), "variant": f"variant-{i}", "case_id": f"{i}-{n}",
             "time_median_s": 1e-4 * (n / 256) ** (1 + i / 40),
             "time_ci_low_s": 0.99e-4 * (n / 256) ** (1 + i / 40),
             "time_ci_high_s": 1.01e-4 * (n / 256) ** (1 + i / 40)}
            for i in range(40) for n in (256, 1024)]
    path = write_run(tmp_path / "run", with_work(rows), manifest((1,)), samples=False)
    subprocess.run([str(attnbench), "fit", str(path)], check=True, capture_output=True, timeout=60)
    run = load_run(path)
    (group,) = problems.split_problems(run)
    for name in ("exponents", "crossovers", "roofline"):
        with figure_style():
            figure = CHARTS[name](group, run)
            figure.canvas.draw()
            renderer = figure.canvas.get_renderer()
            boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts
                     if "variant-" in t.get_text()]
            assert len(boxes) >= 30
            for i, box in enumerate(boxes):
                assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
                assert not any(box.overlaps(other) for other in boxes[:i]), name
            pyplot.close(figure)
