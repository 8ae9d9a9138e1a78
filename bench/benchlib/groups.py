"""What bench/table.py measures: the cells of each section, grouped by what is compared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

from .cells import Cell
from .sweep import Group


@dataclass(frozen=True)
class Axes:
    variants: tuple[str, ...]
    lengths: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)
    dims: tuple[int, ...] = (64, 128)
    causals: tuple[bool, ...] = (False, True)
    threads: tuple[int, ...] = (1, 2)
    isas: tuple[str, ...] = ("avx512", "avx2")
    heads: int = 8
    decode_lengths: tuple[int, ...] = (4096, 8192, 16384, 32768, 65536)
    decode_variants: tuple[str, ...] = ("flash", "full")
    edge_scale: int = 1  # Divides the lengths of the edges section, for smoke tests.

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def quick_axes(variants: Sequence[str], isas: Sequence[str]) -> Axes:
    return Axes(variants=tuple(variants), lengths=(64, 128), dims=(32,), isas=tuple(isas),
                heads=2, decode_lengths=(256,), edge_scale=16)


def _places(axes: Axes) -> Iterator[tuple[str, int]]:
    for isa in axes.isas:
        for threads in axes.threads:
            yield isa, threads


def main_groups(axes: Axes) -> list[Group]:
    """A group is one problem: all variants, threads and instruction sets on it."""
    groups = []
    for length in axes.lengths:
        for dim in axes.dims:
            for causal in axes.causals:
                cells = tuple(Cell(variant, length, dim=dim, heads=axes.heads, causal=causal,
                                   isa=isa, threads=threads)
                              for isa, threads in _places(axes) for variant in axes.variants)
                name = f"N={length} D={dim} {'causal' if causal else 'full'}"
                groups.append(Group("main", name, cells))
    return groups


def decode_groups(axes: Axes) -> list[Group]:
    groups = []
    for length in axes.decode_lengths:
        for kv_heads in sorted({axes.heads, max(1, axes.heads // 4), 1}, reverse=True):
            cells = tuple(Cell(variant, 1, length, heads=axes.heads, kv_heads=kv_heads,
                               mode="decode", isa=isa, threads=threads)
                          for isa, threads in _places(axes) for variant in axes.decode_variants)
            groups.append(Group("decode", f"Nk={length} Hkv={kv_heads}", cells))
    return groups


@dataclass(frozen=True)
class Edge:
    """Shapes of flash that are held against a comfortable one."""

    name: str
    shapes: tuple[dict[str, Any], ...]
    base: dict[str, Any]


def edges(axes: Axes) -> list[Edge]:
    def n(length: int) -> int:
        return max(1, length // axes.edge_scale)

    comfortable = {"seq_q": n(1024), "heads": axes.heads}
    few_kv = [kv for kv in (2, 1) if kv < axes.heads and axes.heads % kv == 0]
    return [
        Edge("short sequences", tuple({**comfortable, "seq_q": n(x)} for x in (128, 256, 512)),
             comfortable),
        Edge("head dimensions", tuple({**comfortable, "dim": d} for d in (32, 80, 96, 256)),
             comfortable),
        Edge("no multiple of a tile", tuple({**comfortable, "seq_q": n(x)} for x in (1000, 961)),
             comfortable),
        Edge("no multiple of a tile, causal", ({**comfortable, "seq_q": n(1000), "causal": True},),
             {**comfortable, "causal": True}),
        Edge("one head", ({"seq_q": n(2048), "heads": 1},),
             {"seq_q": n(2048), "heads": axes.heads}),
        Edge("grouped heads", tuple({**comfortable, "kv_heads": kv} for kv in few_kv), comfortable),
        Edge("few queries", tuple({**comfortable, "seq_q": q, "seq_k": n(4096), "mode": "cross"}
                                  for q in (4, 16, 64)), comfortable),
    ]


def edge_groups(axes: Axes) -> list[Group]:
    """A group is one edge on one instruction set, at all thread counts."""
    groups = []
    for edge in edges(axes):
        for isa in axes.isas:
            cells = [Cell("flash", isa=isa, threads=threads, **shape)
                     for threads in axes.threads for shape in (edge.base, *edge.shapes)]
            base = Cell("flash", isa=isa, threads=axes.threads[0], **edge.base)
            groups.append(Group("edges", f"{edge.name} {isa}", tuple(cells), base))
    return groups


SECTIONS: dict[str, Callable[[Axes], list[Group]]] = {
    "main": main_groups, "decode": decode_groups, "edges": edge_groups}


def make(sections: Sequence[str], axes: Axes) -> list[Group]:
    return [group for section in sections for group in SECTIONS[section](axes)]
