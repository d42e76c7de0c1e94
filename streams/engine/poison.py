"""Finds the one record that our own code raises on, by crashing again with ever smaller batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from streams.engine.cutting import Pending
from streams.engine.errors import ProcessingError

_CRASHES_BEFORE_HUNT: Final = 3


class PoisonHunt:
    """What is known of a broken record; it outlives the Processors that crash on it.

    A crash on the same start positions three times begins the hunt: batches of half the size, again and again,
    until a batch of one record crashes. That record is `poison`; the hunt ends once a commit is past all that
    was suspected.

    Parameters
    ----------
    on_error
        `stop` ends the worker at the first crash; `dead_letter` hunts.
    partition
        The task's, for messages.
    """

    def __init__(self, on_error: Literal["stop", "dead_letter"], *, partition: int) -> None:
        self._on_error = on_error
        self._partition = partition
        self._n_crashes = 0
        self._start: dict[str, int] = {}
        self._until: dict[str, int] = {}
        self.limit: int | None = None
        """Records that a batch may have while the hunt is on."""
        self.poison: dict[tuple[str, int], str] = {}
        """Records (topic, offset) to be dead-lettered, with the error they caused."""

    def crashed(self, pending: Pending, *, start: Mapping[str, int], error: Exception, at: str | None = None) -> None:
        """Note a crash of a batch, `at` a chunk of it where that is known; raises where the worker has to end."""
        said = f"{type(error).__name__}: {error}"
        if self._on_error == "stop" or pending.n_records == 0:
            msg = (
                f"the Processor raised {said} at {at or pending.describe(self._partition)};"
                " PLUMBLINE_ENGINE_ON_PROCESSING_ERROR=dead_letter would set the record aside"
            )
            raise ProcessingError(msg) from error
        for topic, last in pending.last.items():
            self._until[topic] = max(self._until.get(topic, 0), last + 1)
        if self.limit is None:
            self._n_crashes = self._n_crashes + 1 if dict(start) == self._start else 1
            self._start = dict(start)
            if self._n_crashes < _CRASHES_BEFORE_HUNT:
                return
        if pending.n_records == 1:
            ((topic, offset),) = pending.first.items()
            self.poison[topic, offset] = said
        self.limit = max(1, pending.n_records // 2)

    def committed(self, positions: Mapping[str, int]) -> None:
        """End the hunt once everything suspected is behind."""
        if self._until and all(positions.get(topic, 0) >= until for topic, until in self._until.items()):
            self.limit = None
            self._n_crashes = 0
            self._until.clear()
            self.poison.clear()
