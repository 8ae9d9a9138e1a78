"""Times groups of cells in rounds: within a round every cell once, in random order, with the
machine's ceilings measured before and after. Resumable, and stops cleanly at a time limit."""

from __future__ import annotations

import dataclasses
import random
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from .cells import Cell
from .child import Child, Refused
from .environment import NoiseMeter
from .stats import iterations_for, warm_calls
from .store import Store


@dataclass(frozen=True)
class Group:
    """Cells that are compared, and so interleaved. `base` is the cell that the others are held
    against (each at its own thread count), where the section has such."""

    section: str
    name: str
    cells: tuple[Cell, ...]
    base: Cell | None = None

    @property
    def key(self) -> str:
        return f"{self.section}: {self.name}"

    def base_of(self, cell: Cell) -> Cell | None:
        """The base at the cell's thread count; None for a base itself."""
        if self.base is None:
            return None
        base = dataclasses.replace(self.base, threads=cell.threads)
        return None if base == cell else base


@dataclass(frozen=True)
class Settings:
    rounds: int = 9  # The interval of the median is then the second of nine from either end.
    visit: int = 3  # Rounds of a group before the next group has its turn.
    sample_s: float = 0.02
    ceiling_s: float = 0.4  # Of a full measurement of all levels, once a visit.
    burst_s: float = 0.02  # Of the compute ceilings of one thread count, twice a round.
    check_rows: int = 8


#: By instruction set and thread count.
Rates = dict[tuple[str, int], dict[str, float]]
RATE_NAMES = ("fma_flops_per_s", "exp_per_s")


def best_rates(before: Rates, after: Rates, otherwise: Rates) -> Rates:
    """The better of the bursts around a round. A machine that is so busy that no burst counted has
    no rate of its own: then that of the visit."""
    return {place: {name: max(rates[name], after[place][name]) or otherwise[place][name]
                    for name in rates}
            for place, rates in before.items()}


class OutOfTime(Exception):
    """The time limit came before the last round."""


