"""The report's pictures, as SVG: the year, the days around the rollback, and what drifted."""

from __future__ import annotations

from demo.pictures.drift import drift, skew
from demo.pictures.rollback import rollback
from demo.pictures.year import year

__all__ = ["drift", "rollback", "skew", "year"]
