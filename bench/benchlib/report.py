"""The tables of bench/table.py as Markdown."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Callable, Iterable

from .cells import Cell
from .markdown import binary_bytes, milliseconds, significant, table, times
from .series import Series
from .session import session_lines
from .stats import Estimate, median

NONE = "-"


def in_section(series: Series, section: str) -> list[tuple[str, Cell]]:
    """(group, cell) of a section, in the order of their first measurement."""
    return [(group, cell) for group, cells in series.cells.items()
            if group.startswith(f"{section}: ") for cell in cells.values()]


def threads_of(cells: Iterable[tuple[str, Cell]]) -> list[int]:
    return sorted({cell.threads for _, cell in cells})


def time_text(estimate: Estimate | None) -> str:
    """"4.12 ±1.3%": half the interval, relative; no interval under six rounds."""
    if estimate is None:
        return NONE
    text = milliseconds(estimate.value)
    if estimate.low is None:
        return text
    return f"{text} ±{50 * (estimate.high - estimate.low) / estimate.value:.1f}%"


def rate_text(series: Series, group: str, cell: Cell, fact: str, scale: float = 1e9) -> str:
    time = series.time_s(group, cell)
    amount = series.facts.get(cell, {}).get(fact)
    return NONE if time is None or not amount else significant(amount / time.value / scale)


def fraction_text(series: Series, group: str, cell: Cell) -> str:
    fraction = series.roofline_fraction(group, cell)
    return NONE if fraction is None else f"{fraction:.2f}"


def workspace_text(series: Series, cell: Cell) -> str:
    fact = series.facts.get(cell)
    return NONE if fact is None else binary_bytes(fact["workspace_peak_bytes"])


class Beside:
    """Columns of an earlier build's time and of this one's over it, with its interval; none where
    no cell was timed beside one."""

    def __init__(self, series: Series, cells: Iterable[tuple[str, Cell]]):
        self._series = series
        self._any = any(series.values(group, cell, "earlier_time_s") for group, cell in cells)

    def headers(self, suffix: str = "") -> list[str]:
        return [f"earlier ms{suffix}", f"over earlier{suffix}"] if self._any else []

    def texts(self, group: str, cell: Cell) -> list[str]:
        over = self._series.over_earlier(group, cell)
        if over is None:
            return [NONE, NONE] if self._any else []
        earlier = self._series.values(group, cell, "earlier_time_s")
        return [milliseconds(median(earlier)), times(over)]


def scaling_texts(series: Series, group: str, cell: Cell, threads: list[int]) -> list[str]:
    """Speed-up of the largest thread count over the smallest, and its share of the machine's."""
    one = dataclasses.replace(cell, threads=threads[0])
    many = dataclasses.replace(cell, threads=threads[-1])
    scaling = series.scaling(group, one, many) if one != many else None
    if scaling is None:
        return [NONE, NONE]
    return [f"{scaling[0].value:.2f}", f"{scaling[1]:.2f}"]


def scaling_headers(threads: list[int]) -> list[str]:
    return [f"T{threads[-1]}/T{threads[0]}", "of machine's"]


def main_tables(series: Series) -> str:
    """One table for each instruction set, head dimension and mask: variant x N."""
    everything = in_section(series, "main")
    threads = threads_of(everything)
    tables = defaultdict(list)
    for group, cell in everything:
        if cell.threads == threads[0]:
            tables[cell.isa, cell.dim, cell.causal, cell.heads].append((group, cell))
    beside = Beside(series, everything)
    headers = ["variant", "N"]
    for count in threads:
        headers += [f"ms T={count}", f"GF/s T={count}", f"roofline T={count}"]
        headers += beside.headers(f" T={count}")
    headers += [*scaling_headers(threads), f"workspace T={threads[0]}" if threads else ""]
    text = ""
    order = sorted(tables, key=lambda key: (key[0] != "avx512", key))
    for key in order:
        isa, dim, causal, heads = key
        rows = []
        for group, cell in sorted(tables[key], key=lambda gc: (gc[1].variant, gc[1].seq_q)):
            row = [cell.variant, str(cell.seq_q)]
            for count in threads:
                at = dataclasses.replace(cell, threads=count)
                row += [time_text(series.time_s(group, at)),
                        rate_text(series, group, at, "performed_flops"),
                        fraction_text(series, group, at), *beside.texts(group, at)]
            rows.append([*row, *scaling_texts(series, group, cell, threads),
                         workspace_text(series, cell)])
        mask = "causal" if causal else "not causal"
        text += f"\n### {isa}, D={dim}, {mask}, H={heads}\n\n{table(headers, rows)}"
    return text + peak_table(series)


