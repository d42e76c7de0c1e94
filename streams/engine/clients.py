"""Kafka clients, made from the settings in one place: TLS, SASL, guarantees, and a bounded wait for the broker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnknownError,
    UnsupportedVersionError,
)

from schemas.topics import MIB
from streams.engine.errors import BrokerUnavailableError, GuaranteeUnsupportedError
from streams.engine.handshake import check_refusal, credentials, greet
from streams.settings import KafkaSettings, ProcessingGuarantee, Settings

log = structlog.get_logger(__name__)

MAX_REQUEST_BYTES: Final = 17 * MIB
"""Above the largest record of any topic (changelogs, 16 MiB), so that the broker's limit is the one that speaks."""
_PRODUCER_BATCH_BYTES: Final = 256 * 1024
_RETRY_SECONDS: Final = 0.2
_STOP_SECONDS: Final = 1.0
_ASK_SECONDS: Final = 10.0
_UNREACHED: Final = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, TimeoutError)
"""What aiokafka raises for a broker that is away, and for one that refuses us."""


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that every client takes: addresses, TLS and SASL."""
    return {"bootstrap_servers": settings.bootstrap_servers, **credentials(settings)}


def isolation_level(settings: Settings) -> str:
    """Which records a consumer sees: under exactly_once only those of committed transactions."""
    exactly_once = settings.engine.processing_guarantee is ProcessingGuarantee.EXACTLY_ONCE
    return "read_committed" if exactly_once else "read_uncommitted"


async def open_admin(settings: Settings) -> AIOKafkaAdminClient:
    """Connect an admin client, and so wait for the broker, as long as `kafka.connect_timeout_seconds` allows.

    Raises
    ------
    BrokerRefusedError
        At once where a broker refuses us: waiting would not change its mind.
    BrokerUnavailableError
        Where no broker answered in time.
    """
    connection(settings.kafka)  # certificates that cannot be used are no reason to wait
    deadline = time.monotonic() + settings.kafka.connect_timeout_seconds
    last: BaseException | None = None
    said = False
    while (left := deadline - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                await greet(settings.kafka)
                return await _started_admin(settings)
        except (KafkaError, OSError, TimeoutError) as error:
            if last is None or not isinstance(error, TimeoutError):  # the last try is cut short, and says nothing
                last = error
        if not said:
            log.warning("waiting_for_broker", bootstrap_servers=settings.kafka.bootstrap_servers)
            said = True
        await asyncio.sleep(min(_RETRY_SECONDS, left))
    msg = (
        f"no broker answered at kafka.bootstrap_servers = {settings.kafka.bootstrap_servers!r} within"
        f" {settings.kafka.connect_timeout_seconds:g} s (PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS sets it):"
        f" {_why_silent(last, settings.kafka)}"
    )
    raise BrokerUnavailableError(msg) from last


def _why_silent(last: BaseException | None, settings: KafkaSettings) -> str:
    if isinstance(last, OSError) and not isinstance(last, ConnectionResetError | TimeoutError):
        return str(last)
    # Somebody took the connection. A broker that restarts looks like one that expects something else.
    return (
        f"{str(last) or 'no answer in time'}; does PLUMBLINE_KAFKA_SECURITY_PROTOCOL = {settings.security_protocol!r}"
        " fit that port?"
    )


async def _started_admin(settings: Settings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**connection(settings.kafka), client_id=settings.engine.application_id)
    try:
        await admin.start()
    except BaseException:
        await admin.close()
        raise
    return admin


async def wait_for_broker(settings: Settings) -> None:
    """Return once a broker answers; raises as `open_admin` does."""
    admin = await open_admin(settings)
    await admin.close()


def make_group_consumer(
    settings: Settings, group: str, *, instance_id: str | None, max_record_bytes: int
) -> AIOKafkaConsumer:
    """Make the consumer of a stage's group: explicit positions, one assignor, nothing committed by itself.

    Range is the only assignor: the others split co-partitioned topics between members.
    """
    engine = settings.engine
    session_ms = round(engine.session_timeout_seconds * 1000)
    return AIOKafkaConsumer(
        **connection(settings.kafka),
        client_id=group,
        group_id=group,
        group_instance_id=instance_id,
        partition_assignment_strategy=(RangePartitionAssignor,),
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level=isolation_level(settings),
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=max(100, session_ms // 4),
        max_poll_interval_ms=round(engine.max_poll_interval_seconds * 1000),
        max_partition_fetch_bytes=max(MIB, max_record_bytes),
        fetch_max_wait_ms=round(engine.fetch_max_wait_seconds * 1000),
    )


def make_reader(
    settings: Settings, *, max_record_bytes: int = MIB, client: str = "reader", sees_open_transactions: bool = False
) -> AIOKafkaConsumer:
    """Make a consumer without a group, for who assigns partitions and positions himself.

    One that sees open transactions is for looking ends up, not for records.
    """
    return AIOKafkaConsumer(
        **connection(settings.kafka),
        client_id=f"{settings.engine.application_id}-{client}",
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_uncommitted" if sees_open_transactions else isolation_level(settings),
        max_partition_fetch_bytes=max(MIB, max_record_bytes),
        fetch_max_wait_ms=round(settings.engine.fetch_max_wait_seconds * 1000),
    )


async def start_reader(reader: AIOKafkaConsumer, settings: Settings) -> None:
    """Start a consumer; `BrokerRefusedError` where a broker refuses us, else what aiokafka raises."""
    try:
        await reader.start()
    except _UNREACHED:
        await check_refusal(settings.kafka, timeout_seconds=_ASK_SECONDS)
        raise


async def start_producer(settings: Settings, *, client: str = "producer") -> AIOKafkaProducer:
    """Start an idempotent producer; on a broker that has no producer ids a plain one, acknowledged by all."""
    try:
        return await _started(settings, client, enable_idempotence=True)
    except (UnknownError, UnsupportedVersionError):
        return await _started(settings, client, acks="all")


async def start_transactional_producer(settings: Settings, transactional_id: str) -> AIOKafkaProducer:
    """Start the producer of a task: fences the id's older owner and resolves its open transaction."""
    try:
        return await _started(
            settings,
            transactional_id,
            transactional_id=transactional_id,
            transaction_timeout_ms=round(settings.engine.transaction_timeout_seconds * 1000),
        )
    except (UnknownError, UnsupportedVersionError) as error:
        msg = (
            f"the broker at {settings.kafka.bootstrap_servers} has no transactions, which exactly_once needs:"
            " set PLUMBLINE_ENGINE_PROCESSING_GUARANTEE=at_least_once"
        )
        raise GuaranteeUnsupportedError(msg) from error


