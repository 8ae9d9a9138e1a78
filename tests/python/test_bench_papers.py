"""bench/papers.py: tables from made-up runs, and one part end to end with a tiny budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import papers  # noqa: E402
from benchlib import papers_report as report  # noqa: E402
from benchlib.papers_report import Row  # noqa: E402


def row(variant, seq, time_s, *, causal=False, error=None, mean_v=None, workspace=1024, kv=8,
        name="gaussian", **params):
    return Row(variant, {k: str(v) for k, v in params.items()}, seq, 1, causal, name, kv, time_s,
               workspace, error, mean_v)


def cells(text, first):
    """The cells of the first table row that starts with `first`."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_growth_exponent():
    assert report.growth_exponent([(n, 3 * n**1.5) for n in (64, 128, 512)]) == pytest.approx(1.5)
    assert report.growth_exponent([(1, 4), (4, 2)]) == pytest.approx(-0.5)
    with pytest.raises(ValueError):
        report.growth_exponent([(8, 1), (8, 2)])


def test_flashattention_shows_growth_memory_and_the_papers_figures():
    rows = [row("full", n, 4e-9 * n * n, workspace=4 * n * n) for n in (512, 1024, 2048)]
    rows += [row("flash", n, 2e-9 * n * n) for n in (512, 1024, 2048)]
    text = report.flashattention(rows)
    assert cells(text, "full")[1] == "4.19 (x4.0)"
    assert cells(text, "full")[2] == "16.8", "the longest length has no growth"
    assert cells(text, "paper: PyTorch") == ["", "1.27 (x3.4)", "4.32 (x3.8)"]
    assert cells(text, "here") == ["2.00"] * 3
    assert cells(text, "paper")[1] == "1.87"
    assert "16.0 MiB" in text
    assert cells(text, "linformer, rank 256") == ["", "", ""], "not measured is not zero"


def test_causal_is_time_without_over_time_with_the_mask():
    rows = [row("flash", 1024, 1.9e-3), row("flash", 1024, 1e-3, causal=True),
            row("full", 1024, 2e-3)]
    text = report.causal(rows)
    assert cells(text, "flash") == ["1.90"]
    assert cells(text, "full") == [""]
    assert cells(text, "bound of 64 x 64 tiles, 2T/(T+1)") == ["1.88"]


def test_linformer_ratios_stand_beside_the_papers():
    rows = [row("full", 512, 3e-3), row("flash", 512, 2e-3), row("linformer", 512, 1e-3, rank=128)]
    text = report.linformer(rows)
    assert cells(text, "full / linformer, k = 128") == ["3.00 (1.5)"]
    assert cells(text, "flash / linformer, k = 128") == ["2.00"]


def test_sparse_slopes():
    rows = [row("sparse", n, 1e-8 * n**1.5, causal=True, pattern="strided") for n in (1024, 4096)]
    assert cells(report.sparse_transformer(rows), "sparse, strided")[-2:] == ["1.50", "1.5"]


def test_decode_is_relative_to_all_heads():
    rows = [row("flash", 4096, t, kv=kv) for kv, t in ((8, 4e-3), (1, 1e-3))]
    text = report.decode(rows)
    assert cells(text, "1") == ["1.00 (0.25)", "0.125"]


def test_performer_takes_medians_over_draws_and_their_slope():
    rows = [row("performer", 1024, 1, error=e * 8 / m**0.5, mean_v=0.5, name="peaked=0.09",
                features=m, orthogonal="true")
            for m in (64, 256, 1024) for e in (0.9, 1.0, 40.0)]
    text = report.performer(rows)
    assert "median of 3 draws" in text
    assert cells(text, "0.30, orthogonal") == ["1.0", "0.50", "0.25", "-0.50", "0.50"]
    assert cells(text, "0.30, independent")[:4] == ["", "", "", ""]


def test_every_part_has_a_configuration_and_a_section():
    names = {path.stem for path in (BENCH.parent / "configs" / "papers").glob("*.toml")}
    assert {part.name for part in papers.PARTS} == names == set(report.SECTIONS)


def test_a_part_runs_continues_and_is_summarised(attnbench, tmp_path):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, str(BENCH / "papers.py"), "--out", str(tmp_path), "--binary",
             str(attnbench), "--only", "decode", *arguments],
            text=True, capture_output=True, timeout=120, check=True)

    assert call("--list").stdout == "decode: 0 of 1 runs, timed\n"
    call("--flags", "--seq 256 --budget 10m --max-samples 2 --dim 16 --threads 1 --cache hot")
    assert call("--list").stdout == "decode: 1 of 1 runs, timed\n"
    assert "attnbench" not in call().stderr, "a finished part is not run again"
    summary = call("--summary").stdout
    assert [len(cells(summary, heads)) for heads in "8421"] == [2] * 4
    wrong = subprocess.run([sys.executable, str(BENCH / "papers.py"), "--only", "nothing"],
                           text=True, capture_output=True, timeout=60, check=False)
    assert wrong.returncode == 2 and "accepted: flashattention" in wrong.stderr
