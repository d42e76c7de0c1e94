"""How pictures of a report are drawn: one style, and from a figure to SVG. The demo draws with it, too."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import matplotlib as mpl
import matplotlib.dates as mdates
from matplotlib.figure import Figure

Axes = Any
"""matplotlib's axes take datetimes and arrays; its stubs do not know that."""

INK: Final = "#1f2a37"
MUTED: Final = "#6b7785"
GRID: Final = "#e6e9ee"
PAGE: Final = "#b3261e"
TICKET: Final = "#c79a2b"
PAPER: Final = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
"""A box behind words, so that no line goes through them."""

_dates: Any = mdates
_SIZE: Final = re.compile(r' (?:width|height)="[^"]*pt"')
_STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.edgecolor": GRID, "axes.labelcolor": MUTED,
    "axes.titlecolor": INK, "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "xtick.color": MUTED, "ytick.color": MUTED, "text.color": INK, "axes.grid": True, "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.axisbelow": True,
    "xtick.major.size": 0, "ytick.major.size": 0, "ytick.minor.size": 0, "svg.hashsalt": "plumbline",
}  # fmt: skip


@contextmanager
def drawing(height: float, *, grid: bool = True) -> Iterator[Figure]:
    """A figure as wide as the page, in the report's style."""
    with mpl.rc_context(cast("Any", {**_STYLE, "axes.grid": grid})):
        yield Figure(figsize=(11, height), layout="constrained")


def to_svg(figure: Figure, words: str) -> str:
    """The figure as an SVG element that scales with the page; `words` say what it shows to those who cannot see it."""
    with io.StringIO() as out:
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        text = out.getvalue()
    text = _SIZE.sub("", text[text.index("<svg") :])
    return text.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)


def months(axes: Axes) -> None:
    """Ticks at the months."""
    axes.xaxis.set_major_locator(_dates.MonthLocator())
    axes.xaxis.set_major_formatter(_dates.DateFormatter("%b"))


def days(axes: Axes) -> None:
    """Ticks at the days."""
    axes.xaxis.set_major_locator(_dates.DayLocator())
    axes.xaxis.set_major_formatter(_dates.DateFormatter("%d %b"))


def percent(axes: Axes) -> None:
    """The vertical axis in percent."""
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
