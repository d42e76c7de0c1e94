"""The status page: one self-contained HTML file, made from the board and the control view."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import jinja2

from schemas.deployments import DeploymentEvent
from schemas.incidents import Incident
from schemas.metrics import SeriesVerdict, WindowMetrics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.rollbacks import RollbackState
from streams.control.view import ControlView
from streams.evaluator.serving import is_replaced, state_now
from streams.governor.incidents import cause_in_words
from streams.responders.alert_book import BookedAlert
from streams.responders.rollback_book import BookedRollback
from streams.web.exporter import Exporter

_FOLDER: Final = Path(__file__).parent / "templates"
_SHOWN: Final = 10
"""Rows of a list that grows with time: the newest."""
_OPEN: Final = frozenset(
    {RollbackState.REQUESTED, RollbackState.APPROVED, RollbackState.ACCEPTED, RollbackState.EXECUTING}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """What is shown of one model."""

    key: str
    spec: ModelSpec
    deployments: list[tuple[DeploymentEvent, str]]
    """Newest first, each with its state now."""
    monitors: tuple[Monitor, ...]
    windows: list[WindowMetrics]
    rollbacks: list[BookedRollback]
    n_alerts: int
    alerting: frozenset[tuple[str | None, str | None]]
    """Version and monitor of each alert in force."""


def render(exporter: Exporter, control: ControlView) -> str:
    """Return the page as it is now."""
    board = exporter.board
    now = exporter.now()
    keys = sorted({*control.model_keys(), *board.model_keys(now)})
    in_force = board.alerts.in_force(now)
    rollbacks = board.rollbacks.all()
    incidents = sorted(board.incidents.values(), key=lambda each: each.updated_at, reverse=True)
    return _template().render(
        now=now,
        models=[_model_page(key, exporter, control) for key in keys],
        alerts=sorted(in_force, key=lambda booked: _urgency(booked, now)),
        rollbacks=rollbacks[: -_SHOWN - 1 : -1],
        n_open_rollbacks=sum(_is_open(booked) for booked in rollbacks),
        incidents=_open_first(incidents)[:_SHOWN],
        rejected=control.rejected[: -_SHOWN - 1 : -1],
    )


def _model_page(key: str, exporter: Exporter, control: ControlView) -> ModelPage:
    board, spec = exporter.board, control.spec(key)
    labels = [booked.alert.labels for booked in board.alerts.in_force(exporter.now())]
    place = (spec.environment, spec.model_name)
    mine = [each for each in labels if (each.get("environment"), each.get("model_name")) == place]
    announced = control.deployments(key)
    return ModelPage(
        key=key,
        spec=spec,
        deployments=[(each, state_now(each, announced)) for each in announced[: -_SHOWN - 1 : -1]],
        monitors=control.monitors(key),
        windows=board.windows(key)[:_SHOWN],
        rollbacks=[
            booked
            for booked in board.rollbacks.all()
            if (booked.command.environment, booked.command.model_name) == place
        ],
        n_alerts=len(mine),
        alerting=frozenset((each.get("model_version"), each.get("monitor_id")) for each in mine),
    )


def _urgency(booked: BookedAlert, now: datetime) -> tuple[bool, bool, datetime]:
    """Pages before tickets, firing before pending, the oldest first."""
    return (booked.alert.labels.get("severity") != "page", not booked.is_firing(now), booked.alert.starts_at)


def _is_open(booked: BookedRollback) -> bool:
    return booked.command.state in _OPEN and booked.command.mode != "dry_run"


def _open_first(incidents: list[Incident]) -> list[Incident]:
    return sorted(incidents, key=lambda each: each.status != "open")


def drifting(window: WindowMetrics) -> list[SeriesVerdict]:
    """Return the series of a window that drift, the furthest over its threshold first."""
    found = [verdict for verdict in window.verdicts if verdict.status == "drift"]
    return sorted(found, key=lambda each: (each.statistic or 0.0) / (each.threshold or 1.0), reverse=True)


def tally(window: WindowMetrics) -> str:
    """Return how many series of a window are in which state: `12 stable, 1 drift`."""
    counts: dict[str, int] = {}
    for verdict in window.verdicts:
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
    order = ("drift", "stable", "no_data", "warming_up")
    return ", ".join(f"{counts[status]} {status.replace('_', ' ')}" for status in order if status in counts)


def _moment(value: datetime | None) -> str:
    return "" if value is None else value.strftime("%Y-%m-%d %H:%M")


def _span(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds % size == 0 and seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.4g}"


def _ratio(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.0%}"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests.update(replaced=is_replaced)
    environment.filters.update(
        moment=_moment,
        span=_span,
        number=_number,
        ratio=_ratio,
        drifting=drifting,
        tally=tally,
        cause_in_words=cause_in_words,
    )
    return environment.get_template("status.html")