def peak_table(series: Series) -> str:
    """One thread: how far flash is from the multiply-add peak, and the other variants' rates of
    performed FLOPs over flash's in the same rounds."""
    everything = in_section(series, "main")
    first = threads_of(everything)[0]
    groups: dict[tuple, dict[str, tuple[str, Cell]]] = defaultdict(dict)
    for group, cell in everything:
        if cell.threads == first:
            groups[cell.isa, cell.dim, cell.causal, cell.seq_q][cell.variant] = (group, cell)
    others = sorted({cell.variant for _, cell in everything} - {"flash"})
    headers = ["isa", "mask", "D", "N", "flash, useful of peak", *[f"{v} / flash" for v in others]]
    rows = []
    for (isa, dim, causal, length), cells in sorted(groups.items()):
        if "flash" not in cells:
            continue
        group, flash = cells["flash"]
        of_peak = series.of_peak(group, flash)
        row = [isa, "causal" if causal else "full", str(dim), str(length),
               NONE if of_peak is None else f"{of_peak:.3f}"]
        for variant in others:
            cell = cells.get(variant, (group, None))[1]
            rate = series.rate_over(group, cell, flash) if cell else None
            row.append(NONE if rate is None else f"{rate.value:.2f}")
        rows.append(row)
    if not rows:
        return ""
    return (f"\n### Against the peak and against flash, T={first}\n\n"
            f"{table(headers, rows, left=2)}")


def decode_table(series: Series) -> str:
    everything = in_section(series, "decode")
    threads = threads_of(everything)
    beside = Beside(series, everything)
    headers = ["isa", "variant", "Hkv", "Nk", "level"]
    for count in threads:
        headers += [f"ms T={count}", f"GB/s T={count}", f"of read T={count}",
                    f"of bound T={count}", *beside.headers(f" T={count}")]
    headers += scaling_headers(threads)
    rows = []
    for group, cell in sorted(everything, key=lambda gc: (gc[1].isa, gc[1].variant,
                                                          -gc[1].kv_heads, gc[1].seq_k)):
        if cell.threads != threads[0]:
            continue
        row = [cell.isa, cell.variant, str(cell.kv_heads), str(cell.seq_k),
               series.level(group, cell)]
        for count in threads:
            at = dataclasses.replace(cell, threads=count)
            of_read = series.of_read(group, at)
            row += [time_text(series.time_s(group, at)), rate_text(series, group, at, "min_bytes"),
                    NONE if of_read is None else f"{of_read:.2f}",
                    fraction_text(series, group, at), *beside.texts(group, at)]
        rows.append([*row, *scaling_texts(series, group, cell, threads)])
    return "\n" + table(headers, rows, left=2)


def shape_text(cell: Cell) -> str:
    keys = f" Nk={cell.seq_k}" if cell.seq_k != cell.seq_q else ""
    heads = f"{cell.heads}" + (f":{cell.kv_heads}" if cell.kv_heads != cell.heads else "")
    return f"N={cell.seq_q}{keys} D={cell.dim} H={heads}{' causal' if cell.causal else ''}"


def edges_table(series: Series) -> str:
    """Rates of each shape, and over the base shape's in the same rounds."""
    everything = in_section(series, "edges")
    beside = Beside(series, everything)
    headers = ["edge", "isa", "shape", "T", "ms", "useful GF/s", "roofline", *beside.headers(),
               "rate / base's", "base"]
    rows = []
    for group, cell in everything:
        base = series.base_of(group, cell)
        against = NONE
        if base is not None:
            rate = series.rate_over(group, cell, base, "useful_flops")
            against = NONE if rate is None else times(rate)
        edge = group.partition(": ")[2].removesuffix(f" {cell.isa}")
        rows.append([edge, cell.isa, shape_text(cell), str(cell.threads),
                     time_text(series.time_s(group, cell)),
                     rate_text(series, group, cell, "useful_flops"),
                     fraction_text(series, group, cell), *beside.texts(group, cell), against,
                     NONE if base is None else shape_text(base)])
    return "\n" + table(headers, rows, left=3)


def refusals_text(series: Series) -> str:
    if not series.refusals:
        return ""
    lines = sorted({f"- {cell.variant}: {why}" for cell, why in series.refusals.items()})
    return "\n## Not measured\n\n" + "\n".join(lines) + "\n"


_TITLES: dict[str, tuple[str, Callable[[Series], str]]] = {
    "main": ("Variants", main_tables),
    "decode": ("Decoding: one query, H=8, D=64", decode_table),
    "edges": ("Edges of flash", edges_table),
}


def full_report(series: Series) -> str:
    counts = [series.rounds(group) for group in series.cells]
    fewest, most = min(counts, default=0), max(counts, default=0)
    rounds = f"{fewest} to {most}" if fewest < most else str(most)
    text = (f"{session_lines(series.session)}\nMedians of {rounds} rounds, ± half of the 95% "
            f"interval; {series.noise_line()}.\nCeilings, median (range) over rounds: "
            f"{series.rates_line()}.\n")
    for section, (title, render) in _TITLES.items():
        if in_section(series, section):
            text += f"\n## {title}\n{render(series)}"
    return text + refusals_text(series)
