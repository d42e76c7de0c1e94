"""summary.json: what the run counted, in numbers that a test can compare."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from demo.account import Check, Sent
from demo.journal import AlertStory, Journal, Moment
from demo.options import Options
from demo.scenarios import NEW_VERSION
from demo.simulator import Simulator
from schemas.rollbacks import RollbackCommand, RollbackState

_FINAL_ORDER = (RollbackState.VERIFIED, RollbackState.INEFFECTIVE)


def summarise(
    simulator: Simulator, checks: Sequence[Check], *, guarantee: str, wall_seconds: float, stream_seconds: float
) -> dict[str, Any]:
    """Everything that the demo has to say of itself."""
    totals, sent, journal = simulator.totals, simulator.sent, simulator.journal
    return {
        "passed": all(check.passed for check in checks),
        "options": _options(simulator.options),
        "n_predictions": sent.n_predictions,
        "n_labels": sent.n_labels,
        "n_joined": totals["predictions_joined"],
        "n_orphan_labels": totals["labels_orphan"],
        "n_pending": totals["predictions_pending"] + totals["labels_pending"],
        "n_expired": totals["predictions_expired"],
        "n_duplicates": totals["predictions_duplicate"] + totals["labels_duplicate"],
        "n_late": totals["predictions_late"] + totals["labels_late"],
        "n_dead_letters": len(journal.dead_letters),
        "n_alerts": len(journal.fired()),
        "n_injected": len(simulator.bad_records),
        "n_cancelled": simulator.traffic.flights.n_cancelled,
        "predictions": _book(totals, "predictions", sent.n_predictions),
        "labels": _book(totals, "labels", sent.n_labels),
        "alerts": [_alert(story, simulator.deployed) for story in journal.fired()],
        "rollback": _rollback(journal, sent),
        "refusals": [_refusal(command) for command, _ in journal.refusals()],
        "commands": [
            {"attempt": each.attempt, "state": each.state.value, "actor": each.actor, "at": _iso(each.decided_at)}
            for each, _ in journal.commands
            if each.state is not RollbackState.REFUSED
        ],
        "delays": delays(simulator),
        "checks": [
            {"name": c.name, "passed": c.passed, "observed": c.observed, "required": c.required} for c in checks
        ],
        "processing_guarantee": guarantee,
        "events_per_second": round(simulator.n_events / max(stream_seconds, 1e-9)),
        "n_events": simulator.n_events,
        "stream_seconds": round(stream_seconds, 2),
        "wall_seconds": round(wall_seconds, 2),
    }


def _options(options: Options) -> dict[str, Any]:
    names = ("broker", "deploy", "seed", "scenario", "holdback", "start", "until")
    return {name: str(getattr(options, name)) for name in names}


def _book(totals: dict[str, int], kind: str, n_sent: int) -> dict[str, int]:
    prefix = f"{kind}_"
    return {"sent": n_sent, **{name.removeprefix(prefix): n for name, n in totals.items() if name.startswith(prefix)}}


def _alert(story: AlertStory, deployed: Moment | None) -> dict[str, Any]:
    latest = story.latest
    seen_after = None if deployed is None else (story.seen.at - deployed.at) / timedelta(days=1)
    return {
        "alertname": latest.labels.get("alertname", ""),
        "model_version": story.version,
        "starts_at": _iso(story.first.starts_at),
        "ends_at": _iso(latest.ends_at),
        "severity": story.severity,
        "status": latest.status.value,
        "monitor_id": latest.labels.get("monitor_id", ""),
        "cause": story.cause,
        "seen_at": _iso(story.seen.at),
        "days_after_deployment": None if seen_after is None else round(seen_after, 3),
    }


def _refusal(command: RollbackCommand) -> dict[str, Any]:
    return {
        "rule": command.reason.refusal,
        "at": _iso(command.requested_at),
        "deployment_id": command.deployment_id,
        "from_version": command.from_version,
        "summary": command.reason.summary,
        "observed": next((guard.observed for guard in command.guards if guard.name == command.reason.refusal), ""),
    }


def _rollback(journal: Journal, sent: Sent) -> dict[str, Any]:
    ordered = journal.ordered()
    if not ordered:
        return {
            "requested_at": None, "from_version": None, "to_version": None, "succeeded_at": None, "verified_at": None,
            "final_state": None, "n_bad_predictions": 0, "steps": [],
        }  # fmt: skip
    command = ordered[0][0]
    mine = [each for each, _ in journal.commands if each.rollback_id == command.rollback_id]
    mine = [each for each in mine if each.state is not RollbackState.REFUSED]
    succeeded = journal.first_status(RollbackState.SUCCEEDED)
    closed = journal.first(*_FINAL_ORDER)
    return {
        "rollback_id": command.rollback_id,
        "requested_at": _iso(command.requested_at),
        "from_version": command.from_version,
        "to_version": command.to_version,
        "succeeded_at": _iso(succeeded[0].reported_at if succeeded else None),
        "verified_at": _iso(closed[0].decided_at if closed else None),
        "final_state": mine[-1].state.value,
        "clocks": {
            "requested_at, verified_at": "end of the cell whose evidence decided",
            "succeeded_at": "the serving side's event time",
            "delays": "event time at which the serving side saw each step",
        },
        "n_bad_predictions": sent.n_served_by_new_version,
        "steps": list(dict.fromkeys(each.state.value for each in mine)),
        "summary": command.reason.summary,
    }


def delays(simulator: Simulator) -> dict[str, Any]:
    """From the deployment to the alert, the evidence, the command, its execution and its verification."""
    journal, deployed = simulator.journal, simulator.deployed
    if deployed is None:
        return {}
    page = next((story for story in journal.pages(NEW_VERSION)), None)
    ordered = journal.ordered()
    succeeded = journal.first_status(RollbackState.SUCCEEDED) if ordered else None
    verified = journal.first(RollbackState.VERIFIED)
    moments = {
        "page": page.seen if page else None,
        "command": ordered[0][1] if ordered else None,
        "executed": Moment(at=succeeded[0].reported_at, n_events=ordered[0][1].n_events) if succeeded else None,
        "verified": verified[1] if verified else None,
    }
    found = {name: _since(deployed, moment) for name, moment in moments.items() if moment is not None}
    if ordered:
        complete = (ordered[0][0].requested_at - deployed.at) / timedelta(days=1)
        found["evidence"] = {"days": round(complete, 3), "n_events": None}
    return found


def _since(deployed: Moment, moment: Moment) -> dict[str, Any]:
    return {
        "days": round((moment.at - deployed.at) / timedelta(days=1), 3),
        "n_events": moment.n_events - deployed.n_events,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
