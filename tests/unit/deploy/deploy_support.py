"""Where things are, and what the code has that files outside it may name."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from streams import telemetry
from streams.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported() -> dict[str, set[str]]:
    """Every name that a scrape may show, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in _SUFFIXES[metric._type]:
                found[metric._name + suffix] = set(metric._labelnames)
    return found


def settings_variables() -> set[str]:
    """The environment variable of every setting."""
    return {
        f"PLUMBLINE_{group}_{name}".upper()
        for group, of_group in Settings.model_fields.items()
        for name in of_group.annotation.model_fields  # type: ignore[union-attr]
    }
