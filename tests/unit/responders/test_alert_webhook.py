"""Which alerts a webhook is told of, and what they look like to each kind of receiver."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from decision_samples import NOW, alert, record
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import Alert, AlertStatus, Explanation, TopFeature
from streams.engine.processor import DeadLetter
from streams.responders.alert_bodies import AlertFormat, body_of_alert
from streams.responders.alert_webhook import AlertWebhook, is_news
from streams.responders.signatures import is_authentic
from streams.settings import ResponderSettings

FIRING, RESOLVED, PENDING, NO_DATA = (
    AlertStatus.FIRING, AlertStatus.RESOLVED, AlertStatus.PENDING, AlertStatus.NO_DATA,
)  # fmt: skip


@pytest.mark.parametrize(
    ("status", "before", "told"),
    [
        (FIRING, None, True),
        (FIRING, PENDING, True),
        (FIRING, FIRING, False),
        (FIRING, NO_DATA, False),
        (NO_DATA, FIRING, False),
        (RESOLVED, FIRING, True),
        (RESOLVED, NO_DATA, True),
        (RESOLVED, PENDING, False),
        (PENDING, None, False),
    ],
)
def test_it_is_told_when_it_fires_and_when_it_ends(status: AlertStatus, before: AlertStatus | None, told: bool) -> None:
    assert is_news(alert(status, previous_status=before)) is told


def body(form: AlertFormat, one: Alert, key: str = "") -> Any:
    return json.loads(body_of_alert(one, form, key=key))


def explained(**changes: Any) -> Alert:
    moved = TopFeature(name="dep_delay", contribution_ratio=0.8, summary="<1> & more")
    return alert(explanation=Explanation(top_features=[moved]), **changes)


def test_json_is_the_event_itself() -> None:
    assert Alert.model_validate(body("json", explained())) == explained()


def test_a_cloud_event_is_structured() -> None:
    event = body("cloudevents", explained(sequence=3))
    assert (event["specversion"], event["id"], event["type"]) == ("1.0", "alert-miss-3", "plumbline.alerts.v1")
    assert event["subject"] == "production/flight-delay"
    assert event["time"] == "2026-03-01T12:00:00Z"
    assert Alert.model_validate(event["data"]) == explained(sequence=3)


def test_slack_has_a_text_and_its_markup_is_escaped() -> None:
    message = body("slack", explained())
    assert message["text"] == "PAGE miss is out of true"
    sections = [block["text"]["text"] for block in message["blocks"]]
    assert sections[0] == "*PAGE* miss is out of true"
    assert sections[1] == "dep_delay: &lt;1&gt; &amp; more"
    assert body("slack", explained(status=RESOLVED))["text"] == "RESOLVED miss is out of true"


def test_pagerduty_triggers_and_resolves_one_incident_by_the_fingerprint() -> None:
    trigger = body("pagerduty", explained(annotations={"summary": "x" * 3000}), key="R0UT1NG")
    resolve = body("pagerduty", explained(status=RESOLVED), key="R0UT1NG")
    assert (trigger["routing_key"], trigger["event_action"], resolve["event_action"]) == (
        "R0UT1NG", "trigger", "resolve",
    )  # fmt: skip
    assert trigger["dedup_key"] == resolve["dedup_key"] == "fp-miss"
    assert len(trigger["payload"]["summary"]) == 1024
    assert {"summary", "source", "severity"} <= trigger["payload"].keys()
    assert trigger["payload"]["severity"] == "critical"
    assert "links" not in trigger
    linked = explained(annotations={"summary": "x", "runbook_url": "https://runbooks.example/miss"})
    assert body("pagerduty", linked)["links"] == [{"href": "https://runbooks.example/miss", "text": "runbook"}]


class Bench:
    """A webhook for alerts, with a receiver that gives the given answers in turn."""

    def __init__(self, *answers: int, form: AlertFormat = "json", key: str = "", pages_only: bool = False) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.letters: list[DeadLetter] = []
        self.waits: list[float] = []
        self.webhook = AlertWebhook(
            "http://ci.example/hook", form, key=key, attempts=3, timeout_seconds=1, pages_only=pages_only,
            dead_letter=self._keep, sleep=self._sleep,
        )  # fmt: skip

    async def _keep(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.answers.pop(0), text="said so")

    async def tell(self, one: Alert) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self._answer)) as client:
            await self.webhook.tell(client, one, record(topics.ALERTS.name, one, at=NOW))


async def test_it_is_tried_again_signed_the_same_and_told_once() -> None:
    bench = Bench(503, 200, key="secret")
    await bench.tell(alert())
    first, second = bench.requests
    assert first.content == second.content
    assert is_authentic("secret", second.content, second.headers)
    assert second.headers["Idempotency-Key"] == "alert-miss-1"
    assert len(bench.waits) == 1
    assert bench.letters == []


@pytest.mark.parametrize(("answers", "n_tries"), [((500, 500, 500), 3), ((404,), 1)])
async def test_after_the_last_try_it_is_a_dead_letter(answers: tuple[int, ...], n_tries: int) -> None:
    bench = Bench(*answers)
    await bench.tell(alert())
    assert len(bench.requests) == n_tries
    (letter,) = bench.letters
    assert letter.reason == "webhook_failed"
    assert f"in {n_tries} tries: answered {answers[0]}" in letter.message


async def test_tickets_are_left_out_where_only_pages_are_asked_for() -> None:
    bench = Bench(200, pages_only=True)
    await bench.tell(alert(labels={"alertname": "x", "severity": "ticket"}))
    await bench.tell(alert())
    assert len(bench.requests) == 1


async def test_the_routing_key_is_in_the_body_alone_and_signs_nothing() -> None:
    bench = Bench(202, form="pagerduty", key="R0UT1NG")
    await bench.tell(alert())
    assert "plumbline-signature" not in bench.requests[0].headers
    assert json.loads(bench.requests[0].content)["routing_key"] == "R0UT1NG"


def test_pagerduty_without_a_routing_key_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="expected the routing key"):
        ResponderSettings(alert_webhook_url="https://x.example", alert_webhook_format="pagerduty")
