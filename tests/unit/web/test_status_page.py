from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from decision_samples import NOW, alert, command, record, status

from schemas import topics
from schemas.alerts import AlertStatus
from schemas.deployments import DeploymentEvent
from schemas.incidents import Incident, IncidentMember, TimelineEntry
from schemas.metrics import SeriesVerdict, WindowMetrics
from schemas.models import ModelSpec
from schemas.rollbacks import Approval, Guard, RollbackReason, RollbackState
from streams.control.view import ControlView
from streams.engine.processor import ListRecord
from streams.settings import Settings
from streams.web.exporter import Exporter
from streams.web.status import render

LABELS = {"model_version": "8", "monitor_id": "miss"}
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture
def exporter() -> Exporter:
    return Exporter(settings=Settings(), now=lambda: NOW)


class Page(HTMLParser):
    """Checks that tags nest, and collects attributes that would load something."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in {"src", "href"} and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def filled(exporter: Exporter) -> ControlView:
    control = ControlView()
    control.apply(topics.MODELS.name, ModelSpec(model_name="flight-delay").to_bytes())
    deployed = DeploymentEvent(deployment_id="d8", model_name="flight-delay", model_version="8", deployed_at=NOW)
    control.apply(topics.DEPLOYMENTS.name, deployed.to_bytes())
    control.apply_record(topics.MODELS.name, ListRecord(topic=topics.MODELS.name, value=b"{"))
    board = exporter.board
    board.apply(alert(annotations={"summary": HOSTILE}, labels={**alert().labels, **LABELS}), NOW)
    verdict = SeriesVerdict(
        monitor_id="miss", signal="feature_drift", feature="dep_delay", status="drift", statistic=31, threshold=20
    )
    window = WindowMetrics(
        model_name="flight-delay",
        model_version="8",
        kind="inputs",
        window_start=NOW - timedelta(hours=1),
        window_end=NOW,
        n_predictions=1234,
        verdicts=[verdict],
    )
    board.apply(window, NOW)
    reason = RollbackReason(summary="misses more", alert_fingerprints=[])
    guards = [Guard(name="cooldown", passed=False, observed="1 h", required="24 h")]
    for state in (RollbackState.REQUESTED, RollbackState.APPROVED):
        board.apply(command(state, reason=reason, guards=guards), NOW)
    board.apply(command(RollbackState.REQUESTED, rollback_id="waiting", approval=Approval(required=True)), NOW)
    board.apply(status(RollbackState.EXECUTING, message="switching"), NOW)
    member = IncidentMember(kind="alert", id="a", environment="production", model_name="flight-delay", status="firing")
    entry = TimelineEntry(at=NOW, what="first alert")
    incident = Incident(
        incident_id="i",
        sequence=1,
        status="open",
        opened_at=NOW,
        updated_at=NOW,
        cause="schema change upstream",
        members=[member],
        timeline=[entry],
    )
    board.apply_record(topics.INCIDENTS.name, record(topics.INCIDENTS.name, incident))
    return control


def test_an_empty_page_says_so_in_sentences(exporter: Exporter) -> None:
    html = render(exporter, ControlView())
    Page(html)
    for sentence in (
        "No alert is in force: nothing that is watched is out of true.",
        "No rollback was requested or refused so far.",
        "No incident: no alert has fired that would have opened one.",
        "No model is known yet: publish one with",
    ):
        assert sentence in html
    assert "could not be read" not in html


def test_a_model_without_anything_has_a_sentence_for_each_lack(exporter: Exporter) -> None:
    control = ControlView()
    control.apply(topics.MODELS.name, ModelSpec(model_name="m").to_bytes())
    html = render(exporter, control)
    assert "No deployment was announced" in html
    assert "No window has closed since this worker started" in html


def test_everything_that_was_decided_is_on_the_page(exporter: Exporter) -> None:
    html = render(exporter, filled(exporter))
    Page(html)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for shown in (
        "flight-delay", "1 alert in force", "2 rollbacks under way", "8 → 7", "0 of 1 guards passed",
        "registry: executing, switching", "plumbline rollbacks approve waiting", "schema change upstream",
        "1 drift", "dep_delay",
        "carries an alert in force; evidence since it was raised: 31, alone a new alarm from 20",
        "1234", "Control events that could not be read",
    ):  # fmt: skip
        assert shown in text.replace("&rarr;", "→"), shown


def test_what_drifted_under_an_alert_that_is_over_is_said_so_and_not_in_red(exporter: Exporter) -> None:
    control = filled(exporter)
    assert '<span class="bad">miss</span>' in render(exporter, control)
    over = alert(AlertStatus.RESOLVED, sequence=2, labels={**alert().labels, **LABELS})
    exporter.board.apply(over, NOW)
    html = render(exporter, control)
    assert "No alert is in force" in html
    assert '<span class="quiet">miss</span>' in html
    assert "carried an alert, which is over; evidence since it was raised: 31" in re.sub(r"\s+", " ", html)


def test_causes_of_incidents_and_replaced_deployments_are_said_in_words(exporter: Exporter) -> None:
    control = filled(exporter)
    later = DeploymentEvent(
        deployment_id="d9", model_name="flight-delay", model_version="9", deployed_at=NOW, generation=2
    )
    control.apply(topics.DEPLOYMENTS.name, later.to_bytes())
    for number, cause in enumerate(("production/flight-delay|d9", "pipeline|production|MissingRatio", "a|b|c|d")):
        incident = exporter.board.incidents["i"].model_copy(update={"incident_id": f"i{number}", "cause": cause})
        exporter.board.apply(incident, NOW)
    html = render(exporter, control)
    for words in (
        "flight-delay in production: deployment d9", "the pipeline of production: MissingRatio", "a|b|c|d",
        "replaced by 9",
    ):  # fmt: skip
        assert words in html
    assert html.count(">100%<") == 1


def test_what_comes_from_events_is_escaped(exporter: Exporter) -> None:
    html = render(exporter, filled(exporter))
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


def test_the_page_is_one_file_and_loads_nothing(exporter: Exporter) -> None:
    html = render(exporter, filled(exporter))
    assert Page(html).loads == ["href=data:,", "href=/metrics"]
    assert "<script" not in html
    assert "@import" not in html
    assert "prefers-color-scheme: dark" in html
