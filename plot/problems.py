"""Splits the rows of a run into problems (one set of figures each) and series (one line each)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from plot.data import Row, Run
from plot.style import SeriesStyle, series_style

# What makes two rows different problems, in the order in which titles name it. The sequence
# lengths are missing here: one of them is the x axis, the other is added where it is fixed.
PROBLEM_KEYS = (
    "mode", "pass", "batch", "heads_q", "heads_kv", "dim_qk", "dim_v", "causal", "input", "mask",
    "position", "cache", "dtype", "layout",
)
SLUG_NAMES = {
    "heads_q": "heads", "heads_kv": "kv-heads", "dim_qk": "dim", "dim_v": "dim-v",
    "seq_q": "seq-q", "seq_k": "seq-k",
}


@dataclass
class Series:
    """The cells of one variant with one set of parameters, by (N, threads)."""

    variant: str
    params: str
    label: str
    style: SeriesStyle
    cells: dict[tuple[int, int], Row] = field(default_factory=dict)

    @property
    def exactness(self) -> str:
        return next(iter(self.cells.values())).text["exactness"]

    def at_threads(self, threads: int) -> list[tuple[int, Row]]:
        """(N, row), by N; rows that were not measured included."""
        return sorted((n, row) for (n, t), row in self.cells.items() if t == threads)


@dataclass
class ProblemGroup:
    """Rows that differ in variant, parameters, one sequence length and threads alone."""

    title: str
    slug: str
    """What tells this problem from the run's others, for file names; empty when it is alone."""
    length_name: str
    """Which sequence length N is."""
    series: list[Series]
    facts: dict[str, object] = field(default_factory=dict)
    """The axes that all rows share, and the length that is fixed, by column name."""

    @property
    def threads(self) -> list[int]:
        return sorted({t for s in self.series for (_, t) in s.cells})

    @property
    def lengths(self) -> list[int]:
        return sorted({n for s in self.series for (n, _) in s.cells})

    def rows(self) -> list[Row]:
        return [row for s in self.series for row in s.cells.values()]


def split_problems(run: Run) -> list[ProblemGroup]:
    """One group per problem, in the order of the file; series look the same in all of them."""
    by_problem: dict[tuple, list[Row]] = {}
    for row in run.rows:
        by_problem.setdefault(_problem_key(row), []).append(row)
    labels = _series_labels(run.rows)
    styles = {key: series_style(i) for i, key in enumerate(labels)}
    # Within a problem of cross attention either length may be the one that grows.
    split = [part for rows in by_problem.values() for part in _split_lengths(rows)]
    varying = _varying([{**_facts(rows[0]), **fixed} for rows, _, fixed in split])
    groups, used = [], set()
    for rows, axis, fixed in split:
        facts = {**_facts(rows[0]), **fixed}
        slug = _unique(_slug(facts, varying), used)
        series: dict[tuple, Series] = {}
        for row in rows:
            key = _series_key(row)
            entry = series.setdefault(key, Series(*key, labels[key], styles[key]))
            entry.cells[(row.sizes[axis], row.sizes["threads"])] = row
        ordered = [series[key] for key in labels if key in series]
        groups.append(ProblemGroup(_title(facts), slug, axis, ordered, facts))
    return groups


def _facts(row: Row) -> dict[str, object]:
    return {key: row.causal if key == "causal" else row.sizes.get(key, row.text.get(key))
            for key in PROBLEM_KEYS}


def _problem_key(row: Row) -> tuple:
    return tuple(_facts(row).values())


def _split_lengths(rows: list[Row]) -> list[tuple[list[Row], str, dict[str, int]]]:
    """(rows, axis that grows, fixed lengths): one entry for each value of the fixed length."""
    mode = rows[0].text["mode"]
    if mode == "self" or all(r.sizes["seq_q"] == r.sizes["seq_k"] for r in rows):
        return [(rows, "seq_q", {})]
    queries = {r.sizes["seq_q"] for r in rows}
    keys = {r.sizes["seq_k"] for r in rows}
    axis = "seq_k" if mode in ("decode", "generate") or len(keys) >= len(queries) else "seq_q"
    fixed = "seq_q" if axis == "seq_k" else "seq_k"
    return [([r for r in rows if r.sizes[fixed] == length], axis, {fixed: length})
            for length in sorted({r.sizes[fixed] for r in rows})]


def _series_key(row: Row) -> tuple[str, str]:
    return (row.text["variant"], row.text["params"])


def _series_labels(rows: list[Row]) -> dict[tuple[str, str], str]:
    """Labels by series, in file order: the variant, and the parameters that vary for it."""
    params: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        text = row.text["params"]
        params.setdefault(row.text["variant"], {})[text] = dict(
            part.partition("=")[::2] for part in text.split(";") if part)
    labels = {}
    for variant, sets in params.items():
        names = sorted({name for values in sets.values() for name in values})
        varying = [n for n in names if len({values.get(n) for values in sets.values()}) > 1]
        for text, values in sets.items():
            shown = [f"{n}={values[n]}" for n in varying if n in values]
            labels[(variant, text)] = " ".join([variant, *shown])
    return labels


def _varying(all_facts: list[dict[str, object]]) -> list[str]:
    names = dict.fromkeys(name for facts in all_facts for name in facts)
    return [n for n in names if len({facts.get(n) for facts in all_facts}) > 1]


def _slug(facts: dict[str, object], varying: list[str]) -> str:
    parts = []
    # kv-heads and dim-v follow heads and dim unless they differ from them.
    follows = {"heads_kv": "heads_q", "dim_v": "dim_qk"}
    for name in varying:
        value = facts.get(name)
        if value is None or (name in follows and value == facts[follows[name]]):
            continue
        text = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else str(value)
        parts.append(f"{SLUG_NAMES.get(name, name)}-{text}")
    return re.sub(r"[^a-z0-9._-]+", "-", "_".join(parts).lower())[:80]


def _unique(slug: str, used: set[str]) -> str:
    candidate, number = slug, 2
    while candidate in used:
        candidate, number = f"{slug}-{number}".lstrip("-"), number + 1
    used.add(candidate)
    return candidate


def _title(facts: dict[str, object]) -> str:
    heads = f"H={facts['heads_q']}"
    if facts["heads_kv"] != facts["heads_q"]:
        heads = f"Hq={facts['heads_q']}, Hkv={facts['heads_kv']}"
    dim = f"D={facts['dim_qk']}"
    if facts["dim_v"] != facts["dim_qk"]:
        dim += f", Dv={facts['dim_v']}"
    parts = [
        f"{facts['mode']} attention" if facts["mode"] in ("self", "cross") else str(facts["mode"]),
        {"fwd": "forward", "fwd+bwd": "forward and backward"}.get(str(facts["pass"]),
                                                                 str(facts["pass"])),
        "causal" if facts["causal"] else "not causal",
        f"B={facts['batch']}, {heads}, {dim}",
    ]
    parts += [f"{n}={facts[k]}" for k, n in (("seq_q", "Nq"), ("seq_k", "Nk")) if k in facts]
    parts += [f"{name} {facts[name]}" for name in ("mask", "position")
              if facts[name] not in ("none", "")]
    parts += [{"f32": "float32"}.get(str(facts["dtype"]), str(facts["dtype"])),
              f"{facts['input']} input", f"{facts['cache']} cache"]
    if facts["layout"] != "bhnd":
        parts.append(f"layout {facts['layout']}")
    return " · ".join(str(p) for p in parts)
