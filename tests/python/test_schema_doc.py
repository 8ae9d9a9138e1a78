"""docs/csv_schema.md against the agreed columns, the files that a run writes, and their readers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = (REPOSITORY / "docs" / "csv_schema.md").read_text(encoding="utf-8")

SUMMARY = (
    "schema_version,run_id,case_id,variant,family,exactness,params,mode,pass,dtype,layout,isa,"
    "input,mask,position,cache,"
    "batch,heads_q,heads_kv,seq_q,seq_k,dim_qk,dim_v,causal,threads,"
    "status,reason,stop_reason,samples,time_median_s,time_ci_low_s,time_ci_high_s,time_min_s,"
    "time_mad_s,cpu_time_median_s,thread_census,"
    "useful_flops,performed_flops,exp_count,min_bytes,traffic_bytes,gflops_useful,"
    "gflops_performed,roofline_bound_s,roofline_fraction,"
    "workspace_model_bytes,workspace_peak_bytes,time_law,workspace_law,"
    "definition_rel_l2,error_rel_l2,error_max_abs,error_mean_v,error_reference,"
    "cycles,instructions,cache_misses,seed,repro").split(",")
SAMPLES = "case_id,round,order,inner_iterations,time_s,cpu_time_s,start_s".split(",")
MANIFEST = ("schema_version run_id started_at finished_at complete command config seed tool "
            "libraries machine ceilings noise timing warnings fingerprint").split()
# Objects whose keys are data: names of libraries and of figures.
OPEN_KEYS = ("libraries", "noise", "timing")


def table(heading: str, text: str = DOCUMENT) -> list[list[str]]:
    """Rows of the first table below a heading, without its head."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)
    body = next((part for part in section if part.startswith(heading + "\n")), "")
    lines = re.findall(r"^\|.*\|$", body, flags=re.MULTILINE)
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    width = len(rows[0]) if rows else 0
    return [row for row in rows[2:] if len(row) == width]


def names(heading: str) -> list[str]:
    return [row[1].strip("`") for row in table(heading)]


def manifest_keys() -> set[str]:
    return {row[0].strip("`") for row in table("manifest.json")}


def leaves(value: object, path: str = "") -> set[str]:
    """Key paths of a JSON document, as the page writes them: machine.caches[].level."""
    if isinstance(value, dict) and path not in OPEN_KEYS:
        return set().union(*(leaves(v, f"{path}.{k}" if path else k) for k, v in value.items()))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return set().union(*(leaves(v, path + "[]") for v in value))
    return {path}


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream, strict=True))


def test_columns_are_those_agreed_on():
    assert names("summary.csv") == SUMMARY
    assert names("samples.csv") == SAMPLES


def test_rows_are_numbered_and_complete():
    for heading in ("summary.csv", "samples.csv"):
        rows = table(heading)
        assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
        assert all(row[4].endswith(".") for row in rows), "a definition is missing"


@pytest.mark.parametrize("suffix, unit", [("_s", "s"), ("_bytes", "bytes"), ("_flops", "FLOP")])
def test_names_carry_their_units(suffix, unit):
    for heading in ("summary.csv", "samples.csv"):
        for row in table(heading):
            name = row[1].strip("`")
            assert name.endswith(suffix) == (row[3] == unit), name


def test_manifest_page_has_the_agreed_keys():
    assert {key.split(".")[0] for key in manifest_keys()} == set(MANIFEST)


def test_the_parser_notices_a_change():
    assert table("no such heading") == []
    changed = DOCUMENT.replace("| `time_mad_s` |", "| `time_sd_s` |")
    assert [row[1].strip("`") for row in table("summary.csv", changed)] != SUMMARY
    assert leaves({"a": {"b": [{"c": 1}]}, "noise": {"x": 1}}) == {"a.b[].c", "noise"}


def test_pages_and_plots_name_known_columns():
    page = (REPOSITORY / "results" / "README.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert cells
    for name in re.findall(r"`(\w+)`", " ".join(cells)):
        assert name in SUMMARY, name
    data = pytest.importorskip("plot.data", reason="the plot package is not importable here")
    assert set(data.REQUIRED_COLUMNS) <= set(SUMMARY)


def test_reference_runs_have_these_columns():
    found = sorted((REPOSITORY / "results").glob("reference/**/summary.csv"))
    if not found:
        pytest.skip("no results/reference")
    for path in found:
        assert header(path) == SUMMARY, path
        samples = path.with_name("samples.csv")
        if samples.exists():
            assert header(samples) == SAMPLES, samples


def test_a_run_writes_what_the_page_says(run, tmp_path):
    out = tmp_path / "out"
    run("run", "--variants", "full", "--seq", "32", "--heads", "1", "--dim", "8", "--threads", "1",
        "--budget", "10m", "--max-samples", "3", "--format", "json,markdown", "--out", out, "--quiet", code=0)
    assert header(out / "summary.csv") == names("summary.csv")
    assert header(out / "samples.csv") == names("samples.csv")
    for name in ("summary.csv", "samples.csv"):
        data = (out / name).read_bytes()
        assert data.endswith(b"\r\n") and data.count(b"\r\n") == data.count(b"\n")
        assert not data.startswith(b"\xef\xbb\xbf")
    with (out / "summary.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    with (out / "samples.csv").open(encoding="utf-8", newline="") as stream:
        samples = list(csv.DictReader(stream, strict=True))
    assert [row["status"] for row in rows] == ["ok"]
    assert {sample["case_id"] for sample in samples} == {rows[0]["case_id"]}
    assert len(samples) == int(rows[0]["samples"])
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest) == MANIFEST
    assert leaves(manifest) <= manifest_keys() | {"ceilings.bandwidth_gbs", "machine.caches"}
    records = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert [list(record) for record in records] == [SUMMARY]
    assert records[0]["case_id"] == rows[0]["case_id"]
    assert "| full |" in (out / "summary.md").read_text(encoding="utf-8")
