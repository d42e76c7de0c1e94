from __future__ import annotations

from datetime import timedelta

import pytest
from decision_samples import MINUTE, NOW, alert

from schemas.alerts import AlertStatus
from streams.responders.alert_book import AlertBook


def fold(*statuses: AlertStatus) -> AlertBook:
    book = AlertBook()
    for sequence, status in enumerate(statuses, start=1):
        book.apply(alert(status, sequence=sequence), NOW)
    return book


@pytest.mark.parametrize(
    ("statuses", "is_firing"),
    [
        ([AlertStatus.PENDING], False),
        ([AlertStatus.PENDING, AlertStatus.FIRING], True),
        ([AlertStatus.FIRING, AlertStatus.NO_DATA], True),
        ([AlertStatus.PENDING, AlertStatus.NO_DATA], False),
        ([AlertStatus.FIRING, AlertStatus.RESOLVED], False),
    ],
)
def test_what_is_firing(statuses: list[AlertStatus], is_firing: bool) -> None:
    assert fold(*statuses).all()[0].is_firing(NOW) is is_firing


def test_a_record_seen_before_changes_nothing() -> None:
    book = fold(AlertStatus.FIRING, AlertStatus.RESOLVED)
    assert not book.apply(alert(AlertStatus.FIRING, sequence=1), NOW)
    assert not book.apply(alert(AlertStatus.RESOLVED, sequence=2), NOW)
    assert book.in_force(NOW) == []


def test_a_new_alert_of_the_same_fingerprint_begins_anew() -> None:
    book = fold(AlertStatus.FIRING, AlertStatus.RESOLVED)
    assert book.apply(alert(AlertStatus.PENDING, alert_id="another", sequence=1), NOW)
    assert [booked.is_firing(NOW) for booked in book.in_force(NOW)] == [False]


def test_a_resolution_that_says_it_was_firing_counts_as_fired() -> None:
    book = AlertBook()
    book.apply(alert(AlertStatus.RESOLVED, previous_status=AlertStatus.FIRING), NOW)
    assert book.all()[0].has_fired


def test_only_ended_alerts_are_forgotten() -> None:
    book = fold(AlertStatus.FIRING)
    book.apply(alert(AlertStatus.RESOLVED, name="other"), NOW)
    book.forget_ended(before=NOW)
    assert len(book.all()) == 2
    book.forget_ended(before=NOW + MINUTE)
    assert [booked.alert.fingerprint for booked in book.all()] == ["fp-miss"]


def test_an_alert_that_nobody_says_again_expires_on_the_wall_clock() -> None:
    book = AlertBook()
    event_time = NOW - timedelta(days=4000)
    leased = {"updated_at": event_time, "expires_at": event_time + timedelta(days=2)}
    book.apply(alert(**leased), NOW)
    book.apply(alert(name="without"), NOW)
    assert len(book.in_force(NOW + timedelta(days=1))) == 2
    assert [each.alert.fingerprint for each in book.in_force(NOW + timedelta(days=2))] == ["fp-without"]
    assert book.in_force(NOW + timedelta(days=3)) == []
    book.apply(alert(sequence=2, **leased), NOW + timedelta(days=1))
    assert len(book.in_force(NOW + timedelta(days=2))) == 2
