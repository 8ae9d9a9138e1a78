"""Puts a report together: what was run and where, the figures, the tables, how to rerun it."""

from __future__ import annotations

from collections import Counter

from plot import report_tables as tables
from plot import ticks
from plot.caption import threads_title
from plot.charts import CHARTS
from plot.data import STATUSES, Run
from plot.fit import ABSENT
from plot.page import Table, block, bullets, document, facts, text
from plot.problems import ProblemGroup, split_problems
from plot.style import figure_style
from plot.svg import inline_svg

# How to read each chart, in the order of CHARTS; docs/plots.md says more.
READ = {
    "time": ("Time against sequence length",
             "A line's slope is its growth: hold it against the guides N and N². Where two lines "
             "cross, the other variant becomes the faster one."),
    "growth": ("Fitted growth",
               "One panel per series, all on the same axes. A narrow band says that the exponent "
               "is well known; points that leave the curve say that no power law describes them."),
    "exponents": ("Local exponents",
                  "The slope from each length to the next. A law is what a row settles at towards "
                  "long N; a single cell is noise, a tile or a cache level."),
    "crossovers": ("Crossovers",
                   "Each row is a pair; the bar is where the first is the faster. The interval "
                   "holds noise and interpolation, nothing is said beyond the measured lengths."),
    "workspace": ("Workspace", "Scratch memory of one call beyond inputs and output."),
    "speedup": ("Speed-up", "Each case against itself on one thread; dotted is what the machine "
                            "itself gains."),
    "efficiency": ("Thread efficiency", "Speed-up per thread. What the machine's own line loses "
                                        "is not the variant's doing."),
    "roofline": ("Roofline", "Left of a slope's end a variant is bound by that memory level, right "
                             "of it by arithmetic. The distance to the roof is what is left."),
    "share": ("Share of the roofline", "How near each case is to the bound of its own arithmetic, "
                                       "exponentials and traffic."),
    "pareto": ("Error against time", "Down and left is better. What lies above the dashed line has "
                                     "learnt nothing that answering mean(V) would not say; the "
                                     "errors hold for this input alone."),
    "parameters": ("Error against parameter", "What more features, rank or keys buy, at fixed N."),
}


def report_page(run: Run) -> str:
    """The whole page as HTML."""
    groups = split_problems(run)
    labels = tables.series_labels(groups)
    title = f"attnbench run {run.run_id or 'without id'}"
    sections = [
        ("summary", "Summary", _summary(run, groups)),
        ("environment", "Environment", _environment(run)),
        ("figures", "Figures", _figures(run, groups)),
        ("growth", "Growth laws", _growth(run, labels)),
        ("crossovers", "Crossovers", _table(tables.crossover_table(run, labels), _without_fit(
            run, "no two series have two lengths in common"))),
        ("scaling", "Thread scaling", _table(tables.scaling_table(run, labels), _without_fit(
            run, "no case was measured both on one thread and on more"))),
        ("pareto", "Error against time", _table(tables.pareto_table(run, labels), _without_fit(
            run, "no row has an error against softmax attention"))),
        ("not-measured", "Not measured", _table(
            tables.missing_table(run, groups), "Every cell of the sweep was measured.")),
        ("all-rows", "All rows", _table(tables.row_table(run, groups), "")),
        ("rerun", "Rerun", _rerun(run)),
    ]
    links = "".join(f'<li><a href="#{ident}">{text(name)}</a></li>' for ident, name, _ in sections)
    body = "\n".join(f'<section id="{ident}" aria-labelledby="{ident}-h">'
                     f'<h2 id="{ident}-h">{text(name)}</h2>\n{inside}\n</section>'
                     for ident, name, inside in sections)
    return document(title, f"""<a class="skip" href="#summary">Skip to the summary</a>
<header><h1>{text(title)}</h1>
<p class="sub">{text(_subtitle(run))}</p></header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{body}
</main>""")


def _subtitle(run: Run) -> str:
    manifest = run.manifest
    if manifest is None:
        return "no manifest.json: the machine is not recorded"
    parts = [manifest.cpu_model, manifest.isa, manifest.started_at]
    return " · ".join(part for part in parts if part)