class Sweep:
    """`children` by instruction set. `say` takes progress lines. `earlier`: another build, by
    instruction set, which is timed beside every cell that it can prepare."""

    def __init__(self, children: Mapping[str, Child], store: Store, settings: Settings,
                 say: Callable[[str], None], deadline: float | None = None,
                 rng: random.Random | None = None,
                 earlier: Mapping[str, Child] | None = None):
        self._children = children
        self._earlier = earlier or {}
        self._store = store
        self._settings = settings
        self._say = say
        self._deadline = deadline
        self._rng = rng or random.Random()
        # Checked and stored, or refused, at an earlier visit of the group.
        self._known: set[tuple[str, Cell]] = set()
        self._earlier_ready: set[Cell] = set()

    def run(self, groups: Sequence[Group]) -> None:
        """All rounds of all groups that the store does not have yet: a few of each group, then
        again from the first, so that a sweep that is cut short has something of everything.
        Raises OutOfTime at the deadline, with every finished round stored."""
        settings = self._settings
        target = 0
        while target < settings.rounds:
            target = min(settings.rounds, target + settings.visit)
            for index, group in enumerate(groups):
                done = self._store.rounds_done(group.key)
                if done < target:
                    self._say(f"{group.key}: rounds {done + 1}-{target} of {settings.rounds} "
                              f"(group {index + 1} of {len(groups)})")
                    self._visit(group, done, target)

    def _visit(self, group: Group, done: int, target: int) -> None:
        self._check_time(0)
        ready = {}
        try:
            for cell in group.cells:
                answer = self._prepare(group, cell)
                if answer is not None:
                    ready[cell] = answer
            if not ready:
                # Nothing to time: rounds without cells, so that a rerun does not try again.
                for index in range(done, target):
                    self._store.append("round", group=group.key, round=index, cells={})
                return
            floor = self._measure_ceilings(group, ready)
            longest_s = 0.0
            for index in range(done, target):
                self._check_time(longest_s)
                begin = time.monotonic()
                self._round(group, index, ready, floor)
                longest_s = max(longest_s, time.monotonic() - begin)
        finally:
            for cell in ready:
                self._drop(cell)

    def _check_time(self, needed_s: float) -> None:
        if self._deadline is not None and time.monotonic() + needed_s > self._deadline:
            raise OutOfTime

    def _prepare(self, group: Group, cell: Cell) -> dict[str, Any] | None:
        known = (group.key, cell) in self._known
        self._known.add((group.key, cell))
        base = group.base_of(cell)
        about = {"group": group.key, "cell": cell.key(), "problem": cell.request(),
                 "isa": cell.isa, "base": base and base.key()}
        try:
            answer = self._children[cell.isa].ask(
                "prepare", id=cell.key(), **cell.request(),
                check_rows=0 if known else self._settings.check_rows)
        except Refused as refused:
            if not known:
                self._say(f"  {cell.key()}: {refused.kind}: {refused}")
                self._store.append("refused", **about, error=refused.kind, message=str(refused))
            return None
        facts = {name: value for name, value in answer.items() if name != "ok"}
        self._prepare_earlier(cell, known)
        if not known:
            self._store.append("cell", **about, **facts)
        return facts

    def _prepare_earlier(self, cell: Cell, known: bool) -> None:
        if cell.isa not in self._earlier:
            return
        try:
            self._earlier[cell.isa].ask("prepare", id=cell.key(), **cell.request(),
                                        check_rows=0 if known else self._settings.check_rows)
            self._earlier_ready.add(cell)
        except Refused as refused:
            if not known:
                self._say(f"  {cell.key()}, earlier build: {refused.kind}: {refused}")

    def _drop(self, cell: Cell) -> None:
        children = [self._children[cell.isa]]
        if cell in self._earlier_ready:
            self._earlier_ready.remove(cell)
            children.append(self._earlier[cell.isa])
        for child in children:
            try:
                child.ask("drop", id=cell.key())
            except Exception:  # The child is gone; what ended it is being raised already.
                pass

    def _measure_ceilings(self, group: Group, ready: Mapping[Cell, Any]) -> Rates:
        """All levels of all instruction sets; the compute rates among them."""
        rates: Rates = {}
        for isa in sorted({cell.isa for cell in ready}):
            threads = sorted({cell.threads for cell in ready if cell.isa == isa})
            answer = self._children[isa].ask("ceilings", threads=threads,
                                             seconds=self._settings.ceiling_s)
            self._store.append("ceilings", group=group.key, isa=isa,
                               compute=answer["compute"], bandwidth=answer["bandwidth"])
            for at in answer["compute"]:
                rates[isa, at["threads"]] = {name: at[name] for name in RATE_NAMES}
        return rates

    def _compute_rates(self, ready: Mapping[Cell, Any]) -> Rates:
        places = sorted({(cell.isa, cell.threads) for cell in ready})
        self._rng.shuffle(places)
        rates = {}
        for isa, threads in places:
            answer = self._children[isa].ask("compute", threads=threads,
                                             seconds=self._settings.burst_s)
            rates[isa, threads] = {name: answer[name] for name in RATE_NAMES}
        return rates

    def _sample(self, cell: Cell, call_s: float) -> dict[str, Any]:
        """One sample of a cell, and one of the earlier build if it has the cell, in random order:
        next to each other, so that what a busy machine does falls on both."""
        iterations = iterations_for(call_s, self._settings.sample_s)
        request = {"id": cell.key(), "iterations": iterations, "warm": warm_calls(call_s)}
        builds = {"": self._children[cell.isa]}
        if cell in self._earlier_ready:
            builds["earlier_"] = self._earlier[cell.isa]
        sample: dict[str, Any] = {"iterations": iterations}
        for name in self._rng.sample(sorted(builds), len(builds)):
            answer = builds[name].ask("time", **request)
            sample[f"{name}time_s"] = answer["wall_s"] / iterations
            sample[f"{name}cpu_s"] = answer["cpu_s"] / iterations
        return sample

    def _round(self, group: Group, index: int, ready: Mapping[Cell, Mapping[str, Any]],
               otherwise: Rates) -> None:
        order = list(ready)
        self._rng.shuffle(order)
        noise = NoiseMeter(child.pid for child in (*self._children.values(),
                                                   *self._earlier.values()))
        before = self._compute_rates(ready)
        samples = {cell: self._sample(cell, ready[cell]["warm_call_s"]) for cell in order}
        best = best_rates(before, self._compute_rates(ready), otherwise)
        for cell in order:
            bound = self._children[cell.isa].ask("bound", id=cell.key(),
                                                 **best[cell.isa, cell.threads])
            samples[cell] |= {"bound_s": bound["bound_s"], "level": bound["level"],
                              "fma_flops_per_s": best[cell.isa, cell.threads]["fma_flops_per_s"]}
        self._store.append(
            "round", group=group.key, round=index, noise=noise.figures(),
            ceilings=[{"isa": isa, "threads": threads, **rates}
                      for (isa, threads), rates in sorted(best.items())],
            cells={cell.key(): sample for cell, sample in samples.items()})
