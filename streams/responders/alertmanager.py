"""Alerts in force -> Alertmanager's `/api/v2/alerts`: posted again and again, and at once on a change.

Alertmanager forgets an alert that nobody re-asserts; here that is a strength. Each post carries everything that is
firing, with an end a few intervals ahead, so a lost post, a restart on either side or minutes of silence cost
nothing: afterwards its list equals ours. Routing, silences and repetition are Alertmanager's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import structlog

from schemas.alerts import Alert
from streams import telemetry
from streams.responders.alert_book import AlertBook, BookedAlert
from streams.responders.endpoints import endpoint

log = structlog.get_logger(__name__)

HOLD_INTERVALS: Final = 4
"""A firing alert is asserted for this many intervals ahead; an ended one is repeated for as long."""
_POST_ALERTS: Final = 250
"""Alerts in one request."""
_SETTLE_SECONDS: Final = 0.1
"""Changes come in groups; this long is waited for the rest of one."""
_RETRY_SECONDS: Final = 5.0
"""After a failed post the next one comes this soon, or after the interval where that is shorter."""
NAME: Final = "alertmanager"
"""The name under which metrics know this responder."""


Remarks = Callable[[Alert, datetime], Mapping[str, str]]
"""What else is to be said of an alert at a time: annotations."""


def no_remarks(alert: Alert, now: datetime) -> Mapping[str, str]:
    """Nothing else."""
    del alert, now
    return {}


def payload(
    alerts: Sequence[BookedAlert], now: datetime, interval: timedelta, remarks: Remarks = no_remarks
) -> list[dict[str, Any]]:
    """Return what is to be posted: what is firing, and what has ended lately after it had fired.

    Parameters
    ----------
    alerts
        The book's content.
    now
        Wall clock.
    interval
        Time between posts.
    remarks
        Further annotations of each alert.

    Returns
    -------
    list of dict
        Alertmanager's `postableAlerts`. `startsAt` is always given; `endsAt` is `HOLD_INTERVALS` ahead while the
        alert is firing, and its end once it has ended. Event time that lies ahead of the wall clock is cut to it:
        an end before its start would be refused.
    """
    hold = HOLD_INTERVALS * interval
    posted = []
    for booked in alerts:
        if booked.is_firing(now):
            posted.append(_postable(booked.alert, now, now + hold, remarks))
        elif booked.has_ended_lately(now, hold):
            ended = booked.alert.ends_at or booked.alert.updated_at
            posted.append(_postable(booked.alert, now, ended, remarks))
    return posted


def _postable(alert: Alert, now: datetime, ends_at: datetime, remarks: Remarks) -> dict[str, Any]:
    starts_at = min(alert.starts_at, now)
    annotations = {**alert.annotations, **remarks(alert, now)}
    return {
        "labels": {name: value for name, value in alert.labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": _rfc3339(starts_at),
        "endsAt": _rfc3339(max(starts_at, ends_at)),
    }


def _rfc3339(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AlertmanagerPoster:
    """Keeps one Alertmanager in line with a book.

    Parameters
    ----------
    url
        Base URL, such as `http://alertmanager:9093`.
    book
        The alerts; call `changed` after folding into it.
    interval
        Time between posts.
    timeout_seconds
        Of one request.
    now
        Wall clock, aware.
    remarks
        Further annotations of each alert.
    """

    def __init__(
        self,
        url: str,
        book: AlertBook,
        *,
        interval: timedelta,
        timeout_seconds: float,
        now: Callable[[], datetime],
        remarks: Remarks = no_remarks,
    ) -> None:
        self._url = endpoint(url, setting="responders.alertmanager_url", path="/api/v2/alerts")
        self._book = book
        self._interval = interval
        self._timeout_seconds = timeout_seconds
        self._now = now
        self._remarks = remarks
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Say that the book changed: the next post comes at once."""
        self._changed.set()

    async def run(self) -> None:
        """Post for ever."""
        async with httpx.AsyncClient(timeout=self._timeout_seconds) as client:
            while True:
                self._changed.clear()
                is_posted = await self.post(client)
                await self._wait(is_posted)

    async def _wait(self, is_posted: bool) -> None:
        seconds = self._interval.total_seconds()
        if not is_posted:
            await asyncio.sleep(min(seconds, _RETRY_SECONDS))
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(seconds, _SETTLE_SECONDS))

    async def post(self, client: httpx.AsyncClient) -> bool:
        """Post the state in force once; whether all of it was taken. A failure is said and counted, never raised."""
        now = self._now()
        self._book.forget_ended(before=now - HOLD_INTERVALS * self._interval)
        alerts = payload(self._book.all(), now, self._interval, self._remarks)
        parts = [alerts[start : start + _POST_ALERTS] for start in range(0, len(alerts), _POST_ALERTS)]
        return all([await self._send(client, part) for part in parts])

    async def _send(self, client: httpx.AsyncClient, alerts: Sequence[dict[str, Any]]) -> bool:
        begun = time.perf_counter()
        try:
            response = await client.post(self._url, json=list(alerts))
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            log.warning("alertmanager_refused", status=error.response.status_code, said=error.response.text[:300])
            telemetry.RESPONSES.labels(responder=NAME, outcome="refused").inc()
            return False
        except httpx.HTTPError as error:
            log.warning("alertmanager_unreachable", error=repr(error))
            telemetry.RESPONSES.labels(responder=NAME, outcome="unreachable").inc()
            return False
        finally:
            telemetry.RESPONSE_SECONDS.labels(responder=NAME).observe(time.perf_counter() - begun)
        telemetry.RESPONSES.labels(responder=NAME, outcome="posted").inc()
        return True


async def probe(url: str, *, timeout_seconds: float) -> str:
    """Ask an Alertmanager whether it is ready; the empty string where it is, else what is wrong."""
    try:
        async with httpx.AsyncClient(timeout=timeout_seconds) as client:
            response = await client.get(endpoint(url, setting="responders.alertmanager_url", path="/-/ready"))
    except httpx.HTTPError as error:
        return f"no answer: {error!r}"
    return "" if response.is_success else f"answered {response.status_code}"
