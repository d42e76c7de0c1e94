"""Rollback commands -> a webhook: signed JSON, retried, and a dead letter after the last try.

What is delivered
    `approved`: the receiver is to act. `expired`, `verified` and `ineffective`: the receiver is to know, so that it
    drops a command it holds, or tells a person. States that executors report themselves are not sent back to them.

How often
    At least once for `approved`: while a command stays approved, each start of the responders delivers it again. A
    receiver tells repetitions by the header `Idempotency-Key`, and answers on `ml.rollback-status.v1`; then the
    governor moves the command on, and it is not delivered any more. So no list of what was delivered is kept, and a
    restart meets at most the commands that nobody has taken yet. The other states are sent once, as they come, and
    not again after a restart: an executor checks `expires_at` anyhow.

How it is tried says `streams.responders.posting`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
import structlog

from schemas import topics
from schemas.cloudevents import event_headers
from schemas.identifiers import model_key
from schemas.rollbacks import RollbackCommand, RollbackState
from streams import telemetry
from streams.engine.processor import DeadLetter, Record
from streams.responders.endpoints import endpoint, shown
from streams.responders.posting import NotTakenError, Poster
from streams.responders.rollback_book import RollbackBook
from streams.responders.signatures import body_of, signature_headers

log = structlog.get_logger(__name__)

NAME: Final = "webhook"
FAILED: Final = "webhook_failed"
"""Reason of the dead letter."""
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
ACTED_ON: Final = frozenset({RollbackState.APPROVED})
INFORMED_OF: Final = frozenset({RollbackState.EXPIRED, RollbackState.VERIFIED, RollbackState.INEFFECTIVE})


class _OvertakenError(Exception):
    """Between two tries the rollback moved on, or the command expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A command in one state, and the record that it came in."""

    command: RollbackCommand
    record: Record


def is_due(command: RollbackCommand, now: datetime) -> bool:
    """Whether a command may be delivered: an approved one not before its time, and not after its end."""
    if command.state in ACTED_ON:
        return command.not_before is None or command.not_before <= now
    return True


def is_void(command: RollbackCommand, now: datetime) -> bool:
    """Whether an approved command has expired on the wall clock; the governor will say so."""
    return command.state in ACTED_ON and command.expires_at is not None and command.expires_at <= now


def request_headers(command: RollbackCommand, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers of a delivery: signature, idempotency key, and CloudEvents' HTTP binding.

    The idempotency key of `approved` is the command's own; that of another state has the state behind it, so that a
    receiver which drops repetitions by key still hears of the end.
    """
    key = command.idempotency_key
    suffix = "" if command.state in ACTED_ON else f"/{command.state}"
    events = event_headers(
        event_id=f"{key}{suffix}",
        topic=topics.ROLLBACKS.name,
        source="plumbline/governor",
        subject=model_key(command.environment, command.model_name),
        time=command.decided_at,
    )
    return {
        **{name.replace("ce_", "ce-"): value.decode() for name, value in events},
        **signature_headers(secret, body),
        IDEMPOTENCY_HEADER: f"{key}{suffix}",
    }


class Webhook:
    """Delivers what changes in a book of rollbacks.

    Parameters
    ----------
    url, secret
        Where to, and the key of the signature.
    attempts
        Tries of one delivery.
    timeout_seconds
        Of one try.
    dead_letter
        Publishes the dead letter of a delivery that failed for good.
    now
        Wall clock, aware.
    sleep
        Waits between tries.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        attempts: int,
        timeout_seconds: float,
        dead_letter: Callable[[DeadLetter], Awaitable[None]],
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        address = endpoint(url, setting="responders.webhook_url")
        self._poster = Poster(url=address, responder=NAME, attempts=attempts, sleep=sleep)
        self._secret = secret
        self._timeout_seconds = timeout_seconds
        self._dead_letter = dead_letter
        self._now = now
        self._book = RollbackBook()
        self._open: dict[str, Delivery] = {}
        self._changed = asyncio.Event()
        self.is_live = False
        """False while the past is read: then states that only inform are not delivered."""

    def apply(self, command: RollbackCommand, record: Record) -> None:
        """Fold a command; the newest state of a rollback is what will be delivered, an older one is dropped."""
        if not self._book.apply_command(command) or command.state is RollbackState.REFUSED:
            return
        self._open.pop(command.rollback_id, None)
        if command.mode != "dry_run" and command.state in (ACTED_ON | INFORMED_OF if self.is_live else ACTED_ON):
            self._open[command.rollback_id] = Delivery(command=command, record=record)
            self._changed.set()

    @property
    def n_open(self) -> int:
        """Deliveries that are still to be made."""
        return len(self._open)

    async def run(self) -> None:
        """Deliver for ever, one after the other: they have one receiver, and order matters."""
        async with httpx.AsyncClient(timeout=self._timeout_seconds) as client:
            while True:
                self._changed.clear()
                await self.deliver_due(client)
                try:
                    async with asyncio.timeout(1.0 if self._open else None):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def deliver_due(self, client: httpx.AsyncClient) -> None:
        """Deliver everything that is due now."""
        for rollback_id, delivery in list(self._open.items()):
            if self._open.get(rollback_id) is not delivery:
                continue  # overtaken by a newer state
            if is_void(delivery.command, self._now()):
                del self._open[rollback_id]
                log.warning("webhook_command_expired", rollback_id=rollback_id)
            elif is_due(delivery.command, self._now()):
                await self._deliver(client, delivery)
                if self._open.get(rollback_id) is delivery:
                    del self._open[rollback_id]

    async def _deliver(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        command = delivery.command
        body = body_of(command)
        headers = request_headers(command, body, self._secret)
        try:
            await self._poster.post(client, body, headers, before_each=lambda: self._check(delivery))
        except _OvertakenError:
            log.info("webhook_overtaken", rollback_id=command.rollback_id, state=command.state.value)
            telemetry.RESPONSES.labels(responder=NAME, outcome="overtaken").inc()
        except NotTakenError as error:
            message = (
                f"{shown(str(self._poster.url))} did not take {command.state} of {command.rollback_id}"
                f" in {error.n_tries} tries: {error}"
            )
            log.error("webhook_failed", rollback_id=command.rollback_id, state=command.state.value, error=str(error))
            telemetry.RESPONSES.labels(responder=NAME, outcome="failed").inc()
            await self._dead_letter(DeadLetter(record=delivery.record, reason=FAILED, message=message))
        else:
            log.info("webhook_delivered", rollback_id=command.rollback_id, state=command.state.value)
            telemetry.RESPONSES.labels(responder=NAME, outcome="delivered").inc()

    def _check(self, delivery: Delivery) -> None:
        if self._open.get(delivery.command.rollback_id) is not delivery or is_void(delivery.command, self._now()):
            raise _OvertakenError
