"""A person's word: ack, freeze, clear-quarantine, announce; and that it is seen where alerts are shown."""

from datetime import timedelta

import pytest
from decision_samples import NOW, alert, command, record
from test_cli import Shelf, run, shelf  # noqa: F401 - a fixture

from schemas import topics
from schemas.incidents import Incident, IncidentMember, Intervention, TimelineEntry
from schemas.rollbacks import Guard, RollbackState
from streams.commands.console import utc_now


def words(made: Shelf) -> list[Intervention]:
    return [Intervention.model_validate_json(o.value or b"") for o in made.published]


def test_an_ack_is_an_event_and_is_shown(shelf: Shelf) -> None:  # noqa: F811
    one = alert()
    shelf.records = [record(topics.ALERTS.name, one, at=utc_now())]
    run("alerts", "ack", one.fingerprint, "--actor", "ada", "--comment", "on it")
    (word,) = words(shelf)
    assert (word.kind, word.subject, word.actor, word.model_name) == ("ack", one.fingerprint, "ada", "flight-delay")
    shown = run("alerts", "show", one.fingerprint).stdout
    assert "seen by: ada: on it" in shown
    assert one.annotations["summary"] in shown
    assert run("alerts", "show", one.fingerprint, "--json").stdout.startswith("{")


def test_what_was_said_of_an_earlier_alert_is_not_of_this_one(shelf: Shelf) -> None:  # noqa: F811
    one = alert()
    old = Intervention(
        intervention_id="i", model_name="flight-delay", kind="ack", subject=one.fingerprint, actor="ada",
        at=one.starts_at - timedelta(seconds=1),
    )  # fmt: skip
    shelf.records = [record(topics.ALERTS.name, one, at=utc_now()), record(topics.INTERVENTIONS.name, old, at=NOW)]
    assert "seen by: nobody" in run("alerts", "show", one.fingerprint).stdout


def test_a_freeze_is_seen_in_the_alert_until_it_is_ended(shelf: Shelf) -> None:  # noqa: F811
    one = alert()
    shelf.records = [record(topics.ALERTS.name, one, at=utc_now())]
    run("freeze", "--model", "flight-delay", "--until", "6h", "--actor", "ada", "--comment", "audit week")
    assert "rollbacks frozen by ada: audit week" in run("alerts", "show", one.fingerprint).stdout
    assert "Frozen by" in run("alerts", "list").stdout
    run("freeze", "--model", "flight-delay", "--end", "--actor", "bob")
    first, second = words(shelf)
    assert first.until is not None
    assert first.until - first.at == timedelta(hours=6)
    assert second.until == second.at
    assert "frozen" not in run("alerts", "show", one.fingerprint).stdout


def test_a_decision_is_shown_with_all_that_the_rules_saw(shelf: Shelf) -> None:  # noqa: F811
    guards = [Guard(name="cooldown", passed=False, observed="ended at 5 ms", required="1d")]
    refused = command(RollbackState.REFUSED).model_copy(update={"guards": guards})
    shelf.records = [record(topics.ROLLBACKS.name, refused)]
    shown = run("rollbacks", "show", "rollback-1").stdout
    assert "NOT     cooldown: ended at 5 ms (required: 1d)" in shown
    assert refused.reason.summary in shown
    assert "'nothing' is unknown" in run("rollbacks", "show", "nothing", code=2).stderr


def test_quarantine_and_upstream_changes(shelf: Shelf) -> None:  # noqa: F811
    run("rollbacks", "clear-quarantine", "v2", "--model", "m", "--actor", "ada")
    run("announce", "--model", "m", "--source", "weather", "--until", "2099-01-01T00:00:00Z", "--actor", "ada")
    cleared, changed = words(shelf)
    assert (cleared.kind, cleared.subject) == ("clear_quarantine", "v2")
    assert (changed.kind, changed.subject) == ("upstream_change", "weather")
    assert changed.until is not None
    assert changed.until.year == 2099


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alerts", "ack", "nothing", "--actor", "ada"], "alert 'nothing' is unknown"),
        (["alerts", "show", "nothing"], "alert 'nothing' is unknown"),
        (["freeze", "--model", "m", "--actor", "ada"], "expected one of --until and --end"),
        (["freeze", "--model", "m", "--actor", "ada", "--until", "6h", "--end"], "expected one of --until and --end"),
        (["freeze", "--model", "m", "--actor", "ada", "--until", "soon"], "--until is 'soon'"),
        (["freeze", "--model", "m", "--actor", "ada", "--until", "2001-01-01T00:00:00Z"], "which is past"),
        (["announce", "--model", "m", "--actor", "ada", "--source", " "], "--source is empty"),
    ],
)
def test_a_word_that_makes_no_sense(shelf: Shelf, arguments: list[str], says: str) -> None:  # noqa: F811
    assert says in run(*arguments, code=2).stderr
    assert shelf.published == []


def test_an_incident_is_shown_whole_as_text_as_a_report_and_as_json(shelf: Shelf) -> None:  # noqa: F811
    one = alert()
    incident = Incident(
        incident_id="i1", sequence=2, status="closed", opened_at=NOW, updated_at=NOW, closed_at=NOW,
        cause="production/flight-delay|d-8", began_at=NOW - timedelta(hours=3), detected_at=NOW - timedelta(hours=1),
        members=[
            IncidentMember(
                kind="alert", id=one.fingerprint, environment="production", model_name="flight-delay", status="resolved"
            )
        ],
        timeline=[TimelineEntry(at=NOW, kind="decision", what="a | b", details={"cooldown": "passed: none"})],
    )  # fmt: skip
    shelf.records = [
        record(topics.ALERTS.name, one, at=utc_now()),
        record(topics.INCIDENTS.name, incident),
        record(topics.INCIDENTS.name, incident.model_copy(update={"sequence": 1, "status": "open"})),
    ]
    text = run("incidents", "show", "i1").stdout
    assert "time to detect: 2h" in text
    assert "time to resolve: 3h" in text
    assert "cooldown: passed: none" in text
    report = run("incidents", "show", "i1", "--format", "markdown").stdout
    assert report.startswith("# Incident: flight-delay in production: deployment d-8\n")
    assert "| decision | a \\| b |" in report
    assert Incident.model_validate_json(run("incidents", "show", "i1", "--format", "json").stdout) == incident
    assert "incident: i1 (closed, 1 members)" in run("alerts", "show", one.fingerprint).stdout
    assert "'i2' is unknown" in run("incidents", "show", "i2", code=2).stderr
