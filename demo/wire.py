"""The demo's clients: sends in bulk, waits until the stages have consumed it, and reads what they decided."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from aiokafka.errors import KafkaError

from demo.bad_input import BadRecord
from demo.errors import DemoError
from demo.reading import TopicReader
from demo.totals import read_totals
from schemas import topics
from streams.engine.clients import drop_producer, start_producer
from streams.engine.lag import LagReader
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName

DECISIONS: Final = tuple(
    topic.name
    for topic in (
        topics.DEAD_LETTERS, topics.METRICS, topics.ALERTS, topics.EVIDENCE, topics.ROLLBACKS, topics.ROLLBACK_STATUS,
    )
)  # fmt: skip
"""What the demo reads after every step, and in which order it takes it."""
_STEP_TIMEOUT_SECONDS: Final = 60.0

Result = TypeVar("Result")


@dataclass(slots=True)
class Wire:
    """Everything that the simulator does with the broker; `async with await Wire.open(settings) as wire`."""

    settings: Settings
    names: TopicNames
    publisher: Publisher
    lag: LagReader
    decisions: TopicReader
    alive: Callable[[], None]
    """Raises where the worker has ended."""

    @classmethod
    def make(cls, settings: Settings, alive: Callable[[], None]) -> Wire:
        """Make the clients; nothing is connected yet."""
        names = TopicNames(settings)
        lag = LagReader(settings, names)
        return cls(
            settings=settings,
            names=names,
            publisher=Publisher(settings, names),
            lag=lag,
            decisions=TopicReader(settings, names, DECISIONS, lag),
            alive=alive,
        )

    async def __aenter__(self) -> Self:
        await self.publisher.start()
        await self.lag.start()
        await self.decisions.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.decisions.stop()
        await self.lag.stop()
        await self.publisher.stop()

    async def send(self, outputs: Iterable[Output]) -> int:
        """Send in bulk, and wait until the broker has it."""
        return await self.publisher.publish_many(outputs)

    async def settle(self) -> list[tuple[str, Record]]:
        """Wait until every stage has consumed what the one before it said, and read the decisions."""
        for stage in (StageName.PROFILER, StageName.EVALUATOR, StageName.GOVERNOR):
            await self._unless_dead(self.lag.wait_until_consumed(stage, timeout_seconds=_STEP_TIMEOUT_SECONDS))
        return await self.decisions.read_to_end()

    async def pause(self, seconds: float) -> None:
        """Let the wall clock go on."""
        await asyncio.sleep(seconds)

    def see(self, now_ms: int) -> None:
        """The workers have a clock of their own."""

    async def close_books(self, final: Iterable[Output], *, not_before_ms: int, keys: Sequence[str]) -> dict[str, int]:
        """Send the final watermarks, and read the totals of every source partition after them."""
        profiles = TopicReader(self.settings, self.names, [topics.PROFILES.name], self.lag)
        await profiles.start(at_end=True)
        try:
            await self.send(final)
            return await self._unless_dead(read_totals(profiles, not_before_ms=not_before_ms, keys=keys))
        finally:
            await profiles.stop()

    async def _unless_dead(self, waiting: Awaitable[Result]) -> Result:
        """Await something that never comes where the worker has ended, and say that instead."""
        task = asyncio.ensure_future(waiting)
        try:
            while not task.done():
                self.alive()
                await asyncio.wait({task}, timeout=0.5)
            return await task
        finally:
            task.cancel()

    async def send_bad(self, records: Iterable[BadRecord]) -> list[BadRecord]:
        """Send records that our own publisher refuses to; returns those that the broker took."""
        producer = await start_producer(self.settings, client="demo-bad-input")
        taken = []
        try:
            for bad in records:
                output = bad.output
                with contextlib.suppress(KafkaError):
                    await producer.send_and_wait(
                        self.names.in_use(output.topic), output.value, key=output.key, headers=list(output.headers)
                    )
                    taken.append(bad)
        finally:
            await drop_producer(producer)
        if not taken:
            msg = "the broker took none of the bad records: expected most of them"
            raise DemoError(msg)
        return taken
