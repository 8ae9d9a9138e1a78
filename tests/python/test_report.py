"""The HTML report: complete, self-contained, escaped, accessible; in a browser if one is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from plot.data import load_run  # noqa: E402
from plot.page import Cell, Column, Table, block  # noqa: E402
from plot.report import main  # noqa: E402
from plot_run import grid, manifest, row, with_work, write_run  # noqa: E402

HOSTILE = "<img src=x onerror=alert(1)>\"'&</td></script><script>alert(2)</script>$x$\x07"
VOID = {"meta", "input", "link", "br", "img"}


class Page(HTMLParser):
    """Elements with their attributes, the text of each, and whether tags are balanced."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.words: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, data):
        if data.strip():
            self.words.append((self.open[-1] if self.open else "", data))

    def of(self, tag) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report(attnbench, tmp_path_factory):
    """The page of a run in which some cells failed, made by the command."""
    rows = grid((256, 512, 1024, 2048, 4096), (1, 2), ("full", "flash", "linformer"))
    rows[-1] = row("linformer", 4096, 2, status="failed", reason="error 0.2 > 1e-5")
    document = {**manifest(), "command": "attnbench run --seq 256:4096:x2", "config": "seq = 256\n"}
    path = write_run(tmp_path_factory.mktemp("report") / "run", with_work(rows), document)
    done = subprocess.run([str(attnbench), "report", str(path)], capture_output=True, text=True,
                          timeout=120, check=False,
                          env={**os.environ, "ATTNBENCH_PYTHON": sys.executable})
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path / 'report.html'}\n"
    # Nothing else is left behind.
    assert {p.name for p in path.iterdir()} == {"summary.csv", "samples.csv", "manifest.json",
                                                "report.html"}
    return path / "report.html"


def test_the_page_has_every_part(report):
    page = Page(report.read_text(encoding="utf-8"))
    titles = {data for tag, data in page.words if tag in ("h1", "h2")}
    assert {"Summary", "Environment", "Figures", "Growth laws", "Crossovers", "Thread scaling",
            "Error against time", "Not measured", "All rows", "Rerun"} <= titles
    words = " ".join(data for _, data in page.words)
    for expected in ("30: 29 ok, 1 failed", "AMD EPYC 7R13", "the load average was 5.1",
                     "error 0.2 > 1e-5", "attnbench run --seq 256:4096:x2", "104 GFLOP/s",
                     "Error against parameter: no approximate or masked variant was run"):
        assert expected in words
    assert len(page.of("svg")) == 10
    tables = [attributes["id"] for attributes in page.of("table") if "id" in attributes]
    assert tables == [f"{name}-table" for name in (
        "fastest", "growth-table", "crossover-table", "scaling-table", "pareto-table", "missing",
        "rows")]


def test_the_page_needs_no_network(report):
    html = report.read_text(encoding="utf-8")
    page = Page(html)
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "data"):
            assert attributes.get(name, "#").startswith("#"), attributes
    assert not page.of("link") and not page.of("iframe") and "@import" not in html
    addresses = set(re.findall(r"https?://[^\s\"'<]*", html))
    assert all(a.startswith("http://www.w3.org/") for a in addresses)
    assert len(html) < 3e6


def test_the_page_is_accessible(report):
    page = Page(report.read_text(encoding="utf-8"))
    assert page.of("html")[0]["lang"] == "en" and len(page.of("h1")) == 1 and page.of("main")
    for svg in page.of("svg"):
        assert svg["role"] == "img" and "At N = 4096 on 1 thread" in svg["aria-label"]
    identifiers = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    named = set(identifiers)
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-controls"):
            assert attributes.get(name) in {None} | named
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in named
    for place in re.findall(r"url\(#([^)]*)\)", report.read_text(encoding="utf-8")):
        assert place in named
    assert len(page.of("caption")) == len(page.of("table"))
    assert all("scope" in th for th in page.of("th"))
    # Sorting is a button, which the keyboard reaches.
    sortable = [a for a in page.of("button")]
    assert len(sortable) > 50 and all(b["type"] == "button" for b in sortable)


def test_colours_follow_the_theme(report):
    html = report.read_text(encoding="utf-8")
    figures = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "var(--ink)" in figures and "var(--series-0)" in figures and "var(--paper)" in figures
    for colour in ("#ffffff", "#222222", "#0072b2"):
        assert colour not in figures.lower()
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    light, dark = html.split("prefers-color-scheme: dark", 1)
    for variable in used:
        assert f"{variable}:" in light and f"{variable}:" in dark.split("* {")[0]


