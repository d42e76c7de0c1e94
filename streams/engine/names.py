"""Names in use: what prefix and overrides make of the topic table, and the ids that derive from the application."""

from __future__ import annotations

from schemas.topics import TOPICS, Spread
from streams.engine.errors import TopicLayoutError
from streams.settings import Settings, StageName


class TopicNames:
    """Maps the names of the topic table to the names in use, and back.

    Parameters
    ----------
    settings
        `topics.prefix`, `topics.overrides` and the partition counts are read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._in_use = {topic.name: settings.topics.in_use(topic.name) for topic in TOPICS}
        self._table = {in_use: name for name, in_use in self._in_use.items()}

    def in_use(self, table_name: str) -> str:
        """Return the broker's name of a topic of the table."""
        try:
            return self._in_use[table_name]
        except KeyError:
            msg = f"topic is {table_name!r}: expected a name of the topic table"
            raise TopicLayoutError(msg) from None

    def table(self, name_in_use: str) -> str:
        """Return the table's name of a topic; a foreign topic keeps its own."""
        return self._table.get(name_in_use, name_in_use)

    def n_partitions(self, spread: Spread) -> int:
        """Return the partition count that the settings give to a spread."""
        counts = {
            Spread.EVENTS: self._settings.topics.events_partitions,
            Spread.MODELS: self._settings.topics.models_partitions,
            Spread.ONE: 1,
        }
        return counts[spread]

    def group(self, stage: StageName) -> str:
        """Return the consumer group of a stage."""
        return f"{self._settings.engine.application_id}-{stage.value}"

    def changelog(self, stage: StageName) -> str:
        """Return the changelog topic of a stage."""
        return f"{self.group(stage)}-changelog"

    def transactional_id(self, stage: StageName, partition: int) -> str:
        """Return the transactional id of a task."""
        return f"{self.group(stage)}-{partition}"
