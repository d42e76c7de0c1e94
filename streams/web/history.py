"""History: reads the decision topics into the board, so that a restart does not forget what is in force."""

from __future__ import annotations

import mode

from schemas import topics
from streams.engine.follower import Follower
from streams.engine.topics import TopicNames
from streams.settings import Settings
from streams.web.exporter import Exporter


class History(mode.Service):
    """Follows alerts, rollbacks, answers and incidents from the beginning; all are topics of one partition.

    Commits of this worker reach the board at once through the exporter; this adds what was decided before it
    started, and what other workers decide. Start it before the stages.

    Parameters
    ----------
    settings, names
        Where the topics are.
    exporter
        Whose board is filled.
    """

    def __init__(self, *, settings: Settings, names: TopicNames, exporter: Exporter) -> None:
        super().__init__()
        followed = (topics.ALERTS, topics.ROLLBACKS, topics.ROLLBACK_STATUS, topics.INCIDENTS)
        self._follower = Follower(
            settings, names, topics=[topic.name for topic in followed], on_record=exporter.board.apply_record
        )

    async def on_start(self) -> None:
        """Read to the present end."""
        await self._follower.start()
        await self._follower.caught_up()

    async def on_stop(self) -> None:
        """Stop following."""
        await self._follower.stop()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._follower.wait()
