"""A figure as SVG within an HTML page: its own ids, colours that follow the page's theme."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib
from matplotlib import pyplot

from plot.style import GRID, GUIDE, MUTED, PALETTE, STRIP, TEXT, one_line

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

# Colour of a figure -> CSS variable of the page (report.css).
THEME = {
    TEXT: "--ink", MUTED: "--muted", GUIDE: "--guide", GRID: "--grid", STRIP: "--strip",
    "#888888": "--edge", "#ffffff": "--paper",
    **{color: f"--series-{index}" for index, color in enumerate(PALETTE)},
}
_VARIABLES = {color.lower(): variable for color, variable in THEME.items()}
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")
_URL = re.compile(r"url\(#([^)]*)\)")


def inline_svg(figure, prefix: str, label: str) -> str:
    """Closes the figure. `prefix` keeps its ids apart from those of other figures; `label` is what
    a screen reader says."""
    buffer = io.BytesIO()
    # Text stays text: smaller, and it can be searched and selected.
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None,
                                                       "Format": None, "Type": None})
    pyplot.close(figure)
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            # Its style sheet would hold for the whole page; report.css has the same rule.
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _rewrite(element, prefix)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    root.attrib.update({"role": "img", "aria-label": one_line(label, 2000),
                        "style": f"max-width: {width * 4 / 3:.0f}px"})
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite(element: ElementTree.Element, prefix: str) -> None:
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, prefix + value)
        elif name == f"{{{XLINK}}}href":
            del element.attrib[name]
            element.set("href", f"#{prefix}{value[1:]}" if value.startswith("#") else value)
        elif name in ("style", "clip-path", "fill", "stroke"):
            value = _URL.sub(lambda found: f"url(#{prefix}{found.group(1)})", value)
            element.set(name, _COLOR.sub(_themed, value))
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None and not element.tail.strip():
        element.tail = None


def _themed(found: re.Match) -> str:
    variable = _VARIABLES.get(found.group().lower())
    return f"var({variable})" if variable else found.group()
