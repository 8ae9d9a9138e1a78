"""Stored rounds, read back as series of one value per round."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from .cells import Cell
from .stats import Estimate, estimate, median, ratio
from .store import read


class Series:
    """All rounds of one build. Values of two cells of a group are paired by round."""

    def __init__(self, path: Path, build: str):
        self.session: dict[str, Any] = {}
        self.cells: dict[str, dict[str, Cell]] = defaultdict(dict)  # By group and key.
        self.facts: dict[Cell, dict[str, Any]] = {}
        self.refusals: dict[Cell, str] = {}
        self._bases: dict[tuple[str, Cell], str] = {}
        self.noise: list[dict[str, float]] = []
        self.rates: list[dict[str, Any]] = []
        self._rounds: dict[str, list[dict[str, dict[str, Any]]]] = defaultdict(list)
        self._reads: dict[tuple[str, str, int, str], list[float]] = defaultdict(list)
        for record in read(path, build):
            if record["type"] == "session":
                self.session = record
            elif record["type"] in ("cell", "refused"):
                self._add_cell(record)
            elif record["type"] == "ceilings":
                for at in record["bandwidth"]:
                    self._reads[record["group"], record["isa"], at["threads"],
                                at["level"]].append(at["read_bytes_per_s"])
            elif record["type"] == "round":
                self._rounds[record["group"]].append(record["cells"])
                self.rates.extend(record.get("ceilings", []))
                if "noise" in record:
                    self.noise.append(record["noise"])

    def _add_cell(self, record: dict[str, Any]) -> None:
        cell = Cell.from_request(record["problem"], record["isa"])
        self.cells[record["group"]][cell.key()] = cell
        if record["base"]:
            self._bases[record["group"], cell] = record["base"]
        if record["type"] == "refused":
            self.refusals[cell] = f"{record['error']}: {record['message']}"
        else:
            self.facts[cell] = record
            self.refusals.pop(cell, None)

    def base_of(self, group: str, cell: Cell) -> Cell | None:
        """The cell that this one is held against, if any."""
        return self.cells[group].get(self._bases.get((group, cell), ""))

    def rounds(self, group: str) -> int:
        return len(self._rounds[group])

    def values(self, group: str, cell: Cell, name: str = "time_s") -> list[float]:
        """One value per round that has it for the cell."""
        key = cell.key()
        return [cells[key][name] for cells in self._rounds[group] if name in cells.get(key, {})]

    def time_s(self, group: str, cell: Cell) -> Estimate | None:
        values = self.values(group, cell)
        return estimate(values) if values else None

    def over_earlier(self, group: str, cell: Cell) -> Estimate | None:
        """Time over that of the earlier build, by rounds that have both."""
        key = cell.key()
        both = [cells[key] for cells in self._rounds[group]
                if "earlier_time_s" in cells.get(key, {})]
        if not both:
            return None
        return ratio([at["time_s"] for at in both], [at["earlier_time_s"] for at in both])

    def roofline_fraction(self, group: str, cell: Cell) -> float | None:
        times = self.values(group, cell)
        bounds = self.values(group, cell, "bound_s")
        return median([b / t for b, t in zip(bounds, times)]) if times else None

    def of_peak(self, group: str, cell: Cell) -> float | None:
        """Useful FLOPs over what the multiply-add peak of the same round could have done."""
        useful = self.facts.get(cell, {}).get("useful_flops")
        times = self.values(group, cell)
        peaks = self.values(group, cell, "fma_flops_per_s")
        if not useful or not times:
            return None
        return median([useful / time / peak for time, peak in zip(times, peaks)])

    def level(self, group: str, cell: Cell) -> str:
        levels = self.values(group, cell, "level")
        return levels[-1] if levels else ""

    def of_read(self, group: str, cell: Cell) -> float | None:
        """Inputs and output over time, over the read bandwidth of the level that holds them."""
        reads = self._reads.get((group, cell.isa, cell.threads, self.level(group, cell)))
        amount = self.facts.get(cell, {}).get("min_bytes")
        times = self.values(group, cell)
        if not reads or not amount or not times:
            return None
        return amount / median(times) / median(reads)

    def paired(self, group: str, over: Cell, under: Cell,
               name: str = "time_s") -> Estimate | None:
        """over / under, by rounds that have both."""
        a, b = over.key(), under.key()
        both = [cells for cells in self._rounds[group] if a in cells and b in cells]
        if not both:
            return None
        return ratio([cells[a][name] for cells in both], [cells[b][name] for cells in both])

    def rate_over(self, group: str, cell: Cell, base: Cell,
                  fact: str = "performed_flops") -> Estimate | None:
        """The rate of a cell over that of another, in FLOPs of the kind `fact` names."""
        slower = self.paired(group, base, cell)
        work, base_work = (self.facts.get(c, {}).get(fact) for c in (cell, base))
        return slower.scaled(work / base_work) if slower and work and base_work else None

    def scaling(self, group: str, one: Cell, many: Cell) -> tuple[Estimate, float] | None:
        """The speed-up of `many` over `one`, and how much of the machine's own it is: the ratio of
        their roofline bounds in the same rounds, which is that of the multiply-add peaks where a
        cell is bound by arithmetic, and that of bandwidths where it is bound by these."""
        speedup = self.paired(group, one, many)
        machine = self.paired(group, one, many, "bound_s")
        if speedup is None or machine is None:
            return None
        return speedup, speedup.value / machine.value

    def noise_line(self) -> str:
        """How quiet it was, for the foot of a report."""
        if not self.noise:
            return "no rounds"
        others = sorted(n["others"] for n in self.noise)
        steal = max(n["steal"] for n in self.noise)
        return (f"{len(self.noise)} rounds; other processes used {100 * median(others):.1f}% of "
                f"the CPUs in the median round, {100 * others[-1]:.1f}% in the worst; at most "
                f"{100 * steal:.1f}% stolen by the hypervisor")

    def rates_line(self) -> str:
        """The compute ceilings, medians and range over rounds."""
        places: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        for rate in self.rates:
            places[rate["isa"], rate["threads"]].append(rate)
        parts = []
        for (isa, threads), rates in sorted(places.items()):
            fma = [rate["fma_flops_per_s"] / 1e9 for rate in rates]
            exp = median([rate["exp_per_s"] / 1e9 for rate in rates])
            parts.append(f"{isa} T={threads}: {median(fma):.0f} GF/s ({min(fma):.0f} to "
                         f"{max(fma):.0f}), {exp:.1f} G exp/s")
        return "; ".join(parts)
