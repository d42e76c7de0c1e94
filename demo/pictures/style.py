"""Colours of the demo's versions; type and style are those of every report (`streams.replay.drawing`)."""

from __future__ import annotations

from typing import Final

from demo.scenarios import GOOD_VERSION, NEW_VERSION
from streams.replay.drawing import (
    GRID,
    INK,
    MUTED,
    PAGE,
    PAPER,
    TICKET,
    Axes,
    days,
    drawing,
    months,
    percent,
    to_svg,
)

__all__ = [
    "COLOURS",
    "GOOD",
    "GRID",
    "INK",
    "MUTED",
    "PAGE",
    "PAPER",
    "TICKET",
    "WORLD",
    "Axes",
    "days",
    "drawing",
    "months",
    "percent",
    "to_svg",
]

WORLD: Final = "#9fb3c8"
COLOURS: Final = {GOOD_VERSION: "#1b6e78", NEW_VERSION: "#c8501e"}
GOOD: Final = "#3b7d4f"