async def _started(settings: Settings, client: str, **options: Any) -> AIOKafkaProducer:
    producer = AIOKafkaProducer(
        **connection(settings.kafka),
        client_id=client,
        compression_type="zstd",  # lz4 would be quicker to read, but aiokafka writes it at level 9: 20 times the CPU
        max_batch_size=_PRODUCER_BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        retry_backoff_ms=5,  # the next transaction often meets the markers of the last one; 100 ms would be felt
        **options,
    )
    try:
        await producer.start()
    except _UNREACHED:
        await drop_producer(producer)
        await check_refusal(settings.kafka, timeout_seconds=_ASK_SECONDS)
        raise
    except BaseException:
        await drop_producer(producer)
        raise
    return producer


async def drop_producer(producer: AIOKafkaProducer) -> None:
    """End a producer in bounded time, whatever it was doing: `stop` waits for sends that may never end."""
    stopping = asyncio.ensure_future(producer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
    if not done:
        stopping.cancel()
        await producer.client.close()
    with contextlib.suppress(KafkaError, asyncio.CancelledError, AssertionError):
        await stopping


async def drop_reader(reader: AIOKafkaConsumer) -> None:
    """End a consumer in bounded time: over TLS `stop` waits for the broker's goodbye, half a minute of a dead one."""
    stopping = asyncio.ensure_future(reader.stop())
    await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
    stopping.cancel()
    with contextlib.suppress(KafkaError, asyncio.CancelledError):
        await stopping
