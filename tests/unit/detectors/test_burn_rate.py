"""Burn rates worked by hand: an objective of 99 %, cells of five minutes with 100 events each."""

import pytest

from detectors.burn_rate import BurnPair, Spent, budget_left, burn_rate, burns

PAGE = [BurnPair(14.4, long=60, short=5), BurnPair(6.0, long=360, short=30)]
TICKET = [BurnPair(3.0, long=1440, short=120), BurnPair(1.0, long=4320, short=360)]


def hours(bad_per_cell: list[int]) -> list[Spent]:
    """Twelve cells an hour, as many bad ones in each as the hour's number says; the first hour starts at minute 0."""
    return [Spent(60 * h + 5 * i, bad, 100) for h, bad in enumerate(bad_per_cell) for i in range(12)]


def burning(spent: list[Spent], pairs: list[BurnPair], now: int, min_events: int = 1) -> list[bool]:
    return [each.is_burning for each in burns(spent, pairs, now=now, objective=0.99, min_events=min_events)]


def test_an_hour_at_fifteen_in_a_hundred_pages_by_the_first_pair_alone() -> None:
    spent = hours([0] * 5 + [15])
    first, second = burns(spent, PAGE, now=360, objective=0.99, min_events=1)
    assert first.long_rate == pytest.approx(15.0)
    assert first.short_rate == pytest.approx(15.0)
    assert second.long_rate == pytest.approx(15.0 / 6)
    assert (first.is_burning, second.is_burning) == (True, False)


def test_at_its_factor_nothing_burns_and_above_it_does() -> None:
    exact = [Spent(5 * i, 144, 1000) for i in range(12)]
    above = [*exact[:-1], Spent(55, 145, 1000)]
    assert burning(exact, PAGE[:1], 60) == [False]
    assert burning(above, PAGE[:1], 60) == [True]


def test_the_short_window_clears_once_the_cause_is_gone() -> None:
    spent = [*hours([100]), Spent(60, 0, 100)]
    (first,) = burns(spent, PAGE[:1], now=65, objective=0.99, min_events=1)
    assert first.long_rate == pytest.approx(100 * 11 / 12)
    assert first.short_rate == 0.0
    assert not first.is_burning


def test_a_slow_burn_is_a_ticket_and_no_page() -> None:
    spent = hours([2] * 72)
    assert burning(spent, PAGE, 72 * 60) == [False, False]
    assert burning(spent, TICKET, 72 * 60) == [False, True]
    assert burning(hours([4] * 24), TICKET, 24 * 60) == [True, True]


def test_too_few_events_decide_nothing() -> None:
    spent = [Spent(5 * i, 1, 1) for i in range(12)]
    assert burning(spent, PAGE[:1], 60, min_events=12) == [True]
    assert burning(spent, PAGE[:1], 60, min_events=13) == [False]


def test_without_events_there_is_no_rate() -> None:
    (first,) = burns([], PAGE[:1], now=60, objective=0.99, min_events=1)
    assert (first.long_rate, first.short_rate, first.is_burning) == (None, None, False)
    assert burn_rate(0, 0, 0.99) is None
    assert budget_left(0, 0, 0.99) == 1.0


def test_a_budget_can_be_overdrawn() -> None:
    assert budget_left(10, 1000, 0.99) == pytest.approx(0.0)
    assert budget_left(25, 1000, 0.99) == pytest.approx(-1.5)


@pytest.mark.parametrize("objective", [0.0, 1.0, float("nan")])
def test_an_objective_is_a_share(objective: float) -> None:
    with pytest.raises(ValueError, match="objective"):
        burn_rate(1, 2, objective)