def _table(table: Table, when_empty: str) -> str:
    return table.html() if table.rows else f"<p>{text(when_empty)}</p>"


def _without_fit(run: Run, reason: str) -> str:
    return f"None: {reason if run.fit else ABSENT}."


def _summary(run: Run, groups: list[ProblemGroup]) -> str:
    counts = Counter(row.status for row in run.rows)
    lengths = sorted({n for group in groups for n in group.lengths})
    threads = sorted({t for group in groups for t in group.threads})
    pairs = [("cells", f"{len(run.rows)}: " + ", ".join(
                 f"{counts[status]} {status}" for status in STATUSES if counts[status])),
             ("variants", len({row.text["variant"] for row in run.rows})),
             ("series", len({(row.text["variant"], row.text["params"]) for row in run.rows})),
             ("sequence lengths", ", ".join(map(str, lengths)) if len(lengths) <= 12
              else f"{len(lengths)}, {lengths[0]} to {lengths[-1]}"),
             ("threads", ", ".join(map(str, threads))),
             ("complete", "no: the run was interrupted"
              if run.manifest and not run.manifest.complete else None)]
    parts = [_doubts(run), facts(pairs), "<h3>Problems</h3>",
             bullets([group.title for group in groups]),
             "<h3>The fastest at the ends of the range</h3>",
             "<p>By the medians alone: whether two of them differ is for the intervals of the rows "
             "to say. Exact means the same function as softmax attention. Variants under a mask of "
             "their own and those of another function are among all, and named as such.</p>",
             _table(tables.fastest_table(run, groups), "Nothing was measured.")]
    return "\n".join(part for part in parts if part)


def _doubts(run: Run) -> str:
    warnings = (run.manifest.warnings if run.manifest else []) + run.warnings
    if not warnings:
        return ""
    return ('<div class="doubt" role="note"><p><strong>Doubtful</strong></p>'
            f"{bullets(warnings)}</div>")


def _growth(run: Run, labels: tables.Labels) -> str:
    if run.fit is None:
        return _table(tables.growth_table(run, labels), _without_fit(run, ""))
    verdicts = Counter(each.time.verdict for each in run.fit.series if each.time.curve)
    words = {"agrees": "grow as declared", "faster": "grow less than declared",
             "slower": "grow more than declared", "undetermined": "undetermined"}
    says = ", ".join(f"{count} {words.get(verdict, verdict)}"
                     for verdict, count in verdicts.most_common())
    lead = f"<p>Time: {text(says)}. An exponent is that of c + a N^p over the measured lengths; "
    lead += ("a verdict judges the variant's own cost function, so a window or a rank may be far "
             "from its law at short N and still agree.</p>")
    return (lead if verdicts else "") + _table(
        tables.growth_table(run, labels), _without_fit(run, "no series has two lengths"))


def _environment(run: Run) -> str:
    manifest = run.manifest
    if manifest is None:
        return "<p>manifest.json is not there or cannot be read.</p>"
    document_ = manifest.document
    machine, tool = _dict(document_, "machine"), _dict(document_, "tool")
    pairs = [("CPU", manifest.cpu_model), ("CPUs", manifest.cores),
             ("instruction set", manifest.isa),
             ("caches", ", ".join(_cache(each) for each in _list(machine, "caches"))),
             ("memory", _bytes(machine.get("memory_bytes"))),
             ("SMT", machine.get("smt")), ("NUMA nodes", machine.get("numa_nodes")),
             ("governor", machine.get("governor")), ("turbo", machine.get("turbo")),
             ("microcode", machine.get("microcode")), ("kernel", machine.get("kernel")),
             ("virtual machine", machine.get("virtualised")),
             ("attnbench", " ".join(str(tool[k]) for k in ("version", "git") if tool.get(k))),
             ("compiler", " ".join(str(tool[k]) for k in ("compiler", "flags") if tool.get(k))),
             ("libraries", ", ".join(f"{name} {version}" for name, version
                                     in _dict(document_, "libraries").items())),
             ("started", manifest.started_at), ("finished", document_.get("finished_at")),
             ("fingerprint", document_.get("fingerprint"))]
    noise = [(name.replace("_", " "), value) for part in ("noise", "timing")
             for name, value in _dict(document_, part).items()]
    pairs = [(name, _word(value)) for name, value in pairs]
    return "\n".join(["<h3>Machine and tool</h3>", facts(pairs),
                      "<h3>Measured ceilings</h3>", _ceilings(run),
                      "<h3>Noise during the run</h3>",
                      facts([(name, _word(value)) for name, value in noise])
                      or "<p>Not recorded.</p>"])


