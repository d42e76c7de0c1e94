from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import httpx
import pytest
from decision_samples import NOW, command, record

from schemas import topics
from schemas.rollbacks import KEY_ID_HEADER, SIGNATURE_HEADER, RollbackCommand, RollbackState
from streams.engine.processor import DeadLetter
from streams.responders.endpoints import endpoint, shown
from streams.responders.signatures import body_of, is_authentic, key_id
from streams.responders.webhook import FAILED, Webhook, request_headers

SECRET = "a secret"


class Receiver:
    """Answers with the given status codes in turn, the last one for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0], text="said so")


async def _nothing(_seconds: float) -> None:
    """Nothing happens while it waits."""


class Bench:
    """A webhook with a receiver, a clock and a place for dead letters."""

    def __init__(self, *answers: int, attempts: int = 3) -> None:
        self.receiver = Receiver(*answers)
        self.letters: list[DeadLetter] = []
        self.waits: list[float] = []
        self.during_wait: Callable[[float], Awaitable[None]] = _nothing
        self.now = NOW
        self.webhook = Webhook(
            "http://ci.example/hook",
            SECRET,
            attempts=attempts,
            timeout_seconds=1,
            dead_letter=self._keep,
            now=self._clock,
            sleep=self._sleep,
        )
        self.webhook.is_live = True

    async def _keep(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def _clock(self) -> datetime:
        return self.now

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.during_wait(seconds)

    def give(self, given: RollbackCommand, offset: int = 0) -> None:
        self.webhook.apply(given, record(topics.ROLLBACKS.name, given, offset=offset))

    async def deliver(self) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.receiver)) as client:
            await self.webhook.deliver_due(client)


async def test_an_approved_command_arrives_signed_and_once() -> None:
    bench = Bench(202)
    bench.give(command())
    await bench.deliver()
    await bench.deliver()
    (request,) = bench.receiver.requests
    assert is_authentic(SECRET, request.content, request.headers)
    assert not is_authentic("another", request.content, request.headers)
    assert not is_authentic(SECRET, request.content + b" ", request.headers)
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers[KEY_ID_HEADER] == key_id(SECRET)
    assert request.headers["ce-type"] == "plumbline.rollbacks.v1"
    assert request.headers["content-type"] == "application/json"
    assert RollbackCommand.model_validate_json(request.content) == command()


@pytest.mark.parametrize(
    ("state", "is_live", "n_sent"),
    [
        (RollbackState.REQUESTED, True, 0),
        (RollbackState.APPROVED, True, 1),
        (RollbackState.APPROVED, False, 1),
        (RollbackState.ACCEPTED, True, 0),
        (RollbackState.SUCCEEDED, True, 0),
        (RollbackState.EXPIRED, True, 1),
        (RollbackState.EXPIRED, False, 0),
        (RollbackState.VERIFIED, True, 1),
        (RollbackState.INEFFECTIVE, True, 1),
    ],
)
async def test_which_states_are_delivered(state: RollbackState, is_live: bool, n_sent: int) -> None:
    bench = Bench(200)
    bench.webhook.is_live = is_live
    bench.give(command(state))
    await bench.deliver()
    assert len(bench.receiver.requests) == n_sent


async def test_a_dry_run_is_not_delivered() -> None:
    bench = Bench(200)
    bench.give(command(mode="dry_run"))
    await bench.deliver()
    assert bench.receiver.requests == []


async def test_a_restart_delivers_only_what_nobody_has_taken() -> None:
    bench = Bench(200)
    bench.webhook.is_live = False
    bench.give(command(rollback_id="taken"))
    bench.give(command(RollbackState.ACCEPTED, rollback_id="taken"))
    bench.give(command(rollback_id="open"))
    bench.webhook.is_live = True
    await bench.deliver()
    sent = [RollbackCommand.model_validate_json(request.content).rollback_id for request in bench.receiver.requests]
    assert sent == ["open"]


async def test_what_fails_is_tried_again_with_growing_waits() -> None:
    bench = Bench(503, 429, 200)
    bench.give(command())
    await bench.deliver()
    assert len(bench.receiver.requests) == 3
    assert len({request.headers["Idempotency-Key"] for request in bench.receiver.requests}) == 1
    assert 0.5 <= bench.waits[0] <= bench.waits[1] + 1 <= 4
    assert bench.letters == []


async def test_after_the_last_try_there_is_a_dead_letter_and_no_storm() -> None:
    bench = Bench(500)
    bench.give(command(), offset=42)
    await bench.deliver()
    await bench.deliver()
    assert len(bench.receiver.requests) == 3
    (letter,) = bench.letters
    assert letter.reason == FAILED
    assert letter.record.offset == 42
    assert "http://ci.example/hook did not take approved of rollback-1 in 3 tries: answered 500" in letter.message


@pytest.mark.parametrize("status", [400, 401, 404, 301])
async def test_a_final_answer_is_not_asked_again(status: int) -> None:
    bench = Bench(status)
    bench.give(command())
    await bench.deliver()
    assert len(bench.receiver.requests) == 1
    assert len(bench.letters) == 1


async def test_a_command_that_moved_on_between_two_tries_is_let_go() -> None:
    bench = Bench(503)
    bench.give(command())

    async def accepted_meanwhile(_seconds: float) -> None:
        bench.give(command(RollbackState.ACCEPTED))

    bench.during_wait = accepted_meanwhile
    await bench.deliver()
    assert len(bench.receiver.requests) == 1
    assert bench.letters == []


async def test_a_command_is_neither_early_nor_late() -> None:
    bench = Bench(200)
    bench.give(command(not_before=NOW + timedelta(minutes=5)))
    await bench.deliver()
    assert bench.receiver.requests == []
    assert bench.webhook.n_open == 1
    bench.now = NOW + timedelta(hours=2)
    await bench.deliver()
    assert bench.receiver.requests == []
    assert bench.webhook.n_open == 0


async def test_of_a_rollback_only_the_newest_state_is_delivered() -> None:
    bench = Bench(200)
    bench.give(command())
    bench.give(command(RollbackState.EXPIRED))
    await bench.deliver()
    (request,) = bench.receiver.requests
    assert request.headers["Idempotency-Key"] == "key-1/expired"


async def test_a_refusal_of_a_second_try_does_not_stop_the_first() -> None:
    bench = Bench(200)
    bench.give(command())
    bench.give(command(RollbackState.REFUSED, attempt=2, idempotency_key="key-2"))
    await bench.deliver()
    assert len(bench.receiver.requests) == 1


def test_the_signature_covers_the_body_as_sent() -> None:
    body = body_of(command().signed("governor"))
    headers = request_headers(command(), body, SECRET)
    assert is_authentic(SECRET, body, {name.upper(): value for name, value in headers.items()})
    assert not is_authentic(SECRET, body, {**headers, SIGNATURE_HEADER: "é"})


def test_addresses_are_shown_without_what_is_secret() -> None:
    assert shown("https://user:pass@host:1/a/b?token=x#y") == "https://host:1/a/b"
    assert shown("nonsense?token=x") == "nonsense"
    assert str(endpoint("http://h:1/base/", setting="s", path="/x")) == "http://h:1/base/x"
