from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from decision_samples import NOW

from streams.commands.doctor import clock, disk, layout
from streams.commands.topics import advice, retention
from streams.engine.topics import TopicDescription


def described(n_partitions: int | None) -> TopicDescription:
    return TopicDescription(
        name="x.ml.alerts.v1",
        table_name="ml.alerts.v1",
        key="environment/model",
        purpose="alerts",
        retention_ms=None,
        n_partitions_expected=1,
        n_partitions=n_partitions,
        config={},
    )


@pytest.mark.parametrize(
    ("n_partitions", "says"), [(1, ""), (None, "missing: `plumbline topics create`"), (3, "3 partitions, expected 1")]
)
def test_topics(n_partitions: int | None, says: str) -> None:
    topic = described(n_partitions)
    assert advice(topic).startswith(says)
    assert layout([topic]).ok is (says == "")
    assert says in layout([topic]).do


def test_retention() -> None:
    assert retention(None) == "everything"
    assert retention(7 * 86_400_000) == "7d"


@pytest.mark.parametrize(("free", "ok"), [(5e9, True), (1e9, False)])
def test_disk(free: float, ok: bool) -> None:
    check = disk(Path("/data"), usage=lambda _: SimpleNamespace(free=int(free)))
    assert check.ok is ok
    assert "/data" in check.found


@pytest.mark.parametrize(("seconds", "ok"), [(-3600, True), (4, True), (6, False)])
def test_clock(seconds: int, ok: bool) -> None:
    assert clock(NOW + timedelta(seconds=seconds), NOW).ok is ok
    assert clock(None, NOW).ok
