"""Asks the broker now and then whether it still lets us in, for a worker that runs.

A client whose connection ended tries again for ever, and says nothing of it but a line in the log. A worker whose
credentials were withdrawn would so stay up and do nothing; it has to end instead, and say why.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import MODELS
from streams.engine.clients import drop_reader, make_reader, start_reader
from streams.engine.handshake import check_refusal
from streams.engine.names import TopicNames
from streams.engine.tls import refresh_certificates
from streams.settings import Settings

log = structlog.get_logger(__name__)

INTERVAL_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 1.0
"""After a question that was not answered the next one comes this soon."""
_HANDSHAKE_SECONDS: Final = 10.0


class BrokerWatch:
    """Keeps one connection like those of the other clients, and looks closer when it fails.

    What counts is the failure: a new handshake is tried only then, so a worker whose connections hold is not ended
    by a password that was changed for the next start.

    Parameters
    ----------
    settings, names
        Whom to ask.
    interval_seconds
        Time between two questions.
    """

    def __init__(self, settings: Settings, names: TopicNames, *, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._settings = settings
        self._interval_seconds = interval_seconds
        self._question = TopicPartition(names.in_use(MODELS.name), 0)

    async def run(self) -> None:
        """Ask for ever; raises `BrokerRefusedError`. A broker that is away is waited for."""
        reader = make_reader(self._settings, client="watch")
        try:
            await start_reader(reader, self._settings)
            answered = True
            while True:
                await asyncio.sleep(self._interval_seconds if answered else _AGAIN_SECONDS)
                refresh_certificates()
                answered = await self._is_answered(reader)
                if not answered:
                    await check_refusal(self._settings.kafka, timeout_seconds=_HANDSHAKE_SECONDS)
        finally:
            await drop_reader(reader)

    async def _is_answered(self, reader: AIOKafkaConsumer) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await reader.end_offsets([self._question])
        except (KafkaError, TimeoutError) as error:
            log.warning("broker_did_not_answer", error=repr(error))
            return False
        return True
