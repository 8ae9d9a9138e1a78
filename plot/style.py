"""How everything looks: colours, markers and line styles of series, sizes, and saving."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402  (the backend is chosen first)

# Okabe and Ito's palette, which readers with any common colour vision can tell apart. Yellow is
# last: alone it is faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#111111", "#C9B800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p", ">", "h")
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

TEXT = "#222222"
MUTED = "#666666"
GUIDE = "#9a9a9a"
GRID = "#e6e6e6"
STRIP = "#f3f1ec"

RC = {
    "font.family": "DejaVu Sans",  # Ships with matplotlib: the same on every machine.
    "font.size": 9.5,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": TEXT,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "attnbench",
    "path.simplify": False,
}


@dataclass(frozen=True)
class SeriesStyle:
    color: str
    marker: str
    dashes: object

    def line(self, **changes) -> dict:
        """Keyword arguments of Axes.plot."""
        size = {"*": 8.0, "P": 6.6, "X": 6.6, "D": 5.0}.get(self.marker, 5.6)
        return {"color": self.color, "marker": self.marker, "linestyle": self.dashes,
                "linewidth": 1.6, "markersize": size, "markeredgecolor": "white",
                "markeredgewidth": 0.6, "zorder": 4, **changes}


def series_style(index: int) -> SeriesStyle:
    """Styles 0..31 are all different, and neighbours differ in all three features."""
    return SeriesStyle(PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)],
                       DASHES[(index + index // len(PALETTE)) % len(DASHES)])


@contextmanager
def figure_style():
    """matplotlib's defaults plus RC, whatever the user's own settings are."""
    with pyplot.style.context("default"), matplotlib.rc_context(RC), warnings.catch_warnings():
        # Names from a CSV may hold characters that no font here has; boxes will do.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
        yield


def plain(text: str, limit: int = 200) -> str:
    """Text from a file as one harmless line: no control characters, no mathtext."""
    return one_line(text, limit).replace("$", r"\$")


def one_line(text: str, limit: int = 200) -> str:
    """Without control characters and runs of spaces, at most `limit` long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[:limit - 1] + "…"


def save(figure, stem: Path, formats: list[str]) -> list[Path]:
    """Writes STEM.FORMAT for each format, the same bytes for the same figure, and closes it."""
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None},
                "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    written = []
    for extension in formats:
        path = stem.parent / f"{stem.name}.{extension}"
        temporary = stem.parent / f".{stem.name}.{extension}.tmp"
        try:
            figure.savefig(temporary, format=extension, dpi=150, metadata=metadata[extension])
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        written.append(path)
    pyplot.close(figure)
    return written
