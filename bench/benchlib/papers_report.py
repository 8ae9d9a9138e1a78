"""Tables that set runs of configs/papers/ beside what the papers print."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable, Sequence

from .markdown import binary_bytes, milliseconds, significant, table
from .stats import median

# Milliseconds, forward, 8 heads, D = 64, batch 16, A100: FlashAttention, table 18.
FLASH_TABLE_18 = {
    "PyTorch": {1024: 1.27, 2048: 4.32, 4096: 16.5, 8192: 67.8},
    "FlashAttention": {1024: 0.68, 2048: 2.40, 4096: 8.42, 8192: 33.5},
    "Linformer": {1024: 0.50, 2048: 1.09, 4096: 2.09, 8192: 4.01},
    "block-sparse": {1024: 0.65, 2048: 0.61, 4096: 0.96, 8192: 1.69},
}
# Linformer, table 3: time of full attention over Linformer's, by length and rank.
LINFORMER_TABLE_3 = {
    (512, 128): 1.5, (512, 256): 1.3,
    (4096, 128): 3.4, (4096, 256): 3.2, (4096, 512): 2.8, (4096, 1024): 2.2, (4096, 2048): 1.3,
}


@dataclass(frozen=True)
class Row:
    """What the tables need of a row of summary.csv; only rows that were measured."""

    variant: str
    params: dict[str, str]
    seq: int
    threads: int
    causal: bool
    input: str
    heads_kv: int
    time_s: float
    workspace_bytes: int
    error: float | None
    error_mean_v: float | None


def complete(folder: Path) -> bool:
    """Whether a run was finished."""
    try:
        return bool(json.loads((folder / "manifest.json").read_text())["complete"])
    except (OSError, ValueError, KeyError):
        return False


def _optional(text: str) -> float | None:
    return float(text) if text else None


def load(folders: Iterable[Path]) -> list[Row]:
    rows = []
    for folder in folders:
        with open(folder / "summary.csv", newline="", encoding="utf-8") as file:
            for cells in csv.DictReader(file):
                if cells["status"] != "ok":
                    continue
                params = dict(each.split("=", 1) for each in cells["params"].split(";") if each)
                rows.append(Row(
                    cells["variant"], params, int(cells["seq_k"]), int(cells["threads"]),
                    cells["causal"] == "true", cells["input"], int(cells["heads_kv"]),
                    float(cells["time_median_s"]), int(cells["workspace_peak_bytes"]),
                    _optional(cells["error_rel_l2"]), _optional(cells["error_mean_v"])))
    return rows


def _only(rows: Sequence[Row], keep: Callable[[Row], bool]) -> Row | None:
    found = [row for row in rows if keep(row)]
    return found[0] if found else None


def _cell(value: float | None, digits: int = 3) -> str:
    return "" if value is None else significant(value, digits)


def _ratio(a: Row | None, b: Row | None) -> float | None:
    return a.time_s / b.time_s if a and b else None


def growth_exponent(points: Sequence[tuple[float, float]]) -> float:
    """Slope of log y against log x by least squares. ValueError with fewer than two x."""
    if len({x for x, _ in points}) < 2:
        raise ValueError("a slope needs two different x")
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    return (sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys))
            / sum((x - x_mean) ** 2 for x in xs))


def _lengths(rows: Sequence[Row]) -> list[int]:
    return sorted({row.seq for row in rows})


def flashattention(rows: Sequence[Row]) -> str:
    contestants = (("full", "PyTorch", lambda r: r.variant == "full"),
                   ("flash", "FlashAttention", lambda r: r.variant == "flash"),
                   ("linformer, rank 256", "Linformer", lambda r: r.variant == "linformer"),
                   ("blocked, 128 + 1 neighbour", "block-sparse",
                    lambda r: r.variant == "blocked" and r.params["neighbours"] == "1"),
                   ("blocked, 128 alone", None,
                    lambda r: r.variant == "blocked" and r.params["neighbours"] == "0"))
    lengths = _lengths(rows)
    text = "### FlashAttention, tables 18 and 21\n\nMilliseconds, and in brackets the growth to " \
           "the next length; below, the paper's (A100, batch 16).\n\n"
    body = []
    for name, paper, keep in contestants:
        own = {n: _only(rows, lambda r, n=n: keep(r) and r.seq == n) for n in lengths}
        times = {n: row.time_s * 1e3 for n, row in own.items() if row}
        body.append([name, *_with_growth(times, lengths)])
        if paper:
            body.append([f"paper: {paper}", *_with_growth(FLASH_TABLE_18[paper], lengths)])
    text += table(["", *(f"N = {n}" for n in lengths)], body)
    memory = [[name, *(binary_bytes(row.workspace_bytes) if row else ""
                       for row in (_only(rows, lambda r, n=n: keep(r) and r.seq == n)
                                   for n in lengths))]
              for name, _, keep in contestants]
    text += "\nWorkspace:\n\n" + table(["", *(f"N = {n}" for n in lengths)], memory)
    flash = {n: _ratio(_only(rows, lambda r, n=n: r.variant == "full" and r.seq == n),
                       _only(rows, lambda r, n=n: r.variant == "flash" and r.seq == n))
             for n in lengths}
    paper = {n: FLASH_TABLE_18["PyTorch"].get(n, math.nan) /
             FLASH_TABLE_18["FlashAttention"].get(n, math.nan) for n in lengths}
    text += "\nTime of full over flash:\n\n" + table(
        ["", *(f"N = {n}" for n in lengths)],
        [["here", *(_cell(flash[n]) for n in lengths)],
         ["paper", *("" if math.isnan(paper[n]) else significant(paper[n]) for n in lengths)]])
    return text


def _with_growth(times: dict[int, float], lengths: Sequence[int]) -> list[str]:
    cells = []
    for n in lengths:
        if n not in times:
            cells.append("")
            continue
        grown = times.get(2 * n)
        cells.append(significant(times[n]) +
                     (f" (x{significant(grown / times[n], 2)})" if grown else ""))
    return cells


def causal(rows: Sequence[Row]) -> str:
    text = "### FlashAttention-2, causal block skipping\n\nTime without a mask over time with the " \
           "causal one.\n\n"
    lengths = _lengths(rows)
    body = []
    for variant in ("flash", "full"):
        body.append([variant, *(
            _cell(_ratio(_only(rows, lambda r, n=n: r.variant == variant and r.seq == n
                               and not r.causal),
                         _only(rows, lambda r, n=n: r.variant == variant and r.seq == n
                               and r.causal))) for n in lengths)])
    body.append(["bound of 64 x 64 tiles, 2T/(T+1)",
                 *(significant(2 * (n / 64) / (n / 64 + 1)) for n in lengths)])
    body.append(["paper, section 3.1", *("1.7 to 1.8" for _ in lengths)])
    return text + table(["", *(f"N = {n}" for n in lengths)], body)


def linformer(rows: Sequence[Row]) -> str:
    text = "### Linformer, table 3\n\nTime of full attention over Linformer's; in brackets the " \
           "paper's, where it has one.\n\n"
    lengths = _lengths(rows)
    ranks = sorted({int(r.params["rank"]) for r in rows if r.variant == "linformer"})
    body = []
    for base in ("full", "flash"):
        for rank in ranks:
            cells = []
            for n in lengths:
                ratio = _ratio(_only(rows, lambda r, n=n: r.variant == base and r.seq == n),
                               _only(rows, lambda r, n=n: r.variant == "linformer" and r.seq == n
                                     and int(r.params["rank"]) == rank))
                printed = LINFORMER_TABLE_3.get((n, rank)) if base == "full" else None
                cells.append(_cell(ratio) + (f" ({printed})" if printed else ""))
            body.append([f"{base} / linformer, k = {rank}", *cells])
    return text + table(["", *(f"N = {n}" for n in lengths)], body)


def sparse_transformer(rows: Sequence[Row]) -> str:
    text = "### Sparse Transformer, N^1.5\n\nMilliseconds, causal, stride near sqrt(N), and the " \
           "slope of log time against log N.\n\n"
    lengths = _lengths(rows)
    series = (("flash", "2", lambda r: r.variant == "flash"),
              ("sparse, strided", "1.5", lambda r: r.params.get("pattern") == "strided"),
              ("sparse, fixed", "1.5", lambda r: r.params.get("pattern") == "fixed"))
    body = []
    for name, paper, keep in series:
        mine = [row for row in rows if keep(row)]
        slope = growth_exponent([(r.seq, r.time_s) for r in mine]) if len(mine) > 1 else None
        cells = [milliseconds(row.time_s) if row else ""
                 for row in (_only(mine, lambda r, n=n: r.seq == n) for n in lengths)]
        body.append([name, *cells, _cell(slope), paper])
    return text + table(["", *(f"N = {n}" for n in lengths), "slope", "paper"], body)


def decode(rows: Sequence[Row]) -> str:
    text = "### Grouped queries in decoding\n\nMilliseconds of one step, 8 query heads, cold " \
           "cache; in brackets the time relative to 8 key-value heads.\n\n"
    lengths = _lengths(rows)
    body = []
    for heads in sorted({row.heads_kv for row in rows}, reverse=True):
        cells = []
        for n in lengths:
            own = _only(rows, lambda r, n=n: r.heads_kv == heads and r.seq == n)
            all_heads = _only(rows, lambda r, n=n: r.heads_kv == 8 and r.seq == n)
            ratio = _ratio(own, all_heads)
            cells.append("" if own is None else milliseconds(own.time_s) +
                         (f" ({significant(ratio, 2)})" if ratio else ""))
        body.append([str(heads), *cells, significant(heads / 8, 3)])
    return text + table(["key-value heads", *(f"Nk = {n}" for n in lengths), "bytes"], body)


def sigma_of(name: str) -> float:
    """Standard deviation of queries and keys under "peaked=S": its root."""
    return math.sqrt(float(name.partition("=")[2]))


def performer(rows: Sequence[Row]) -> str:
    inputs = sorted({row.input for row in rows}, key=sigma_of)
    features = sorted({int(row.params["features"]) for row in rows})
    draws = max((sum(r.input == i and int(r.params["features"]) == m
                     and r.params["orthogonal"] == "true" for r in rows)
                 for i in inputs for m in features), default=0)
    text = f"### Performer, figure 4\n\nRelative error of the output against softmax attention, " \
           f"median of {draws} draws, by the number of features m; the slope of its logarithm " \
           "against log m; and the error of answering mean(V).\n\n"
    body = []
    for name in inputs:
        for kind, orthogonal in (("orthogonal", "true"), ("independent", "false")):
            medians = {}
            for m in features:
                errors = [r.error for r in rows if r.input == name and r.error is not None
                          and int(r.params["features"]) == m
                          and r.params["orthogonal"] == orthogonal]
                if errors:
                    medians[m] = median(errors)
            slope = growth_exponent(list(medians.items())) if len(medians) > 1 else None
            baseline = [r.error_mean_v for r in rows
                        if r.input == name and r.error_mean_v is not None]
            body.append([f"{significant(sigma_of(name), 2)}, {kind}",
                         *(_cell(medians.get(m), 2) for m in features), _cell(slope, 2),
                         _cell(median(baseline) if baseline else None, 2)])
    return text + table(["sigma", *(f"m = {m}" for m in features), "slope", "mean(V)"], body)


SECTIONS: dict[str, Callable[[Sequence[Row]], str]] = {
    "flashattention": flashattention, "causal": causal, "linformer": linformer,
    "sparse-transformer": sparse_transformer, "decode": decode, "performer": performer,
}
