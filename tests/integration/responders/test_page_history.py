from __future__ import annotations

from decision_samples import alert, command

from brokers.tansu import TansuBroker
from schemas import topics
from schemas.base import Event
from schemas.topics import Topic
from streams.control.view import ControlView
from streams.engine.processor import Output
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import EngineSettings, KafkaSettings, ProcessingGuarantee, Settings, TopicSettings
from streams.web.exporter import Exporter
from streams.web.history import History
from streams.web.status import render


async def test_what_was_decided_before_the_start_is_on_the_page(tansu: TansuBroker) -> None:
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=tansu.bootstrap_servers),
        topics=TopicSettings(prefix="history.", events_partitions=1, models_partitions=1),
        engine=EngineSettings(application_id="history", processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE),
    )
    await ensure_topics(settings)
    decided: list[tuple[Topic, Event]] = [(topics.ALERTS, alert()), (topics.ROLLBACKS, command())]
    async with Publisher(settings) as publisher:
        await publisher.publish(
            *(Output(topic=topic.name, key=b"k", value=event.to_bytes()) for topic, event in decided)
        )
    exporter = Exporter(settings=settings)
    history = History(settings=settings, names=TopicNames(settings), exporter=exporter)
    await history.start()
    html = render(exporter, ControlView())
    await history.stop()
    assert "miss is out of true" in html
    assert "misses more" in html