def test_hostile_texts_stay_texts(tmp_path, attnbench):
    rows = [{**row("flash", n, 1), "variant": HOSTILE, "params": f"a={HOSTILE}", "run_id": HOSTILE,
             "input": HOSTILE, "isa": HOSTILE, "repro": HOSTILE}
            for n in (256, 512)]
    rows.append({**row("flash", 1024, 1, status="failed"), "variant": HOSTILE, "input": HOSTILE,
                 "params": f"a={HOSTILE}", "run_id": HOSTILE, "isa": HOSTILE, "reason": HOSTILE})
    document = manifest((1,))
    document.update(command=HOSTILE, config=HOSTILE, warnings=[HOSTILE], fingerprint=HOSTILE,
                    libraries={HOSTILE: HOSTILE}, noise={HOSTILE: HOSTILE}, finished_at=HOSTILE)
    document["machine"].update(cpu_model=HOSTILE, caches=[HOSTILE, {"level": HOSTILE}])
    document["ceilings"]["bandwidth_gbs"][0]["level"] = HOSTILE
    path = write_run(tmp_path / "run", rows, document, samples=False)
    subprocess.run([str(attnbench), "fit", str(path)], check=True, capture_output=True, timeout=60)
    fit = (path / "fit.json").read_text(encoding="utf-8")
    (path / "fit.json").write_text(fit.replace('"undetermined"', json.dumps(HOSTILE)),
                                   encoding="utf-8")
    assert main([str(path)]) == 0
    html = (path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "alert(2)" in html  # It is shown ...
    assert not page.of("img") and len(page.of("script")) == 1  # ... and is no element
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert not any("alert" in data for tag, data in page.words if tag in ("script", "style"))
    assert "\x07" not in html
    assert len(page.of("style")) == 1
    policy = next(a["content"] for a in page.of("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_cells_are_escaped_and_sorted_by_numbers():
    table = Table("t", HOSTILE, [Column(HOSTILE, help=HOSTILE), Column("n", True)],
                  [[Cell(HOSTILE, code=True), Cell("1 ms", 0.001)],
                   [Cell("x"), Cell("?", float("nan"))]])
    page = Page(table.html())
    assert {tag for tag, _ in page.elements} == {
        "div", "p", "label", "input", "span", "table", "caption", "thead", "tbody", "tr", "th",
        "button", "td", "code"}
    assert [a.get("data-s") for a in page.of("td")] == [None, "0.001", None, None]
    assert "<script" not in block(HOSTILE)


def test_a_run_without_a_measured_row_has_a_page(tmp_path):
    rows = [row("flash", n, 1, status="failed", reason="out of luck") for n in (256, 512)]
    path = write_run(tmp_path / "run", rows)
    assert main([str(path), "--out", str(tmp_path / "pages" / "one.html")]) == 0
    words = " ".join(d for _, d in Page((tmp_path / "pages" / "one.html").read_text()).words)
    assert "2: 2 failed" in words and "out of luck" in words and "Nothing was measured" in words


def test_another_csv_file_is_reported(tmp_path):
    path = write_run(tmp_path / "run", grid((256,), (1,), ("flash",)), samples=False)
    write_run(tmp_path / "run", grid((512,), (1,), ("full",)), samples=False)
    (path / "summary.csv").rename(path / "other.csv")
    assert {r.sizes["seq_q"] for r in load_run(path / "other.csv").rows} == {512}
    assert main([str(path / "other.csv")]) == 0 and (path / "report.html").is_file()


def test_wrong_runs_are_refused_in_words(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such directory" in capsys.readouterr().err
    path = write_run(tmp_path / "run", [row("flash", 256, 1)], samples=False)
    assert main([str(path), "--out", "/dev/null/x.html"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)


PROBE = """
const box = document.querySelector("#rows"), body = box.querySelector("tbody");
const heads = Array.from(box.querySelectorAll("thead th"));
const column = heads.findIndex((th) => th.textContent.trim() === "time");
const press = () => heads[column].querySelector("button").click();
const cells = () => Array.from(body.rows).map((row) => row.cells[column].dataset.s);
press(); const up = cells(), first = heads[column].getAttribute("aria-sort");
press(); const down = cells(), second = heads[column].getAttribute("aria-sort");
const input = box.querySelector("input");
input.value = "flash !512"; input.dispatchEvent(new Event("input"));
const kept = Array.from(body.rows).filter((row) => !row.hidden).length;
document.title = "PROBE" + JSON.stringify({up, down, first, second, kept,
  status: box.querySelector("[role=status]").textContent,
  wide: document.documentElement.scrollWidth > document.documentElement.clientWidth});
"""


@pytest.mark.skipif(chromium() is None, reason="no Chromium here")
def test_sorting_and_filtering_work_in_a_browser(report, tmp_path):
    html = report.read_text(encoding="utf-8")
    # The policy of the page would stop the probe, which is the point of it.
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    (tmp_path / "probe.html").write_text(
        open_page.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=420,900",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         (tmp_path / "probe.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"<title>PROBE(.*?)</title>", done.stdout)
    assert found, done.stderr[-2000:]
    said = json.loads(found.group(1).replace("&quot;", '"'))
    up = [float(value) for value in said["up"] if value is not None]
    down = [float(value) for value in said["down"] if value is not None]
    assert len(up) == 29 and up == sorted(up) and down == up[::-1]
    assert said["up"][-1] is None and said["down"][-1] is None  # Failed: last both ways.
    assert (said["first"], said["second"]) == ("ascending", "descending")
    assert said["kept"] < 30 and said["status"] == f"{said['kept']} of 30 rows"
    assert not said["wide"], "the page itself must not scroll sideways on a phone"
