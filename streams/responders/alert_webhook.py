"""Alerts -> a webhook, in the form that the receiver expects: told when one fires and when it ends.

Each is told at least once: a receiver drops repetitions by the header `Idempotency-Key`, PagerDuty by its `dedup_key`.
What was in force before the first start is not told; after that a restart goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import structlog

from schemas.alerts import Alert, AlertStatus
from streams import telemetry
from streams.engine.processor import DeadLetter, Record
from streams.responders.alert_bodies import AlertFormat, body_of_alert, content_type
from streams.responders.endpoints import endpoint, shown
from streams.responders.posting import NotTakenError, Poster, Sleep
from streams.responders.signatures import signature_headers
from streams.responders.webhook import FAILED, IDEMPOTENCY_HEADER

log = structlog.get_logger(__name__)

NAME: Final = "alert_webhook"


def is_news(alert: Alert) -> bool:
    """Whether somebody is to be told: it fires, or ends after it had fired; not that it goes on."""
    if alert.status is alert.previous_status:
        return False
    if alert.status is AlertStatus.FIRING:
        return alert.previous_status is not AlertStatus.NO_DATA
    return alert.status is AlertStatus.RESOLVED and alert.previous_status is not AlertStatus.PENDING


class AlertWebhook:
    """Tells a receiver of alerts.

    Parameters
    ----------
    url
        Where to.
    form
        What the receiver expects.
    key
        Signs the body; for `pagerduty` it is the routing key instead. Empty: unsigned.
    attempts, timeout_seconds
        Tries of one alert, and the time of each.
    pages_only
        Leave tickets out.
    dead_letter
        Publishes the dead letter of an alert that could not be told.
    sleep
        Waits between tries.
    """

    def __init__(
        self,
        url: str,
        form: AlertFormat,
        *,
        key: str,
        attempts: int,
        timeout_seconds: float,
        pages_only: bool,
        dead_letter: Callable[[DeadLetter], Awaitable[None]],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        address = endpoint(url, setting="responders.alert_webhook_url")
        self._poster = Poster(url=address, responder=NAME, attempts=attempts, sleep=sleep)
        self._form = form
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._pages_only = pages_only
        self._dead_letter = dead_letter

    def client(self) -> httpx.AsyncClient:
        """Return a client with the configured timeout."""
        return httpx.AsyncClient(timeout=self._timeout_seconds)

    async def tell(self, client: httpx.AsyncClient, alert: Alert, record: Record) -> None:
        """Tell of one record of the topic, if it is news; one that is not taken becomes a dead letter."""
        if not is_news(alert) or (self._pages_only and alert.labels.get("severity") != "page"):
            return
        body = body_of_alert(alert, self._form, key=self._key)
        headers = {
            "content-type": content_type(self._form),
            IDEMPOTENCY_HEADER: f"{alert.alert_id}-{alert.sequence}",
            **(signature_headers(self._key, body) if self._key and self._form != "pagerduty" else {}),
        }
        try:
            await self._poster.post(client, body, headers)
        except NotTakenError as error:
            message = (
                f"{shown(str(self._poster.url))} did not take {alert.status.value} of {alert.alert_id}"
                f" in {error.n_tries} tries: {error}"
            )
            log.error("alert_webhook_failed", alert_id=alert.alert_id, state=alert.status.value, error=str(error))
            telemetry.RESPONSES.labels(responder=NAME, outcome="failed").inc()
            await self._dead_letter(DeadLetter(record=record, reason=FAILED, message=message))
        else:
            log.info("alert_told", alert_id=alert.alert_id, state=alert.status.value)
            telemetry.RESPONSES.labels(responder=NAME, outcome="delivered").inc()
