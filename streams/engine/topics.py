"""Topics on the broker: creation, description, and the check of their layout."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.topics import MIB, TOPICS, Spread, Topic
from streams.engine.clients import open_admin
from streams.engine.ends import bounds
from streams.engine.errors import BrokerUnavailableError, TopicLayoutError
from streams.engine.names import TopicNames
from streams.settings import Settings, StageName
from streams.stages import STAGES

__all__ = [
    "CHANGELOG_MAX_BYTES",
    "TopicDescription",
    "TopicNames",
    "describe_topics",
    "ensure_topics",
    "partition_counts",
]

CHANGELOG_MAX_BYTES: Final = 16 * MIB
_LEADER_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDescription:
    """A topic as it should be and as it is, for `plumbline topics`."""

    name: str
    """Name in use."""
    table_name: str
    """Name in the topic table; the name in use again for a changelog."""
    key: str
    purpose: str
    retention_ms: int | None
    spread: Spread
    """Which partition count it takes."""
    n_partitions_expected: int
    n_partitions: int | None
    """None where it does not exist."""
    config: dict[str, str]

    @property
    def exists(self) -> bool:
        """Whether the broker has it."""
        return self.n_partitions is not None

    @property
    def fits(self) -> bool:
        """Whether it exists with the expected partition count."""
        return self.n_partitions == self.n_partitions_expected

    @property
    def advice(self) -> str:
        """What to do about it; the empty string where nothing is."""
        if self.n_partitions is None:
            return "missing: `plumbline topics create`"
        if not self.fits:
            return count_advice(self, self.n_partitions)
        return ""


def count_advice(topic: TopicDescription, actual: int) -> str:
    """Say what is wrong with a partition count, and what to do."""
    variable = _COUNT_SETTINGS.get(topic.spread)
    grow = "`plumbline topics expand --events COUNT` grows them together with the state"
    do = (
        "its records must have a single order, so delete the topic and run `plumbline topics create`, or set another"
        " PLUMBLINE_TOPICS_PREFIX"
        if variable is None
        else f"set {variable} to what is there, or delete the topic; inputs of one stage share one count, and a count"
        f" must not change while state exists{f': {grow}' if topic.spread is Spread.EVENTS else ''}"
    )
    return f"{actual} partitions, expected {topic.n_partitions_expected}: {do}"


_COUNT_SETTINGS: Final = {
    Spread.EVENTS: "PLUMBLINE_TOPICS_EVENTS_PARTITIONS",
    Spread.MODELS: "PLUMBLINE_TOPICS_MODELS_PARTITIONS",
}


def changelog_config() -> dict[str, str]:
    """Broker settings of a changelog: compacted, records of up to 16 MiB, segments of 64 MiB."""
    return {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(CHANGELOG_MAX_BYTES),
        "segment.bytes": str(64 * MIB),
    }


async def describe_topics(
    settings: Settings, names: TopicNames | None = None, *, stages: Iterable[StageName] = tuple(STAGES)
) -> list[TopicDescription]:
    """Describe every topic of the table and the changelogs of the stages."""
    admin = await open_admin(settings)
    try:
        return await _describe(admin, names or TopicNames(settings), stages)
    finally:
        await admin.close()


async def ensure_topics(
    settings: Settings,
    names: TopicNames | None = None,
    *,
    stages: Iterable[StageName] = tuple(STAGES),
    topics: Sequence[Topic] = TOPICS,
) -> list[str]:
    """Create the topics that are missing, wait for their leaders, and refuse a wrong partition count.

    Returns
    -------
    list of str
        Names in use of the topics that were created.
    """
    names = names or TopicNames(settings)
    wanted = {topic.name for topic in topics}
    admin = await open_admin(settings)
    try:
        described = await _describe(admin, names, stages)
        described = [each for each in described if each.table_name in wanted or each.table_name == each.name]
        missing = [each for each in described if not each.exists]
        await _create(admin, missing, settings.topics.replication_factor)
        counts = await _wait_for_leaders(admin, [each.name for each in described], settings)
        await _wait_until_led(settings, missing)
        for each in described:
            if counts[each.name] != each.n_partitions_expected:
                msg = f"topic {each.name!r} has {count_advice(each, counts[each.name])}"
                raise TopicLayoutError(msg)
        return [each.name for each in missing]
    finally:
        await admin.close()


async def _describe(
    admin: AIOKafkaAdminClient, names: TopicNames, stages: Iterable[StageName]
) -> list[TopicDescription]:
    rows: list[tuple[str, str, str, str, int | None, Spread, dict[str, str]]] = [
        (names.in_use(t.name), t.name, t.key, t.purpose, t.retention_ms, t.spread, t.config()) for t in TOPICS
    ]
    for stage in stages:
        if stage in STAGES:
            name = names.changelog(stage)
            purpose = f"state of stage {stage.value}"
            rows.append((name, name, "state key", purpose, None, STAGES[stage].spread, changelog_config()))
    existing = set(await admin.list_topics())
    counts = await partition_counts(admin, [row[0] for row in rows if row[0] in existing])
    return [
        TopicDescription(
            name=name,
            table_name=table_name,
            key=key,
            purpose=purpose,
            retention_ms=retention_ms,
            spread=spread,
            n_partitions_expected=names.n_partitions(spread),
            n_partitions=counts.get(name, (None, False))[0],
            config=config,
        )
        for name, table_name, key, purpose, retention_ms, spread, config in rows
    ]


async def partition_counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return partition count, and whether all have leaders, by topic; unknown topics are left out."""
    if not names:
        return {}
    described: list[dict[str, Any]] = await admin.describe_topics(list(names))
    return {
        each["topic"]: (
            len(each["partitions"]),
            bool(each["partitions"]) and all(p["leader"] >= 0 and not p["error_code"] for p in each["partitions"]),
        )
        for each in described
        if not each["error_code"]
    }


async def _create(admin: AIOKafkaAdminClient, missing: list[TopicDescription], replication_factor: int) -> None:
    if not missing:
        return
    response = await admin.create_topics(
        [
            NewTopic(each.name, each.n_partitions_expected, replication_factor, topic_configs=each.config)
            for each in missing
        ]
    )
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another worker may have been faster
            msg = f"topic {name!r} could not be created: {error.__name__}: {message}"
            raise TopicLayoutError(msg)


async def _wait_until_led(settings: Settings, created: list[TopicDescription]) -> None:
    """Ask the leaders of new partitions themselves: metadata names them a little before they know."""
    if created:
        await bounds(
            settings,
            [TopicPartition(each.name, p) for each in created for p in range(each.n_partitions_expected)],
        )


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: list[str], settings: Settings) -> dict[str, int]:
    """Wait until every partition has a leader: a produce before that is refused and retried, noisily."""
    counts: dict[str, tuple[int, bool]] = {}
    try:
        async with asyncio.timeout(settings.kafka.connect_timeout_seconds):
            while True:
                counts = await partition_counts(admin, names)
                if all(name in counts and counts[name][1] for name in names):
                    return {name: count for name, (count, _) in counts.items()}
                await asyncio.sleep(_LEADER_POLL_SECONDS)
    except TimeoutError:
        waiting = sorted(name for name in names if name not in counts or not counts[name][1])
        msg = (
            f"topic {waiting[0]!r} has partitions without a leader after"
            f" {settings.kafka.connect_timeout_seconds:g} s ({len(waiting)} topics in all)"
        )
        raise BrokerUnavailableError(msg) from None
