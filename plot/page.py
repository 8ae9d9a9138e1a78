"""Pieces of an HTML page. Every text that comes in is escaped here, and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from plot.style import one_line

LONG = 40  # Characters, from which on the text of a cell wraps.
LONGEST_TEXT = 2000  # Of a cell; a file may hold anything.


@dataclass(frozen=True)
class Cell:
    """What a table shows, and what it sorts by: a number, or the text when there is none."""

    text: str
    number: float | None = None
    code: bool = False


@dataclass(frozen=True)
class Column:
    title: str
    numeric: bool = False
    help: str = ""


@dataclass
class Table:
    """A sortable, filterable table. `ident` is ours, never from a file."""

    ident: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]] = field(default_factory=list)

    def html(self) -> str:
        head = "".join(
            f'<th scope="col"{_class(c)}{_title(c.help)}><button type="button">{text(c.title)}'
            "</button></th>" for c in self.columns)
        body = "\n".join("<tr>" + "".join(map(_cell, self.columns, row)) + "</tr>"
                         for row in self.rows)
        return f"""<div class="table" id="{self.ident}">
<p class="tools"><label>Filter <input type="search" size="24" placeholder="words; !word leaves out"
 aria-controls="{self.ident}-table"></label> <span role="status" aria-live="polite">{len(self.rows)}
 rows</span></p>
<div class="scroll" role="region" tabindex="0" aria-labelledby="{self.ident}-caption">
<table id="{self.ident}-table"><caption id="{self.ident}-caption">{text(self.caption)}</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody></table></div></div>"""


def _class(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _title(words: str) -> str:
    return f' title="{text(words)}"' if words else ""


def _classes(column: Column, cell: Cell) -> str:
    if column.numeric:
        return ' class="number"'
    # Commands stay on one line: rows keep their height, and what is copied is whole.
    return ' class="long"' if len(cell.text) > LONG and not cell.code else ""


def _cell(column: Column, cell: Cell) -> str:
    key = "" if cell.number is None or math.isnan(cell.number) else f' data-s="{cell.number!r}"'
    inside = text(cell.text)
    if cell.code and inside:
        inside = f"<code>{inside}</code>"
    return f"<td{_classes(column, cell)}{key}>{inside}</td>"


def text(words: object) -> str:
    """One line for HTML, attribute values included."""
    return escape(one_line(str(words), LONGEST_TEXT), quote=True)


def block(words: str, limit: int = 100_000) -> str:
    """Several lines, as they are, in a box that scrolls."""
    lines = words if len(words) <= limit else words[:limit] + "\n…"
    kept = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}"
                   for c in lines)
    return f'<pre tabindex="0"><code>{escape(kept)}</code></pre>'


def facts(pairs: list[tuple[str, object]]) -> str:
    """A list of names and values; those without a value are left out."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
                    for name, value in pairs if value not in (None, ""))
    return f"<dl>{items}</dl>" if items else ""


def bullets(items: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>" if items else ""


def document(title: str, body: str) -> str:
    """The whole page: style and script inline, and a policy under which nothing else runs or
    loads."""
    folder = Path(__file__).parent
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = ("default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
              f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""
