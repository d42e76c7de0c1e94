"""A steady load: predictions and labels of now, at a given rate; a program of its own beside the worker.

Ids and times are new, features come from a pool of drawn events: making them costs the machine little.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from typing import Final

import uvloop

from benchmarks import events
from schemas import topics
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.settings import Settings

N_POOL: Final = 2_000
TICK_SECONDS: Final = 0.05
CALM_LATENCY: Final = b"0.02"
SLOW_LATENCY: Final = b"0.9"
_TIME: Final = b'"prediction_timestamp":'
_REST: Final = b',"prediction_label":'
_LATENCY: Final = b'"latency_seconds":'


def pool() -> list[bytes]:
    """What comes after the timestamp of drawn predictions, up to the latency."""
    return [
        _REST + prediction.partition(_REST)[2].partition(_LATENCY)[0] + _LATENCY
        for _, prediction, _ in events.events(N_POOL)
    ]


def pairs(n: int, number: int, at: float, rests: list[bytes], latency: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Make key, prediction and label of n ids from `number` on, all of one moment."""
    stamp = f"{at:.3f}".encode()
    for i in range(number, number + n):
        key = f"{(i * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF:024x}".encode()
        head = b'{"prediction_id":"' + key + b'","model_name":"bench",'
        rest = rests[i % len(rests)]
        yield (
            key,
            head + b'"model_version":"7",' + _TIME + stamp + rest + latency + b"}",
            head + b'"label_timestamp":' + stamp + b',"actual_label":1}',
        )


async def run(settings: Settings, *, rate: float, seconds: float, cell_seconds: float) -> None:
    """Publish `rate` events a second (predictions and labels), every second cell with slow predictions."""
    rests, number = pool(), 0
    async with Publisher(settings) as publisher:
        begin = time.time()
        while (now := time.time()) < begin + seconds:
            due = round((now - begin) * rate / 2) - number
            latency = SLOW_LATENCY if int(now / cell_seconds) % 2 else CALM_LATENCY
            made = list(pairs(max(due, 1), number, now, rests, latency))
            number += len(made)
            await publisher.publish_many(Output(topic=topics.PREDICTIONS.name, key=k, value=v) for k, v, _ in made)
            await publisher.publish_many(Output(topic=topics.LABELS.name, key=k, value=v) for k, _, v in made)
            await asyncio.sleep(max(0.0, now + TICK_SECONDS - time.time()))
        print(f"published {2 * number} events in {time.time() - begin:.2f} s", flush=True)


def main() -> None:
    """Publish what the arguments say, to the topics of the settings in the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="events a second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cell-seconds", type=float, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Settings(), rate=options.rate, seconds=options.seconds, cell_seconds=options.cell_seconds))


if __name__ == "__main__":
    main()
