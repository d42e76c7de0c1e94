"""The responders and the executor on a broker: from the topic to the outside and back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from decision_samples import alert, command
from outside_world import Alertmanager, Receiver
from pydantic import SecretStr

from brokers.kafka import KafkaBroker
from brokers.tansu import TansuBroker
from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.base import Event
from schemas.deployments import DeploymentEvent
from schemas.incidents import Incident, IncidentMember, Intervention
from schemas.rollbacks import RollbackCommand, RollbackState, RollbackStatus
from schemas.topics import Topic
from streams.commands import broker as broker_commands
from streams.engine.dead_letters import why
from streams.engine.processor import Output, Record
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.responders.executing import Executor
from streams.responders.service import Responders
from streams.responders.signatures import is_authentic
from streams.settings import (
    EngineSettings,
    KafkaSettings,
    ProcessingGuarantee,
    ResponderSettings,
    Settings,
    TopicSettings,
)

SECRET = "a secret"


def make_settings(broker: TansuBroker | KafkaBroker, prefix: str, **responders: Any) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers),
        topics=TopicSettings(prefix=f"{prefix}.", events_partitions=2, models_partitions=1),
        engine=EngineSettings(application_id=prefix, processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE),
        responders=ResponderSettings(timeout_seconds=1, **responders),
    )


def fresh(state: RollbackState = RollbackState.APPROVED, **changes: Any) -> RollbackCommand:
    return command(state, expires_at=datetime.now(UTC) + timedelta(hours=1), **changes)


async def publish(settings: Settings, topic: Topic, *events: Event) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish(*(Output(topic=topic.name, key=b"k", value=event.to_bytes()) for event in events))


async def eventually(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come about in time")


class Answers:
    """What the receiver says, changed as a test goes on."""

    def __init__(self) -> None:
        self.say: Callable[[int], int] = lambda _: 200

    def __call__(self, number: int) -> int:
        return self.say(number)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def receiver(answers: Answers) -> Iterator[Receiver]:
    made = Receiver(answers)
    yield made
    made.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    made = Alertmanager(tmp_path)
    made.start()
    yield made
    made.stop()


async def test_alerts_reach_an_alertmanager_and_survive_our_restart(
    tansu: TansuBroker, alertmanager: Alertmanager
) -> None:
    settings = make_settings(tansu, "alerts", alertmanager_url=alertmanager.url, alertmanager_interval_seconds=60.0)
    await ensure_topics(settings)
    await publish(settings, topics.ALERTS, alert(), alert(name="pending", status="pending"))

    async def is_listed() -> bool:
        return await alertmanager.names() == ["miss"]

    for _ in range(2):
        service = Responders(settings=settings, names=TopicNames(settings))
        await service.start()
        await eventually(is_listed)
        await service.stop()
        alertmanager.stop()  # forgets everything; the next life of ours has to say it again
        alertmanager.start()


async def test_what_people_have_said_and_the_incident_stand_beside_the_alert(
    tansu: TansuBroker, alertmanager: Alertmanager
) -> None:
    settings = make_settings(tansu, "words", alertmanager_url=alertmanager.url, alertmanager_interval_seconds=60.0)
    await ensure_topics(settings)
    now = datetime.now(UTC)
    member = IncidentMember(
        kind="alert", id="fp-miss", environment="production", model_name="flight-delay", status="firing"
    )
    incident = Incident(
        incident_id="i1", sequence=1, status="open", opened_at=now, updated_at=now, cause="c", members=[member],
        timeline=[],
    )  # fmt: skip
    word = {"model_name": "flight-delay", "actor": "ada", "at": now}
    service = Responders(settings=settings, names=TopicNames(settings))
    await publish(settings, topics.ALERTS, alert())
    await service.start()

    async def annotations() -> dict[str, str]:
        listed = await alertmanager.alerts()
        return listed[0]["annotations"] if listed else {}

    async def has(name: str, value: str) -> bool:
        return (await annotations()).get(name) == value

    await publish(settings, topics.INCIDENTS, incident)
    await eventually(lambda: has("incident_id", "i1"))
    await publish(
        settings,
        topics.INTERVENTIONS,
        Intervention(intervention_id="1", kind="ack", subject="fp-miss", comment="on it", **word),
        Intervention(intervention_id="2", kind="freeze", subject="", **word),
    )
    await eventually(lambda: has("acknowledged_by", "ada: on it"))
    await eventually(lambda: has("rollbacks_frozen_by", "ada"))
    freeze_over = Intervention(intervention_id="3", kind="freeze", subject="", **{**word, "until": now})
    await publish(settings, topics.INTERVENTIONS, freeze_over)

    async def is_lifted() -> bool:
        found = await annotations()
        return bool(found) and "rollbacks_frozen_by" not in found

    await eventually(is_lifted)
    await service.stop()


async def test_a_command_is_delivered_signed_retried_and_acted_on_once(
    tansu: TansuBroker, receiver: Receiver, answers: Answers
) -> None:
    answers.say = lambda number: 503 if number == 1 else 200
    settings = make_settings(tansu, "hook", webhook_url=receiver.url, webhook_secret=SecretStr(SECRET))
    await ensure_topics(settings)
    await publish(settings, topics.ROLLBACKS, fresh(RollbackState.REQUESTED))
    for expected in (2, 3):  # the second life delivers again what nobody has answered
        service = Responders(settings=settings, names=TopicNames(settings))
        await service.start()
        if expected == 2:
            await publish(settings, topics.ROLLBACKS, fresh())
        await eventually(lambda expected=expected: len(receiver.requests) == expected)
        await service.stop()
    for headers, body in receiver.requests:
        assert is_authentic(SECRET, body, headers)
    assert receiver.acted_on == ["key-1"]
    await publish(settings, topics.ROLLBACKS, fresh(RollbackState.ACCEPTED))
    service = Responders(settings=settings, names=TopicNames(settings))
    await service.start()
    await asyncio.sleep(0.5)
    await service.stop()
    assert len(receiver.requests) == 3


async def test_after_the_last_try_the_command_is_a_dead_letter(
    tansu: TansuBroker, receiver: Receiver, answers: Answers
) -> None:
    answers.say = lambda _: 500
    settings = make_settings(tansu, "dead", webhook_url=receiver.url, webhook_secret=SecretStr(SECRET), attempts=2)
    await ensure_topics(settings)
    service = Responders(settings=settings, names=TopicNames(settings))
    await service.start()
    await publish(settings, topics.ROLLBACKS, fresh())
    letters: list[Record] = []

    async def has_letter() -> bool:
        letters.clear()
        await broker_commands.scan(settings, [topics.DEAD_LETTERS], lambda _, record: letters.append(record))
        return bool(letters)

    await eventually(has_letter)
    await service.stop()
    assert len(receiver.requests) == 2
    reasons = why(letters[0])
    assert (reasons["reason"], reasons["topic"], reasons["stage"]) == (
        "webhook_failed",
        "ml.rollbacks.v1",
        "responders",
    )
    assert "in 2 tries: answered 500" in reasons["message"]
    assert letters[0].value is not None
    assert RollbackCommand.model_validate_json(letters[0].value).rollback_id == "rollback-1"


async def test_alerts_are_told_once_across_restarts_and_two_workers_tell_them_once(
    kafka: KafkaBroker, receiver: Receiver, answers: Answers
) -> None:
    answers.say = lambda number: 503 if number == 1 else 200
    settings = make_settings(
        kafka,
        "told",
        alert_webhook_url=receiver.url,
        alert_webhook_secret=SecretStr(SECRET),
        alert_webhook_format="slack",
    )
    await ensure_topics(settings)
    await publish(settings, topics.ALERTS, alert(name="before"))

    def told() -> list[str]:
        return [json.loads(body)["text"] for _, body in receiver.requests]

    async def publish_until_told(event: Alert, text: str) -> None:
        await publish(settings, topics.ALERTS, event)
        await eventually(lambda: text in told(), seconds=20)

    first = Responders(settings=settings, names=TopicNames(settings))
    second = Responders(settings=settings, names=TopicNames(settings))
    await first.start()
    await second.start()
    await asyncio.sleep(1)
    await publish_until_told(alert(), "PAGE miss is out of true")
    await second.stop()
    await first.stop()
    await publish(settings, topics.ALERTS, alert(sequence=2, previous_status="firing"))
    resolved = alert(AlertStatus.RESOLVED, sequence=3, previous_status="firing")
    await publish(settings, topics.ALERTS, resolved)  # while nobody listens
    third = Responders(settings=settings, names=TopicNames(settings))
    await third.start()
    await eventually(lambda: "RESOLVED miss is out of true" in told(), seconds=20)
    await third.stop()
    assert receiver.acted_on == ["alert-miss-1", "alert-miss-3"]
    assert all(is_authentic(SECRET, body, headers) for headers, body in receiver.requests)


async def test_an_alert_that_no_try_could_tell_is_a_dead_letter(
    tansu: TansuBroker, receiver: Receiver, answers: Answers
) -> None:
    answers.say = lambda _: 400
    settings = make_settings(tansu, "untold", alert_webhook_url=receiver.url)
    await ensure_topics(settings)
    service = Responders(settings=settings, names=TopicNames(settings))
    await service.start()
    letters: list[Record] = []

    async def has_letter() -> bool:
        letters.clear()
        await publish(settings, topics.ALERTS, alert())
        await broker_commands.scan(settings, [topics.DEAD_LETTERS], lambda _, record: letters.append(record))
        return bool(letters)

    await eventually(has_letter, seconds=20)
    await service.stop()
    assert why(letters[0])["reason"] == "webhook_failed"
    assert "did not take firing of alert-miss in 1 tries: answered 400" in why(letters[0])["message"]
    assert Alert.model_validate_json(letters[0].value or b"").alert_id == "alert-miss"


class Alias:
    """A serving side: one alias."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.n_switches = 0

    async def current_version(self, environment: str, model_name: str) -> str | None:
        assert (environment, model_name) == ("production", "flight-delay")
        return self.version

    async def switch(self, command: RollbackCommand) -> None:
        self.n_switches += 1
        self.version = str(command.to_version)

    def event_time(self) -> datetime:
        return datetime.now(UTC)


