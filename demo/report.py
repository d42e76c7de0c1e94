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
from demo.simulator import Simulator
from demo.traffic import NEW_VERSION

_FOLDER = Path(__file__).parent


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
    """What happened to the rollback, in the order in which the demo saw it."""
    journal = simulator.journal
    rows = [
        (moment, f"governor: {command.state.value}", command.reason.summary) for command, moment in journal.commands
    ]
    rows += [(moment, f"executor: {status.state.value}", status.message) for status, moment in journal.statuses]
    deployed = simulator.deployed
    if deployed is not None:
        rows.append((deployed, f"{NEW_VERSION} deployed", ""))
    order = {"requested": 0, "approved": 1, "accepted": 2, "executing": 3, "succeeded": 4, "verified": 5}
    rows.sort(key=lambda row: (row[0].at, order.get(row[1].rpartition(" ")[2], 0)))
    return [{"at": f"{moment.at:%d %b %H:%M}", "what": what, "why": text} for moment, what, text in rows]
