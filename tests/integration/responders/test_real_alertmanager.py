from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from decision_samples import alert
from outside_world import Alertmanager

from schemas.alerts import AlertStatus
from streams.responders.alert_book import AlertBook
from streams.responders.alertmanager import AlertmanagerPoster, probe

INTERVAL = timedelta(seconds=0.4)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    made = Alertmanager(tmp_path)
    made.start()
    yield made
    made.stop()


class Bridge:
    """A book and the poster that keeps the Alertmanager in line with it."""

    def __init__(self, url: str, interval: timedelta = INTERVAL) -> None:
        self.book = AlertBook()
        self.poster = AlertmanagerPoster(url, self.book, interval=interval, timeout_seconds=2, now=now)
        self._running = asyncio.create_task(self.poster.run())

    def say(self, status: AlertStatus, sequence: int, name: str = "miss") -> None:
        starts, ends = now() - timedelta(minutes=5), now() if status is AlertStatus.RESOLVED else None
        self.book.apply(alert(status, name=name, sequence=sequence, starts_at=starts, ends_at=ends), now())
        self.poster.changed()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})


@pytest.fixture
async def bridge(alertmanager: Alertmanager) -> AsyncIterator[Bridge]:
    made = Bridge(alertmanager.url)
    yield made
    await made.stop()


async def until(alertmanager: Alertmanager, names: list[str], *, seconds: float = 5) -> None:
    found: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            while (found := await alertmanager.names()) != names:
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"Alertmanager lists {found}: expected {names}")


async def test_the_life_of_an_alert(alertmanager: Alertmanager, bridge: Bridge) -> None:
    bridge.say(AlertStatus.PENDING, 1)
    await asyncio.sleep(0.5)
    assert await alertmanager.names() == []
    bridge.say(AlertStatus.FIRING, 2)
    await until(alertmanager, ["miss"])
    (listed,) = await alertmanager.alerts()
    assert "segment" not in listed["labels"]
    assert listed["annotations"]["summary"] == "miss is out of true"
    assert listed["startsAt"] < listed["endsAt"]
    await asyncio.sleep(6 * INTERVAL.total_seconds())
    assert await alertmanager.names() == ["miss"], "asserted again, it outlives its own end"
    bridge.say(AlertStatus.RESOLVED, 3)
    await until(alertmanager, [])


async def test_a_change_is_posted_at_once(alertmanager: Alertmanager) -> None:
    patient = Bridge(alertmanager.url, interval=timedelta(minutes=1))
    await asyncio.sleep(0.3)
    patient.say(AlertStatus.FIRING, 1)
    await until(alertmanager, ["miss"], seconds=2)
    patient.say(AlertStatus.RESOLVED, 2)
    await until(alertmanager, [], seconds=2)
    await patient.stop()


async def test_an_alertmanager_that_comes_back_has_our_list(alertmanager: Alertmanager, bridge: Bridge) -> None:
    bridge.say(AlertStatus.FIRING, 1)
    bridge.say(AlertStatus.FIRING, 1, name="cost")
    await until(alertmanager, ["cost", "miss"])
    alertmanager.stop()
    bridge.say(AlertStatus.RESOLVED, 2, name="cost")
    bridge.say(AlertStatus.FIRING, 1, name="latency")
    await asyncio.sleep(0.5)
    alertmanager.start()
    await until(alertmanager, ["latency", "miss"])


async def test_without_us_its_list_empties_itself(alertmanager: Alertmanager, bridge: Bridge) -> None:
    bridge.say(AlertStatus.FIRING, 1)
    await until(alertmanager, ["miss"])
    await bridge.stop()
    await until(alertmanager, [])


async def test_probe(alertmanager: Alertmanager) -> None:
    assert await probe(alertmanager.url, timeout_seconds=2) == ""
    alertmanager.stop()
    assert (await probe(alertmanager.url, timeout_seconds=2)).startswith("no answer")
