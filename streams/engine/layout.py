"""Looks at a running stage's topics from time to time: one that was deleted, or has grown, ends the stage.

A client goes on quietly without them: a deleted input has nothing to fetch, a deleted changelog lets a task wait for
ever, and a new partition has no state and is joined with nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from streams.engine.errors import BrokerRefusedError, BrokerUnavailableError, TopicLayoutError
from streams.engine.topics import TopicDescription, TopicNames, describe_topics
from streams.settings import Settings, StageName
from streams.stages import STAGES

log = structlog.get_logger(__name__)

_CONFIRM_SECONDS: Final = 1.0
"""A broker that has just started may not know of all its topics yet: what is wrong is looked at twice."""


async def watch_layout(stage: StageName, settings: Settings, names: TopicNames) -> None:
    """Check again and again; a broker that is away, or lets nobody new in, is somebody else's matter.

    Raises
    ------
    TopicLayoutError
        Where a topic of the stage is missing or has another partition count.
    """
    while True:
        await asyncio.sleep(settings.engine.layout_check_interval_seconds)
        if await _wrong(stage, settings, names):
            await asyncio.sleep(_CONFIRM_SECONDS)
            wrong = await _wrong(stage, settings, names)
            if wrong:
                raise TopicLayoutError(_say(stage, wrong[0]))


async def _wrong(stage: StageName, settings: Settings, names: TopicNames) -> Sequence[TopicDescription]:
    try:
        described = await describe_topics(settings, names, stages=[stage])
    except (KafkaError, OSError, TimeoutError, BrokerUnavailableError, BrokerRefusedError) as error:
        log.info("layout_not_checked", stage=stage.value, error=repr(error))
        return []
    return [each for each in described if each.table_name in _used(stage, names) and not each.fits]


def _used(stage: StageName, names: TopicNames) -> frozenset[str]:
    """What the stage reads and where its state is; where outputs go is told by the commit that fails."""
    return frozenset({names.changelog(stage), *(topic.name for topic in STAGES[stage].inputs)})


def _say(stage: StageName, topic: TopicDescription) -> str:
    if topic.n_partitions is None:
        return (
            f"topic {topic.name!r} is gone: it was deleted while stage {stage.value} ran; restore it with what it held,"
            " or create it (`plumbline topics create`) and start with another PLUMBLINE_ENGINE_APPLICATION_ID"
        )
    return (
        f"topic {topic.name!r} has {topic.n_partitions} partitions now: expected {topic.n_partitions_expected}; a count"
        " must not change while state exists, since keys move to other partitions than their state"
    )
