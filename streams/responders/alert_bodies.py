"""What an alert looks like to those who receive it: as it is, as a CloudEvent, for Slack, for PagerDuty.

References
----------
CloudEvents 1.0, JSON event format. Slack, "Sending messages using incoming webhooks". PagerDuty, "Events API v2".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.cloudevents import SPEC_VERSION, event_type
from schemas.identifiers import model_key

AlertFormat = Literal["json", "cloudevents", "slack", "pagerduty"]
_SUMMARY_CHARS: Final = 1024
"""PagerDuty takes no more."""


def body_of_alert(alert: Alert, form: AlertFormat, *, key: str) -> bytes:
    """Write an alert down for a receiver.

    Parameters
    ----------
    alert
        What is to be told.
    form
        What the receiver expects.
    key
        For `pagerduty` the integration's routing key, which is part of the body; the others have no use for it.

    Returns
    -------
    bytes
        JSON in UTF-8.
    """
    content = _BODIES[form](alert, key)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def content_type(form: AlertFormat) -> str:
    """The media type of a body."""
    return "application/cloudevents+json" if form == "cloudevents" else "application/json"


def _plain(alert: Alert, key: str) -> Mapping[str, Any]:
    del key
    return alert.model_dump(mode="json")


def _cloud_event(alert: Alert, key: str) -> Mapping[str, Any]:
    return {
        "specversion": SPEC_VERSION,
        "id": f"{alert.alert_id}-{alert.sequence}",
        "type": event_type(topics.ALERTS.name),
        "source": "plumbline/evaluator",
        "subject": model_key(alert.labels.get("environment", ""), alert.labels.get("model_name", "")),
        "time": alert.updated_at.isoformat().replace("+00:00", "Z"),
        "dataschema": f"urn:plumbline:schema:{topics.ALERTS.name}",
        "datacontenttype": "application/json",
        "data": _plain(alert, key),
    }


def _slack(alert: Alert, key: str) -> Mapping[str, Any]:
    del key
    text = f"*{_escaped(_state(alert))}* {_escaped(_summary(alert))}"
    details = [
        alert.annotations.get("description", ""),
        *(f"{e.name}: {e.summary}" for e in alert.explanation.top_features),
    ]
    shown = "\n".join(_escaped(line) for line in details if line)
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    if shown and alert.status is AlertStatus.FIRING:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": shown[:3000]}})
    context = f"`plumbline alerts show {alert.fingerprint}`"
    blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": context}})
    return {"text": f"{_state(alert)} {_summary(alert)}", "blocks": blocks}


def _pagerduty(alert: Alert, key: str) -> Mapping[str, Any]:
    labels = alert.labels
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "resolve" if alert.status is AlertStatus.RESOLVED else "trigger",
        "dedup_key": alert.fingerprint,
        "client": "Plumbline",
        "payload": {
            "summary": _summary(alert)[:_SUMMARY_CHARS],
            "source": model_key(labels.get("environment", ""), labels.get("model_name", "")),
            "severity": "critical" if labels.get("severity") == "page" else "warning",
            "timestamp": alert.starts_at.isoformat(),
            "component": labels.get("model_version", ""),
            "group": labels.get("namespace", ""),
            "class": labels.get("alertname", ""),
            "custom_details": {
                "description": alert.annotations.get("description", ""),
                "moved": {each.name: each.summary for each in alert.explanation.top_features},
                "deployment_id": alert.lineage.deployment_id,
                "owner": labels.get("owner", ""),
            },
        },
    }
    if alert.annotations.get("runbook_url", "").startswith(("http://", "https://")):
        event["links"] = [{"href": alert.annotations["runbook_url"], "text": "runbook"}]
    return event


_BODIES: Final[Mapping[AlertFormat, Callable[[Alert, str], Mapping[str, Any]]]] = {
    "json": _plain,
    "cloudevents": _cloud_event,
    "slack": _slack,
    "pagerduty": _pagerduty,
}


def _summary(alert: Alert) -> str:
    return alert.annotations.get("summary") or alert.labels.get("alertname", alert.fingerprint)


def _state(alert: Alert) -> str:
    severity = alert.labels.get("severity", "ticket")
    return "RESOLVED" if alert.status is AlertStatus.RESOLVED else severity.upper()


def _escaped(text: str) -> str:
    """The three characters that mean something in Slack's markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