async def test_an_executor_switches_once_and_says_so(tansu: TansuBroker) -> None:
    settings = make_settings(tansu, "executor")
    await ensure_topics(settings)
    at = datetime.now(UTC) - timedelta(days=1)
    for version, generation in (("7", 1), ("8", 2)):
        deployed = DeploymentEvent(
            deployment_id=version,
            model_name="flight-delay",
            model_version=version,
            generation=generation,
            deployed_at=at,
        )
        await publish(settings, topics.DEPLOYMENTS, deployed)
    unsigned = fresh(rollback_id="unsigned", idempotency_key="unsigned")
    await publish(settings, topics.ROLLBACKS, unsigned, fresh().signed(SECRET))
    serving = Alias("8")

    async def states() -> list[str]:
        found = await broker_commands.collect(settings, topics.ROLLBACK_STATUS, RollbackStatus)
        return [f"{status.idempotency_key}:{status.state}" for status, _ in found]

    done = ["key-1:accepted", "key-1:executing", "key-1:succeeded"]

    async def is_done() -> bool:
        return await states() == done

    for _ in range(2):  # the second life finds everything done
        executor = Executor(settings=settings, names=TopicNames(settings), serving=serving, name="registry", key=SECRET)
        await executor.start()
        await eventually(is_done)
        await asyncio.sleep(0.3)
        await executor.stop()
    assert await states() == done, "the unsigned one is not answered"
    assert (serving.version, serving.n_switches) == ("7", 1)
    deployments = [each for each, _ in await broker_commands.collect(settings, topics.DEPLOYMENTS, DeploymentEvent)]
    assert [(each.model_version, each.generation, each.cause) for each in deployments][2:] == [("7", 3, "rollback-1")]


async def test_without_an_address_nothing_runs(tansu: TansuBroker) -> None:
    settings = make_settings(tansu, "nothing")
    service = Responders(settings=settings, names=TopicNames(settings))
    await service.start()
    assert service.responders == []
    await service.stop()
