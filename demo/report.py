"""report.html: one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from demo import pictures
from demo.account import Check
from demo.bad_input import BadRecord
from demo.journal import AlertStory
from demo.scenarios import NEW_VERSION
from demo.simulator import Simulator
from schemas.rollbacks import RollbackState

_FOLDER = Path(__file__).parent
_ORDER = {"requested": 0, "approved": 1, "accepted": 2, "executing": 3, "succeeded": 4, "verified": 5}
_REASONED = frozenset({RollbackState.REQUESTED, RollbackState.REFUSED})
"""Steps that say why; those that follow have the same reason."""


def write(
    path: Path,
    simulator: Simulator,
    summary: dict[str, Any],
    checks: Sequence[Check],
    bad: Sequence[tuple[BadRecord, str]],
) -> None:
    """Write the report of a run that has ended."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html", "j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = {
        "year": pictures.year(simulator),
        "rollback": pictures.rollback(simulator),
        "skew": pictures.skew(simulator) if summary["options"]["scenario"] == "skew" else "",
        "drift": pictures.drift(simulator),
    }
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        checks=checks,
        bad=bad,
        figures={name: Markup(svg) for name, svg in figures.items()},
        alert=_first_alert(simulator),
        steps=_steps(simulator),
        config=simulator.options.config.read_text(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)


def _first_alert(simulator: Simulator) -> AlertStory | None:
    """The first page on v2; without one the first alert of the run."""
    pages = simulator.journal.pages(NEW_VERSION)
    fired = simulator.journal.fired()
    return next(iter(pages or fired), None)


def _steps(simulator: Simulator) -> list[dict[str, str]]:
    """What happened to the rollback: the executor's steps when it took them, the governor's when they were read.

    At the same moment a step of the executor comes before what the governor makes of it.
    """
    journal = simulator.journal
    rows = [(status.reported_at, "executor", status.state.value, status.message) for status, _ in journal.statuses]
    rows += [
        (moment.at, "governor", command.state.value, command.reason.summary if command.state in _REASONED else "")
        for command, moment in journal.commands
    ]
    rows.sort(key=lambda row: (row[0], _ORDER.get(row[2], 0), row[1]))
    told = [(at, f"{who}: {state}", why) for at, who, state, why in rows]
    deployed = simulator.deployed
    if deployed is not None:
        told = sorted([(deployed.at, f"{NEW_VERSION} deployed", ""), *told], key=lambda row: row[0])
    return [{"at": f"{at:%d %b %H:%M}", "what": what, "why": why} for at, what, why in told]
