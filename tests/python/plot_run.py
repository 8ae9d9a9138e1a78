"""Makes run directories with made-up figures, in the format of docs/csv_schema.md."""

from __future__ import annotations

import csv
import json
import math
import random
import zlib
from pathlib import Path

COLUMNS = (
    "schema_version,run_id,case_id,variant,family,exactness,params,mode,pass,dtype,layout,isa,"
    "input,mask,position,cache,batch,heads_q,heads_kv,seq_q,seq_k,dim_qk,dim_v,causal,threads,"
    "status,reason,stop_reason,samples,time_median_s,time_ci_low_s,time_ci_high_s,time_min_s,"
    "time_mad_s,cpu_time_median_s,thread_census,useful_flops,performed_flops,exp_count,min_bytes,"
    "traffic_bytes,gflops_useful,gflops_performed,roofline_bound_s,roofline_fraction,"
    "workspace_model_bytes,workspace_peak_bytes,time_law,workspace_law,definition_rel_l2,"
    "error_rel_l2,error_max_abs,error_mean_v,error_reference,cycles,instructions,cache_misses,"
    "seed,repro").split(",")

# name: (exactness, parameters, seconds at N=256 and T=1, exponent, error)
VARIANTS = {
    "full": ("exact", "", 1.6e-3, 2.0, 3e-7),
    "flash": ("exact", "", 0.9e-3, 2.0, 2e-7),
    "local": ("exact-under-mask", "left=128;right=128", 0.8e-3, 1.05, 2e-7),
    "sparse": ("exact-under-mask", "pattern=strided;stride=auto;summary=1", 1.0e-3, 1.5, 2e-7),
    "linformer": ("approximate", "rank=128;sharing=headwise", 0.6e-3, 1.0, 0.74),
    "performer": ("approximate", "features=256;kernel=softmax;orthogonal=true", 1.9e-3, 1.0, 0.35),
}


def row(variant: str, n: int, threads: int, **changes) -> dict[str, object]:
    """An ok row of self attention with made-up figures; `changes` overrides columns."""
    exactness, params, base, power, error = VARIANTS[variant]
    noise = random.Random(f"{variant}-{n}-{threads}")
    median = (2e-5 + base * (n / 256) ** power) / threads ** (0.93 - 0.2 * (variant == "full"))
    median *= 1 + noise.uniform(-0.02, 0.02)
    spread = noise.uniform(0.004, 0.02)
    workspace = {"full": 4 * n * n * threads, "local": 0}.get(variant, 65536 * threads)
    if variant in ("linformer", "performer"):
        workspace = 98304 * threads + 512 * n
    cells: dict[str, object] = dict.fromkeys(COLUMNS, "")
    cells.update({
        "schema_version": 1, "run_id": "20250611T101500-7f3a", "variant": variant,
        "family": "softmax", "exactness": exactness, "params": params, "mode": "self",
        "pass": "fwd", "dtype": "f32", "layout": "bhnd", "isa": "avx512", "input": "gaussian",
        "mask": "none", "position": "none", "cache": "hot", "batch": 1, "heads_q": 4,
        "heads_kv": 4, "seq_q": n, "seq_k": n, "dim_qk": 64, "dim_v": 64, "causal": "false",
        "threads": threads, "status": "ok", "stop_reason": "precision", "samples": 24,
        "time_median_s": median, "time_ci_low_s": median * (1 - spread),
        "time_ci_high_s": median * (1 + spread), "time_min_s": median * 0.97,
        "roofline_fraction": 0.25 + 0.5 * noise.random() * (1 - math.exp(-n / 700)),
        "workspace_model_bytes": workspace, "workspace_peak_bytes": workspace,
        "error_rel_l2": error, "error_mean_v": 0.78, "seed": 1,
    })
    cells.update(changes)
    if not cells["case_id"]:
        axes = repr([cells[name] for name in COLUMNS[3:25]])
        cells["case_id"] = f"{zlib.crc32(axes.encode()):016x}"
    if cells["status"] != "ok":
        for name in ("time_median_s", "time_ci_low_s", "time_ci_high_s", "time_min_s",
                     "roofline_fraction", "workspace_peak_bytes", "error_rel_l2", "error_mean_v"):
            cells[name] = changes.get(name, "")
    return cells


def with_work(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Adds the FLOPs and bytes of dense attention, and the rate and the bound that follow."""
    for cells in rows:
        n, flops = int(cells["seq_q"]), 4 * 4 * 64 * int(cells["seq_q"]) ** 2
        cells.update(performed_flops=flops, traffic_bytes=4 * 4 * 64 * 4 * n)
        if cells["status"] == "ok":
            cells["gflops_performed"] = flops / float(cells["time_median_s"]) / 1e9
            cells["roofline_bound_s"] = flops / 104e9 / int(cells["threads"]) ** 0.97
    return rows


def grid(lengths=(256, 512, 1024, 2048, 4096), threads=(1, 2), variants=tuple(VARIANTS),
         **changes) -> list[dict[str, object]]:
    return [row(v, n, t, **changes) for n in lengths for t in threads for v in variants]


def manifest(threads=(1, 2)) -> dict:
    return {
        "schema_version": 1, "run_id": "20250611T101500-7f3a",
        "started_at": "2025-06-11T10:15:00Z", "finished_at": "2025-06-11T10:15:48Z",
        "complete": True, "warnings": ["the load average was 5.1 on 2 CPUs"], "tool": {"version": "0.1.0", "git": "0f3a2bc"},
        "machine": {"cpu_model": "AMD EPYC 7R13 Processor", "cores": 2},
        "ceilings": {
            "isa": "avx512",
            "fma_gflops": {str(t): 104.0 * t**0.97 for t in threads},
            "bandwidth_gbs": [{"level": "memory", "threads": t, "read_gbs": 11 * t**0.5}
                              for t in threads],
        },
    }


def write_run(path: Path, rows: list[dict[str, object]], with_manifest: dict | None = None,
              samples: bool = True) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    with (path / "summary.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    if samples:
        _write_samples(path / "samples.csv", rows)
    if with_manifest is not None:
        (path / "manifest.json").write_text(json.dumps(with_manifest), encoding="utf-8")
    return path


def _write_samples(path: Path, rows: list[dict[str, object]]) -> None:
    noise = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow("case_id round order inner_iterations time_s cpu_time_s start_s".split())
        for cells in rows:
            if cells["status"] != "ok":
                continue
            for number in range(24):
                time_s = float(cells["time_median_s"]) * (0.98 + noise.expovariate(30))
                writer.writerow([cells["case_id"], number, 0, 4, time_s, time_s, number])
