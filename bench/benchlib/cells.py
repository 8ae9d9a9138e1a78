"""One thing to be timed: a variant on a problem, on an instruction set, on so many threads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    variant: str
    seq_q: int
    seq_k: int = 0  # 0: as seq_q.
    batch: int = 1
    heads: int = 8
    kv_heads: int = 0  # 0: as heads.
    dim: int = 64
    dim_v: int = 0  # 0: as dim.
    causal: bool = False
    mode: str = "self"
    threads: int = 1
    isa: str = "auto"
    params: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name, otherwise in (("seq_k", self.seq_q), ("kv_heads", self.heads),
                                ("dim_v", self.dim)):
            if getattr(self, name) == 0:
                object.__setattr__(self, name, otherwise)

    def key(self) -> str:
        """Names the cell in results: every field that makes a difference, in one line."""
        name = self.variant + "".join(f";{k}={v}" for k, v in sorted(self.params))
        mask = "causal" if self.causal else "full"
        return (f"{name} {self.isa} T{self.threads} B{self.batch} H{self.heads}:{self.kv_heads} "
                f"N{self.seq_q}x{self.seq_k} D{self.dim}:{self.dim_v} {mask} {self.mode}")

    def request(self) -> dict[str, Any]:
        """The fields of a "prepare" request."""
        fields = dataclasses.asdict(self)
        del fields["isa"]
        fields["params"] = dict(self.params)
        return fields

    @staticmethod
    def from_request(fields: dict[str, Any], isa: str) -> "Cell":
        """The cell whose request() was `fields`."""
        params = tuple(sorted(fields["params"].items()))
        return Cell(**{**fields, "params": params}, isa=isa)


def parse_cell(text: str) -> Cell:
    """"flash,n=1024,d=64,t=2,causal": variant first; n (Nq and Nk), nk, h, hkv, d, dv, b, t,
    causal; anything else is a parameter of the variant. ValueError says what is wrong."""
    short = {"n": "seq_q", "nk": "seq_k", "h": "heads", "hkv": "kv_heads", "d": "dim",
             "dv": "dim_v", "b": "batch", "t": "threads"}
    variant, *rest = text.split(",")
    if not variant:
        raise ValueError(f"cell '{text}' names no variant")
    fields: dict[str, Any] = {"seq_q": 1024}
    params = {}
    for part in rest:
        name, equals, value = part.partition("=")
        if part == "causal":
            fields["causal"] = True
        elif not equals or not name or not value:
            raise ValueError(f"'{part}' in cell '{text}' is not name=value or causal")
        elif name in short:
            if not value.isdigit() or int(value) < 1:
                raise ValueError(f"'{part}' in cell '{text}' is not a positive integer")
            fields[short[name]] = int(value)
        elif name == "isa":
            raise ValueError(f"'{part}' in cell '{text}': a process has one instruction set, which "
                             "--isa chooses")
        else:
            params[name] = value
    return Cell(variant, params=tuple(sorted(params.items())), **fields)
