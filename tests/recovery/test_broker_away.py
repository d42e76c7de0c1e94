"""The broker is gone for longer than any timeout, and comes back: the worker goes on by itself, or ends non-zero.

Under a supervisor both come to the same. What may not be is a worker that is alive and idle.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from brokers.kafka import KafkaBroker
from streams.engine.lag import LagReader
from streams.settings import StageName
from tests.integration.engine.engine_support import PROFILES, read_all
from tests.recovery.worker_process import n_counted
from tests.recovery.world import World, make_world

pytestmark = [pytest.mark.kafka, pytest.mark.recovery]
PROFILER = StageName.PROFILER
SHORT = {
    "session_timeout_seconds": 2.0,
    "max_poll_interval_seconds": 3.0,
    "transaction_timeout_seconds": 1.0,
    "commit_interval_seconds": 0.05,
}
AWAY_SECONDS = 6.0
"""Longer than sessions, polls, transactions, and the deadline of a commit, which is three transactions."""


async def supervise(world: World, away: asyncio.Event, back: asyncio.Event) -> list[int]:
    """Start the worker whenever it has ended, until all is consumed; return the codes it ended with."""
    codes: list[int] = []
    done = False
    while not done:
        with world.worker() as worker:
            if not away.is_set():
                await world.under_load(worker)
                away.set()
            ended = asyncio.create_task(asyncio.to_thread(worker.process.wait))
            consumed = asyncio.create_task(_consumed(world, back))
            await asyncio.wait({ended, consumed}, return_when=asyncio.FIRST_COMPLETED, timeout=90)
            assert ended.done() or consumed.done(), f"alive and idle:\n{worker.said}"
            done = consumed.done()
            if done:
                await consumed
                assert worker.get("/healthz")[0] == 200, worker.get("/healthz")
                codes.append(await asyncio.to_thread(worker.end))
                await ended
            else:
                consumed.cancel()
                codes.append(await ended)
    return codes


async def _consumed(world: World, back: asyncio.Event) -> None:
    await back.wait()
    async with LagReader(world.settings) as lag:
        await lag.wait_until_consumed(PROFILER, timeout_seconds=60)


async def away(world: World, kafka: KafkaBroker, how: signal.Signals, seconds: float) -> None:
    """A worker is at work, the broker goes and comes back; at the end every prediction was counted once.

    Another worker is told to end while there is no broker, and does.
    """
    gone, back = asyncio.Event(), asyncio.Event()
    with world.worker(StageName.EVALUATOR) as other:
        await asyncio.to_thread(other.wait_until_ready)
        supervising = asyncio.create_task(supervise(world, gone, back))
        await asyncio.wait({supervising, asyncio.create_task(gone.wait())}, return_when=asyncio.FIRST_COMPLETED)
        kafka.kill(how)
        try:
            assert await asyncio.to_thread(other.end) in {0, 1}, other.said
            await asyncio.sleep(seconds)  # the outage itself
        finally:
            if how is signal.SIGSTOP:
                kafka.kill(signal.SIGCONT)
            await asyncio.to_thread(kafka.start)
    back.set()
    codes = await supervising
    assert codes[-1] == 0
    assert all(codes[:-1]), "a worker that gives up says so with its code"
    assert n_counted(await read_all(world.settings, PROFILES)) == world.n_sent


async def test_a_broker_that_died_and_comes_back(kafka: KafkaBroker, tmp_path: Path) -> None:
    async with make_world(kafka, tmp_path, **SHORT) as world:
        await away(world, kafka, signal.SIGKILL, AWAY_SECONDS)


@pytest.mark.slow
async def test_a_broker_that_hangs_for_longer_than_a_request_may_take(kafka: KafkaBroker, tmp_path: Path) -> None:
    """The clients' request timeout is 40 s, and no setting: this cannot be shortened."""
    async with make_world(kafka, tmp_path, **SHORT) as world:
        await away(world, kafka, signal.SIGSTOP, 55.0)
