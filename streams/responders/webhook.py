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

Success is any 2xx. 408, 425, 429, 5xx and no answer are tried again, with exponential waits and jitter; any other
answer is final. Redirects are not followed: a signed command goes to the address that was configured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
import structlog
import tenacity

from schemas import topics
from schemas.cloudevents import event_headers
from schemas.identifiers import model_key
from schemas.rollbacks import RollbackCommand, RollbackState
from streams import telemetry
from streams.engine.processor import DeadLetter, Record
from streams.responders.endpoints import endpoint, shown
from streams.responders.rollback_book import RollbackBook
from streams.responders.signatures import body_of, signature_headers

log = structlog.get_logger(__name__)

NAME: Final = "webhook"
FAILED: Final = "webhook_failed"
"""Reason of the dead letter."""
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
ACTED_ON: Final = frozenset({RollbackState.APPROVED})
INFORMED_OF: Final = frozenset({RollbackState.EXPIRED, RollbackState.VERIFIED, RollbackState.INEFFECTIVE})

_AGAIN: Final = frozenset({408, 425, 429})
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 30.0


class _TryAgainError(Exception):
    """The receiver did not take it, and may the next time."""


class _RefusedError(Exception):
    """The receiver will never take it."""


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
        self._url = endpoint(url, setting="responders.webhook_url")
        self._secret = secret
        self._attempts = attempts
        self._timeout_seconds = timeout_seconds
        self._dead_letter = dead_letter
        self._now = now
        self._sleep = sleep
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
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential_jitter(initial=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            await retrying(self._try, client, delivery)
        except _OvertakenError:
            log.info("webhook_overtaken", rollback_id=command.rollback_id, state=command.state.value)
            telemetry.RESPONSES.labels(responder=NAME, outcome="overtaken").inc()
        except (_TryAgainError, _RefusedError) as error:
            tries = retrying.statistics.get("attempt_number", 1)
            message = (
                f"{shown(str(self._url))} did not take {command.state} of {command.rollback_id}"
                f" in {tries} tries: {error}"
            )
            log.error("webhook_failed", rollback_id=command.rollback_id, state=command.state.value, error=str(error))
            telemetry.RESPONSES.labels(responder=NAME, outcome="failed").inc()
            await self._dead_letter(DeadLetter(record=delivery.record, reason=FAILED, message=message))
        else:
            log.info("webhook_delivered", rollback_id=command.rollback_id, state=command.state.value)
            telemetry.RESPONSES.labels(responder=NAME, outcome="delivered").inc()

    async def _try(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        command = delivery.command
        if self._open.get(command.rollback_id) is not delivery or is_void(command, self._now()):
            raise _OvertakenError
        body = body_of(command)
        begun = time.perf_counter()
        try:
            response = await client.post(self._url, content=body, headers=request_headers(command, body, self._secret))
        except httpx.HTTPError as error:
            telemetry.RESPONSES.labels(responder=NAME, outcome="unreachable").inc()
            raise _TryAgainError(repr(error)) from error
        finally:
            telemetry.RESPONSE_SECONDS.labels(responder=NAME).observe(time.perf_counter() - begun)
        if response.is_success:
            return
        telemetry.RESPONSES.labels(responder=NAME, outcome="refused").inc()
        answer = f"answered {response.status_code}: {response.text[:200]}"
        if response.status_code in _AGAIN or response.is_server_error:
            raise _TryAgainError(answer)
        raise _RefusedError(answer)
