"""Days of events in small commits, with restarts: runs are merged and deleted, rows forgotten, and nothing is lost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from join_oracle import Oracle
from profiler_world import HOUR, L, P, harness, label, merged, outcomes, prediction, record, totals
from test_join_properties import START, VIEW, named


def history(seed: int, n: int, hours: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Predictions in about their order, a third of them twice or under a second version; labels a little later."""
    draw = random.Random(seed)
    served, truths = [], []
    for i in range(n):
        at = START + hours * HOUR * i / n + draw.uniform(-900, 900)
        features = {"kind": draw.choice(["a", "b", "q"]), "carrier": draw.choice(["AA", "BB", "CC"])}
        for _ in range(draw.choice([1, 1, 2])):
            version = draw.choice(["1", "1", "2"])
            said = draw.choice(["on", "late"])
            served.append(prediction(f"id-{i}", at, model_version=version, prediction_label=said, features=features))
        for revision in range(draw.choice([0, 1, 1, 1, 2, 3])):
            stamp = at + draw.choice([60, HOUR, 4 * HOUR, 5.9 * HOUR, 6.1 * HOUR]) + revision * 60
            fields = {"revision": draw.choice([revision, 0]), "retracted": draw.random() < 0.1}
            truths.append(label(f"id-{i}", stamp, draw.choice(["on", "late"]), **fields))
    served.sort(key=lambda event: event["prediction_timestamp"] + draw.uniform(0, 1200))
    truths.sort(key=lambda event: event["label_timestamp"] + draw.uniform(0, 1200))
    return served, truths


@pytest.mark.parametrize(("seed", "lag"), [(1, 0), (2, 5 * HOUR), (3, -3 * HOUR), (4, 20 * HOUR)])
def test_small_commits_with_restarts_are_right_and_bounded(seed: int, lag: float) -> None:
    p_log, l_log = history(seed, 1200, 72)
    at_p = [(event["prediction_timestamp"] + lag, P, i, event) for i, event in enumerate(p_log)]
    at_l = [(event["label_timestamp"], L, i, event) for i, event in enumerate(l_log)]
    for events in (at_p, at_l):  # by time, but each topic in its own order
        latest = 0.0
        for i, (at, *rest) in enumerate(events):
            latest = max(latest, at)
            events[i] = (latest, *rest)
    records = [record(topic, event, i) for _, topic, i, event in sorted(at_p + at_l, key=lambda e: e[:3])]
    task = harness(VIEW)
    task.feed(records, batch_sizes=[7, 1, 13], restart_after=range(5, 2000, 5), caught_up=False)
    oracle = Oracle(p_log, l_log)
    assert totals(task) == oracle.totals
    assert named(merged(task)) == oracle.counts()
    assert [(v, c, bytes(sorted(e))) for v, c, e in outcomes(task)] == oracle.outcomes()
    assert sum(key.startswith("run/") for key in task.changelog) < 60
    assert sum(map(len, task.changelog.values())) < 400_000
