"""Responders: the subscribers that are configured, as one service of a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import mode
import structlog
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import Alert
from schemas.base import from_milliseconds
from schemas.incidents import Incident, Intervention
from schemas.rollbacks import RollbackCommand
from streams import telemetry
from streams.engine import dead_letters
from streams.engine.follower import Follower
from streams.engine.processor import DeadLetter, Record
from streams.engine.publisher import Publisher
from streams.engine.subscription import ALERT_WEBHOOK_GROUP, Subscription
from streams.engine.topics import TopicNames
from streams.responders import alert_webhook, alertmanager, webhook
from streams.responders.alert_book import AlertBook
from streams.responders.alert_webhook import AlertWebhook
from streams.responders.alertmanager import AlertmanagerPoster
from streams.responders.command_serving import CommandServing
from streams.responders.executing import Executor
from streams.responders.executor import ServingSide
from streams.responders.incident_book import IncidentBook
from streams.responders.mlflow_alias import MlflowAlias
from streams.responders.webhook import Webhook
from streams.responders.word_book import WordBook
from streams.settings import ResponderSettings, Settings, StageName

log = structlog.get_logger(__name__)

Now = Callable[[], datetime]
_UTC_NOW: Final[Now] = lambda: datetime.now(UTC)  # noqa: E731 - a value that callers replace


class AlertResponder(mode.Service):
    """Keeps an Alertmanager in line with `ml.alerts.v1`, and says beside each alert what people have said of it."""

    def __init__(self, settings: Settings, names: TopicNames, url: str, now: Now) -> None:
        super().__init__()
        chosen: ResponderSettings = settings.responders
        self._book = AlertBook()
        self._words = WordBook()
        self._incidents = IncidentBook()
        self._poster = AlertmanagerPoster(
            url,
            self._book,
            interval=timedelta(seconds=chosen.alertmanager_interval_seconds),
            timeout_seconds=chosen.timeout_seconds,
            now=now,
            remarks=self._remarks,
        )
        followed = [topics.ALERTS.name, topics.INTERVENTIONS.name, topics.INCIDENTS.name]
        self._follower = Follower(settings, names, topics=followed, on_record=self._fold)

    def _fold(self, topic: str, record: Record) -> None:
        if topic == topics.ALERTS.name:
            alert = _read(Alert, topic, record, alertmanager.NAME)
            changed = alert is not None and self._book.apply(alert, from_milliseconds(record.timestamp))
        elif topic == topics.INCIDENTS.name:
            incident = _read(Incident, topic, record, alertmanager.NAME)
            changed = incident is not None and self._incidents.apply(incident)
        else:
            said = _read(Intervention, topic, record, alertmanager.NAME)
            changed = said is not None and said.kind in {"ack", "freeze"}
            if said is not None:
                self._words.apply(said)
        if changed:
            self._poster.changed()

    def _remarks(self, alert: Alert, now: datetime) -> dict[str, str]:
        ack, freeze = self._words.ack_of(alert), self._words.freeze_of(alert, now)
        incident = self._incidents.of_alert(alert.fingerprint)
        return {
            "acknowledged_by": "" if ack is None else str(ack),
            "rollbacks_frozen_by": "" if freeze is None else str(freeze),
            "incident_id": "" if incident is None else incident.incident_id,
        }

    async def on_start(self) -> None:
        """Read what is in force before the first post."""
        await self._follower.start()
        await self._follower.caught_up()

    async def on_stop(self) -> None:
        """Stop following; Alertmanager forgets what is not re-asserted."""
        await self._follower.stop()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._follower.wait()

    @mode.Service.task
    async def _post(self) -> None:
        await self._poster.run()


class WebhookResponder(mode.Service):
    """Follows `ml.rollbacks.v1` and delivers commands to a webhook."""

    def __init__(self, settings: Settings, names: TopicNames, url: str, secret: str, now: Now) -> None:
        super().__init__()
        self._names = names
        self._publisher = Publisher(settings, names)
        self._webhook = Webhook(
            url,
            secret,
            attempts=settings.responders.attempts,
            timeout_seconds=settings.responders.timeout_seconds,
            dead_letter=partial(_publish_letter, self._publisher, names),
            now=now,
        )
        self._follower = Follower(settings, names, topics=[topics.ROLLBACKS.name], on_record=self._fold)

    def _fold(self, topic: str, record: Record) -> None:
        command = _read(RollbackCommand, topic, record, webhook.NAME)
        if command is not None:
            self._webhook.apply(command, record)

    async def on_start(self) -> None:
        """Read which commands are open before the first delivery."""
        await self._publisher.start()
        await self._follower.start()
        await self._follower.caught_up()
        self._webhook.is_live = True

    async def on_stop(self) -> None:
        """Stop following; what is open is delivered at the next start."""
        await self._follower.stop()
        await self._publisher.stop()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._follower.wait()

    @mode.Service.task
    async def _deliver(self) -> None:
        await self._webhook.run()


class AlertWebhookResponder(mode.Service):
    """Tells a webhook of alerts; of several workers one does."""

    def __init__(self, settings: Settings, names: TopicNames, url: str) -> None:
        super().__init__()
        self._names = names
        self._publisher = Publisher(settings, names)
        chosen = settings.responders
        secret = chosen.alert_webhook_secret
        self._webhook = AlertWebhook(
            url,
            chosen.alert_webhook_format,
            key="" if secret is None else secret.get_secret_value(),
            attempts=chosen.attempts,
            timeout_seconds=chosen.timeout_seconds,
            pages_only=chosen.alert_webhook_severity == "page",
            dead_letter=partial(_publish_letter, self._publisher, names),
        )
        self._client = self._webhook.client()
        self._subscription = Subscription(
            settings, names, topic=topics.ALERTS, name=ALERT_WEBHOOK_GROUP, handle=self._tell
        )

    async def _tell(self, record: Record) -> None:
        alert = _read(Alert, topics.ALERTS.name, record, alert_webhook.NAME)
        if alert is not None:
            await self._webhook.tell(self._client, alert, record)

    async def on_start(self) -> None:
        """Join those who read for this webhook."""
        await self._publisher.start()
        await self._subscription.start()

    async def on_stop(self) -> None:
        """Leave them: what was not told comes again."""
        await self._subscription.stop()
        await self._client.aclose()
        await self._publisher.stop()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._subscription.wait()


async def _publish_letter(publisher: Publisher, names: TopicNames, letter: DeadLetter) -> None:
    await publisher.publish(dead_letters.to_output(letter, stage=StageName.RESPONDERS, names=names))
    telemetry.DEAD_LETTERS.labels(stage=StageName.RESPONDERS.value, reason=letter.reason).inc()


class Responders(mode.Service):
    """Runs the responders that have an address in the settings; with none it idles, and says so once.

    Each has its own reader, so a slow or dead receiver holds up neither the stages nor the other responders.

    Parameters
    ----------
    settings
        `responders` says which; addresses are checked here.
    names
        Where the topics are.
    now
        Wall clock, aware.
    """

    def __init__(self, *, settings: Settings, names: TopicNames, now: Now = _UTC_NOW) -> None:
        super().__init__()
        chosen = settings.responders
        self.responders: list[mode.Service] = []
        if chosen.alertmanager_url is not None:
            self.responders.append(AlertResponder(settings, names, chosen.alertmanager_url, now))
        if chosen.alert_webhook_url is not None:
            self.responders.append(AlertWebhookResponder(settings, names, chosen.alert_webhook_url))
        if chosen.webhook_url is not None and chosen.webhook_secret is not None:
            secret = chosen.webhook_secret.get_secret_value()
            self.responders.append(WebhookResponder(settings, names, chosen.webhook_url, secret, now))

        executor = _executor(settings, names, now)
        if executor is not None:
            self.responders.append(executor)

    def on_init_dependencies(self) -> list[mode.Service]:
        """Return the children."""
        return self.responders

    async def on_start(self) -> None:
        """Say what runs."""
        log.info("responders_started", responders=[type(each).__name__ for each in self.responders])


def _executor(settings: Settings, names: TopicNames, now: Now) -> mode.Service | None:
    chosen = settings.executor
    serving: ServingSide
    if chosen.kind == "mlflow" and chosen.mlflow_url is not None:
        serving = MlflowAlias(
            chosen.mlflow_url,
            alias=chosen.mlflow_alias,
            name=chosen.mlflow_model,
            token="" if chosen.mlflow_token is None else chosen.mlflow_token.get_secret_value(),
            timeout_seconds=chosen.timeout_seconds,
        )
    elif chosen.kind == "command":
        serving = CommandServing(
            chosen.read_command,
            chosen.switch_command,
            timeout_seconds=chosen.timeout_seconds,
            environment=chosen.pass_variables,
        )
    else:
        return None
    return Executor(settings=settings, names=names, serving=serving, name=chosen.name, now=now)


def _read(kind: Any, topic: str, record: Record, responder: str) -> Any:
    """Read a record's value; None, said and counted, where it is not what the topic carries."""
    if record.value is None:
        return None
    try:
        return kind.model_validate_json(record.value)
    except ValidationError as error:
        log.warning("record_unreadable", topic=topic, offset=record.offset, error=str(error))
        telemetry.RESPONSES.labels(responder=responder, outcome="unreadable").inc()
        return None
