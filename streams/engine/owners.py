"""Looks from time to time whether every partition of a stage has an owner in its group.

Who leads a group assigns the partitions that he knows of. One whose view of the cluster is stale, as when a broker has
just come back, may hand out nothing, and the group is content with that: every worker alive, none at work. So a member
that has nothing to do looks at what the others have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.clients import open_admin
from streams.engine.errors import BrokerRefusedError, BrokerUnavailableError, PartitionWithoutOwnerError
from streams.engine.groups import owned
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from streams.stages import STAGES

log = structlog.get_logger(__name__)

_CONFIRM_SECONDS: Final = 2.0
"""A group that is about to rebalance is stable for a moment still: what is wrong is looked at twice."""


async def watch_owners(stage: StageName, settings: Settings, names: TopicNames, *, is_idle: Callable[[], bool]) -> None:
    """Check again and again while this member has no partition.

    Parameters
    ----------
    stage, settings, names
        Whose group.
    is_idle
        Whether this member has none.

    Raises
    ------
    PartitionWithoutOwnerError
        Where a partition has no owner: a restart makes the group assign anew.
    """
    while True:
        await asyncio.sleep(settings.engine.layout_check_interval_seconds)
        if not is_idle() or not await _without_owner(stage, settings, names):
            continue
        await asyncio.sleep(_CONFIRM_SECONDS)
        missing = await _without_owner(stage, settings, names)
        if missing and is_idle():
            first = missing[0]
            msg = (
                f"partition {first.partition} of {first.topic!r} has no owner, though group {names.group(stage)!r} is"
                f" stable ({len(missing)} such partitions): this worker ends, so that its restart has them assigned"
            )
            raise PartitionWithoutOwnerError(msg)


async def _without_owner(stage: StageName, settings: Settings, names: TopicNames) -> list[TopicPartition]:
    wanted = {
        TopicPartition(names.in_use(topic.name), partition)
        for topic in STAGES[stage].inputs
        for partition in range(names.n_partitions(topic.spread))
    }
    try:
        admin = await open_admin(settings)
        try:
            found = await owned(admin, names.group(stage))
        finally:
            await admin.close()
    except (KafkaError, OSError, TimeoutError, BrokerUnavailableError, BrokerRefusedError) as error:
        log.info("owners_not_checked", stage=stage.value, error=repr(error))
        return []
    return [] if found is None else sorted(wanted - found)