def _ceilings(run: Run) -> str:
    manifest = run.manifest
    rows = [("fused multiply-adds", "GFLOP/s", manifest.fma_gflops)]
    rows += [(f"read {level}", "GB/s", figures)
             for level, figures in manifest.bandwidth_gbs.items()]
    rows = [row for row in rows if row[2]]
    threads = sorted({t for _, _, figures in rows for t in figures})
    if not rows:
        return "<p>Not recorded.</p>"
    head = "".join(f'<th scope="col" class="number">{text(threads_title(t))}</th>' for t in threads)
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th>' + "".join(
            f'<td class="number">{text(ticks.plain_number(figures[t]))} {unit}</td>'
            if t in figures else "<td></td>" for t in threads) + "</tr>"
        for name, unit, figures in rows)
    return (f'<table><caption>Measured ceilings</caption><thead><tr><th scope="col">ceiling</th>'
            f"{head}</tr></thead><tbody>{body}</tbody></table>")


def _dict(document_: dict, key: str) -> dict:
    value = document_.get(key)
    return value if isinstance(value, dict) else {}


def _list(document_: dict, key: str) -> list:
    value = document_.get(key)
    return value if isinstance(value, list) else []


def _cache(each: object) -> str:
    if not isinstance(each, dict):
        return str(each)
    return f"L{each.get('level')} {each.get('type')} {_bytes(each.get('bytes'))}"


def _bytes(value: object) -> str:
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return ticks.bytes_text(value) if whole else ""


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else value


def _figures(run: Run, groups: list[ProblemGroup]) -> str:
    parts, left_out = [], []
    with figure_style():
        for number, group in enumerate(groups):
            if len(groups) > 1:
                parts.append(f"<h3>{text(group.title)}</h3>")
            for name, draw in CHARTS.items():
                figure = draw(group, run)
                title, read = READ[name]
                if isinstance(figure, str):
                    where = f" ({group.slug})" if group.slug else ""
                    left_out.append(f"{title}{where}: {figure}")
                    continue
                svg = inline_svg(figure, f"g{number}-{name}-", description(title, group))
                parts.append(
                    f'<figure><figcaption><strong>{text(title)}.</strong> {text(read)}'
                    '</figcaption><div class="scroll" role="region" tabindex="0" '
                    f'aria-label="{text(title)}, scrolls">{svg}</div></figure>')
    if left_out:
        parts += ["<h3>Not drawn</h3>", bullets(left_out)]
    return "\n".join(parts)


def description(title: str, group: ProblemGroup) -> str:
    """What stands for the figure where it cannot be seen; the numbers are in the tables."""
    names = [series.label for series in group.series]
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    longest = group.lengths[-1]
    parts = [f"{title} for {listed}; N from {group.lengths[0]} to {longest}; "
             f"{group.title}."]
    timed = sorted((row.figure("time_median_s"), s.label) for s in group.series
                   for row in (s.cells.get((longest, group.threads[0])),)
                   if row is not None and row.measured)
    if timed:
        parts.append(f"At N = {longest} on {threads_title(group.threads[0])} {timed[0][1]} is the "
                     f"fastest with {ticks.time_text(timed[0][0])}, {timed[-1][1]} the slowest "
                     f"with {ticks.time_text(timed[-1][0])}.")
    return " ".join(parts) + " The numbers are in the tables below."


def _rerun(run: Run) -> str:
    manifest = run.manifest
    parts = ["<p>Each row ends with the command that measures it again. The same command with "
             "<code>--resume</code> finishes an interrupted run.</p>"]
    document_ = manifest.document if manifest else {}
    for key, title in (("command", "The command of this run"),
                       ("config", "Its configuration, as a file for attnbench run")):
        if isinstance(document_.get(key), str) and document_[key]:
            parts += [f"<h3>{text(title)}</h3>", block(document_[key])]
    return "\n".join(parts)
