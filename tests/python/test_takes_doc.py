"""The table of who takes positions, soft cap, sink and masks, against the registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

DOC = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
NOTHING = (("none",), False, False, False)


def documented(text):
    """Variant -> (positions, softcap, sink, mask), as the table has them."""
    section = text.split("### Who takes what")[1].split("\n## ")[0]
    takes = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([^`]+)`", cells[0])
        if len(cells) != 5 or not names or cells[0] == "variant":
            continue
        positions = tuple(["none"] + ([] if cells[1] == "none" else cells[1].split(", ")))
        for name in names:
            assert name not in takes, name
            takes[name] = (positions, *(cell == "yes" for cell in cells[2:]))
    return takes


def registered(run):
    return {each["name"]: (tuple(each["positions"]), each["takes_softcap"], each["takes_sink"],
                           each["takes_mask"])
            for each in json.loads(run("list", "--json", code=0).stdout)}


def differences(table, registry):
    return {name for name, takes in registry.items() if table.get(name, NOTHING) != takes} \
        | (table.keys() - registry.keys())


def test_the_table_is_the_registry(run):
    assert differences(documented(DOC.read_text(encoding="utf-8")), registered(run)) == set()


def test_a_wrong_table_is_seen(run):
    text = DOC.read_text(encoding="utf-8")
    registry = registered(run)
    wrong = text.replace("| `location` | alibi |", "| `location` | alibi, rope |")
    assert differences(documented(wrong), registry) == {"location"}
    missing = text.replace("`hard`, `local-m`", "`local-m`, `unknown`")
    assert differences(documented(missing), registry) == {"hard", "unknown"}


def test_refusals_say_what_is_accepted_and_why(run):
    for name, flags, message in (
            ("linformer", ("--mask", "m.npy"), "each a mixture of all keys"),
            ("performer", ("--mask", "m.npy"), "summed before they meet a query"),
            ("location", ("--position", "rope"), "accepted: none, alibi"),
            ("mlp", ("--position", "rope"), "accepted: none, sinusoidal, alibi")):
        np.save(run.folder / "m.npy", np.ones((8, 8), bool))
        for tensor in "qkv":
            np.save(run.folder / f"{tensor}.npy", np.ones((1, 1, 8, 4), np.float32))
        done = run("eval", name, "--q", "q.npy", "--k", "k.npy", "--v", "v.npy", "--out", "o.npy",
                   *flags, code=2)
        assert message in done.stderr, done.stderr
