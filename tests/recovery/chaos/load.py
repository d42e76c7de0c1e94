"""The load producer: sends the stream at the pace of the faults, and tells the oracle of every event it sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from streams.engine.processor import Output
from streams.engine.publisher import Publisher

from .oracle import Oracle
from .workload import Sent

_TICK_SECONDS: Final = 0.05
_MOST_PER_TICK: Final = 2_000
_FIRST_PERIOD_SECONDS: Final = 5.0


class Load:
    """Sends a stream through an idempotent producer.

    Parameters
    ----------
    stream
        What is to be sent, in order.
    n_events
        How many that is, about: the pace is set by it.
    publisher
        Connected; what it has acknowledged is sent.
    oracle
        Is told.
    """

    def __init__(self, stream: Iterator[Sent], n_events: int, publisher: Publisher, oracle: Oracle) -> None:
        self._stream = stream
        self._n_events = n_events
        self._publisher = publisher
        self._oracle = oracle
        self._allowed = 0.0
        self._per_tick = 0.0
        self._is_last = False
        self.n_sent = 0

    def allow(self, share: float, *, seconds: float = _FIRST_PERIOD_SECONDS) -> None:
        """Let another share of the load go out, spread over about so many seconds."""
        self._allowed = min(1.0, self._allowed + share)
        left = self._allowed * self._n_events - self.n_sent
        self._per_tick = max(1.0, left * _TICK_SECONDS / max(seconds, _TICK_SECONDS))

    def finish(self) -> None:
        """Let all of the rest go out, as fast as it will."""
        self._is_last = True

    async def run(self) -> None:
        """Send until the stream is at its end."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            n = _MOST_PER_TICK if self._is_last else min(_MOST_PER_TICK, round(self._per_tick))
            if not self._is_last and self.n_sent >= self._allowed * self._n_events:
                n = 0
            chunk = list(islice(self._stream, n))
            if n and not chunk:
                return
            await self._send(chunk)
            if not self._is_last:
                await asyncio.sleep(max(0.0, _TICK_SECONDS - (loop.time() - began)))

    async def _send(self, chunk: list[Sent]) -> None:
        if not chunk:
            return
        await self._publisher.publish_many(
            Output(topic=each.topic, key=each.key.encode(), value=each.value) for each in chunk
        )
        for each in chunk:
            self._oracle.take(each)
        self.n_sent += len(chunk)
