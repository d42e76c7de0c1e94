"""`plumbline doctor`: is everything there that a worker needs; each line is ok or says what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

from schemas import topics as table
from schemas.base import from_milliseconds
from streams.commands import broker
from streams.commands.console import Column, CommandError, UsageError, show, utc_now
from streams.engine.clients import drop_producer, start_transactional_producer, wait_for_broker
from streams.engine.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    EngineError,
    GuaranteeUnsupportedError,
)
from streams.engine.processor import Record
from streams.engine.topics import TopicDescription, describe_topics
from streams.responders.alertmanager import probe
from streams.settings import ProcessingGuarantee, Settings

_MIN_FREE_BYTES: Final = 2_000_000_000
_MAX_SKEW: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: what was looked at, what was found, and what to do where it is not ok."""

    name: str
    ok: bool
    found: str
    do: str = ""


_COLUMNS: Final[Mapping[str, Column[Check]]] = {
    "": lambda check: "ok" if check.ok else "NOT OK",
    "Check": lambda check: check.name,
    "Found": lambda check: check.found,
    "Do": lambda check: check.do if not check.ok else " ",
}


async def doctor(settings: Settings, *, as_json: bool, now: Callable[[], datetime] = utc_now) -> None:
    """Run every check; `CommandError` where one is not ok, another error where no broker answers or lets us in."""
    checks = [Check(name="settings", ok=True, found="every setting is valid"), disk(Path(tempfile.gettempdir()))]
    here = settings.kafka.bootstrap_servers
    without_broker: EngineError | None = None
    try:
        checks += await _broker_checks(settings, now)
    except BrokerUnavailableError as error:
        without_broker = error
        do = "start a broker there (`make kafka`), or set PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS to one that runs"
        checks.append(Check(name="broker", ok=False, found=f"no answer at {here}", do=do))
    except BrokerRefusedError as error:
        without_broker = error
        checks.append(Check(name="broker", ok=False, found="it refuses us", do=str(error)))
    checks += await _responder_checks(settings)
    _show(checks, as_json=as_json)
    if without_broker is not None:
        raise without_broker
    failed = dict.fromkeys(check.name for check in checks if not check.ok)
    if failed:
        msg = f"not ok: {', '.join(failed)}"
        raise CommandError(msg)


def doctor_of_settings(error: UsageError, *, as_json: bool) -> NoReturn:
    """Show settings that cannot be used, a line for each; nothing else can be looked at before they are mended."""
    do = "mend the variable; docs/configuration.md has what it takes, as has `plumbline config --markdown`"
    lines = str(error).splitlines()
    _show([Check(name="settings", ok=False, found=line, do=do) for line in lines], as_json=as_json)
    msg = "not ok: settings"
    raise UsageError(msg) from error


def _show(checks: list[Check], *, as_json: bool) -> None:
    if as_json:
        show([asdict(check) for check in checks], {}, as_json=True, empty="")
    else:
        show(checks, _COLUMNS, as_json=False, empty="")


async def _broker_checks(settings: Settings, now: Callable[[], datetime]) -> list[Check]:
    await wait_for_broker(settings)
    checks = [Check(name="broker", ok=True, found=settings.kafka.bootstrap_servers), await _guarantee(settings)]
    described = await describe_topics(settings)
    checks += layout(described)
    if all(each.fits for each in described if each.table_name in _CLOCK_TOPICS):
        checks.append(await _clock(settings, now))
    return checks


async def _guarantee(settings: Settings) -> Check:
    wanted = settings.engine.processing_guarantee
    if wanted is ProcessingGuarantee.AT_LEAST_ONCE:
        return Check(name="guarantee", ok=True, found=f"{wanted.value}: needs nothing of the broker")
    try:
        producer = await start_transactional_producer(settings, f"{settings.engine.application_id}-doctor")
    except GuaranteeUnsupportedError as error:
        do = f"{error}, or take a broker that has them, such as Apache Kafka"
        return Check(name="guarantee", ok=False, found=f"{wanted.value} is not supported", do=do)
    await drop_producer(producer)
    return Check(name="guarantee", ok=True, found=f"{wanted.value}: the broker has transactions")


def layout(described: list[TopicDescription]) -> list[Check]:
    """Judge the topics: a line for what is missing, and one for each that has another partition count."""
    missing = [each for each in described if not each.exists]
    wrong = [each for each in described if each.exists and each.advice]
    checks = []
    if missing:
        found = f"{len(missing)} of {len(described)} are missing, first {missing[0].name}"
        checks.append(Check(name="topics", ok=False, found=found, do="`plumbline topics create`; a worker does it too"))
    checks += [Check(name="topics", ok=False, found=f"{each.name} does not fit", do=each.advice) for each in wrong]
    fine = Check(name="topics", ok=True, found=f"{len(described)} topics are as they should be")
    return checks or [fine]


def disk(folder: Path, *, usage: Callable[[Path], Any] = shutil.disk_usage) -> Check:
    """Judge the room for local files."""
    free: int = usage(folder).free
    return Check(
        name="disk",
        ok=free >= _MIN_FREE_BYTES,
        found=f"{free / 1e9:.1f} GB free in {folder}",
        do=f"make room, or set TMPDIR: expected at least {_MIN_FREE_BYTES / 1e9:.0f} GB",
    )


_CLOCK_TOPICS: Final = frozenset(topic.name for topic in table.CONTROL_TOPICS)


async def _clock(settings: Settings, now: Callable[[], datetime]) -> Check:
    """The brokers stamp records; the newest stamp of the control topics must not lie in our future."""
    newest = 0

    def take(_topic: str, record: Record) -> None:
        nonlocal newest
        newest = max(newest, record.timestamp)

    await broker.scan(settings, table.CONTROL_TOPICS, take)
    return clock(from_milliseconds(newest) if newest else None, now())


def clock(newest: datetime | None, now: datetime) -> Check:
    """Judge the local clock against the newest append time of a broker."""
    if newest is None:
        return Check(name="clock", ok=True, found=f"{now:%Y-%m-%d %H:%M:%S} UTC; nothing to compare it with yet")
    ahead = newest - now
    return Check(
        name="clock",
        ok=ahead <= _MAX_SKEW,
        found=f"{now:%Y-%m-%d %H:%M:%S} UTC; newest append time {newest:%Y-%m-%d %H:%M:%S} UTC",
        do=f"set the clock: it is at least {ahead.total_seconds():.0f} s behind the broker's",
    )


async def _responder_checks(settings: Settings) -> list[Check]:
    chosen = settings.responders
    if chosen.alertmanager_url is None:
        return []
    try:
        wrong = await probe(chosen.alertmanager_url, timeout_seconds=chosen.timeout_seconds)
    except EngineError as error:
        wrong = str(error)
    do = "see PLUMBLINE_RESPONDERS_ALERTMANAGER_URL"
    return [Check(name="alertmanager", ok=not wrong, found=wrong or "ready", do=do)]
