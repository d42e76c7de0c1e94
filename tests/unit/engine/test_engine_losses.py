"""Which failures cost a task its memory, and which end the worker."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerFenced, TopicAuthorizationFailedError

from streams.engine.errors import EngineError, PositionError, TaskLostError, TooManyTaskLossesError
from streams.engine.losses import Losses


def test_losses_are_counted_over_ten_minutes() -> None:
    losses = Losses(2, who="task 0")
    assert losses.judge(ProducerFenced(), now=0, taking_over=False) == 1
    assert losses.judge(TaskLostError("x"), now=1, taking_over=False) == 2
    assert losses.judge(TimeoutError(), now=601.5, taking_over=False) == 1
    assert losses.judge(TimeoutError(), now=602, taking_over=False) == 2
    with pytest.raises(TooManyTaskLossesError, match=r"task 0 was lost 3 times.*expected at most 2"):
        losses.judge(ProducerFenced(), now=603, taking_over=False)


def test_waiting_for_a_broker_costs_nothing() -> None:
    losses = Losses(1, who="task 0")
    for now in range(100):
        assert losses.judge(KafkaConnectionError("away"), now=now, taking_over=True) is None


@pytest.mark.parametrize("error", [PositionError("p"), TopicAuthorizationFailedError("t")])
def test_what_does_not_go_away_ends_the_worker_at_once(error: Exception) -> None:
    with pytest.raises(EngineError):
        Losses(5, who="task 0").judge(error, now=0, taking_over=True)
