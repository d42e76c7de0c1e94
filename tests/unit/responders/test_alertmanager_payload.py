from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from decision_samples import MINUTE, NOW, alert

from schemas.alerts import AlertStatus
from streams import telemetry
from streams.engine.errors import ConfigurationError
from streams.responders.alert_book import AlertBook
from streams.responders.alertmanager import AlertmanagerPoster, payload


def book_of(*records: tuple[AlertStatus, int]) -> AlertBook:
    book = AlertBook()
    for status, sequence in records:
        book.apply(alert(status, sequence=sequence), NOW)
    return book


def test_a_firing_alert_ends_four_intervals_ahead() -> None:
    (posted,) = payload(book_of((AlertStatus.FIRING, 1)).all(), NOW, MINUTE)
    assert posted["startsAt"] == "2026-03-01T11:50:00.000Z"
    assert posted["endsAt"] == "2026-03-01T12:04:00.000Z"
    assert "segment" not in posted["labels"], "empty labels are none"


def test_pending_alerts_stay_here() -> None:
    assert payload(book_of((AlertStatus.PENDING, 1)).all(), NOW, MINUTE) == []
    ended = book_of((AlertStatus.PENDING, 1), (AlertStatus.RESOLVED, 2))
    assert payload(ended.all(), NOW, MINUTE) == []


def test_a_resolution_is_repeated_for_four_intervals_and_then_no_more() -> None:
    book = book_of((AlertStatus.FIRING, 1), (AlertStatus.RESOLVED, 2))
    for minutes in range(5):
        (posted,) = payload(book.all(), NOW + minutes * MINUTE, MINUTE)
        assert posted["endsAt"] == "2026-03-01T12:00:00.000Z"
    assert payload(book.all(), NOW + 5 * MINUTE, MINUTE) == []


def test_event_time_ahead_of_the_wall_clock_is_cut() -> None:
    book = AlertBook()
    book.apply(alert(starts_at=NOW + timedelta(days=1)), NOW)
    (posted,) = payload(book.all(), NOW, MINUTE)
    assert posted["startsAt"] == "2026-03-01T12:00:00.000Z"
    assert posted["startsAt"] < posted["endsAt"]


def test_an_end_never_lies_before_its_start() -> None:
    book = book_of((AlertStatus.FIRING, 1))
    book.apply(alert(AlertStatus.RESOLVED, sequence=2, ends_at=NOW - timedelta(days=9)), NOW)
    (posted,) = payload(book.all(), NOW, MINUTE)
    assert posted["startsAt"] == posted["endsAt"]


@pytest.mark.parametrize("url", ["alertmanager:9093", "ftp://x", "http://", "http://host:port"])
def test_an_address_that_is_none_is_refused_at_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"responders\.alertmanager_url"):
        AlertmanagerPoster(url, AlertBook(), interval=MINUTE, timeout_seconds=1, now=lambda: NOW)


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_a_post_says_whether_it_was_taken(status: int) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status)

    book = AlertBook()
    for number in range(300):
        book.apply(alert(name=f"n{number}"), NOW)
    poster = AlertmanagerPoster("http://am:9093/base/", book, interval=MINUTE, timeout_seconds=1, now=lambda: NOW)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        assert await poster.post(client) is (status == 200)
    assert {str(request.url) for request in requests} == {"http://am:9093/base/api/v2/alerts"}
    assert len(requests) == 2, "large lists go in parts, and a refused part does not keep the next one back"


async def test_no_answer_is_counted_and_not_raised() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        message = "refused"
        raise httpx.ConnectError(message, request=request)

    poster = AlertmanagerPoster(
        "http://am:9093", book_of((AlertStatus.FIRING, 1)), interval=MINUTE, timeout_seconds=1, now=lambda: NOW
    )
    labels = {"responder": "alertmanager", "outcome": "unreachable"}
    before = telemetry.REGISTRY.get_sample_value("plumbline_responses_total", labels) or 0
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
        assert not await poster.post(client)
    assert telemetry.REGISTRY.get_sample_value("plumbline_responses_total", labels) == before + 1
