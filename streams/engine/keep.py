"""A task's checkpoints: when local files are written down, and with which position of the changelog."""

from __future__ import annotations

import structlog

from streams.engine.processor import LocalProcessor, Processor
from streams.local.errors import StorageError
from streams.local.instance import TaskFolder

log = structlog.get_logger(__name__)


class Keep:
    """Writes checkpoints of one tenure.

    Parameters
    ----------
    folder
        The task's; without one nothing is written.
    processor
        Whose state; one that keeps no files is left alone.
    position, seq
        Offset and number of the last commit record as it was restored.
    life
        The changelog's.
    """

    def __init__(self, folder: TaskFolder | None, processor: Processor, *, position: int, seq: int, life: str) -> None:
        self._folder = folder
        self._life = life
        self._processor = processor if isinstance(processor, LocalProcessor) else None
        self._position = position
        self._seq = seq

    def committed(self, position: int, seq: int) -> None:
        """A commit holds and is applied: write a checkpoint where it is time for one."""
        self._position, self._seq = position, seq
        self._write(closing=False)

    def close(self) -> None:
        """Write a checkpoint of the last commit; without room for it the next start reads the changelog."""
        try:
            self._write(closing=True)
        except StorageError as error:
            log.error("checkpoint_failed", error=str(error))
        if self._processor is not None:
            self._processor.close()

    def _write(self, *, closing: bool) -> None:
        if self._folder is None or self._processor is None or self._position < 0:
            return
        checkpoint = self._processor.checkpoint(closing=closing)
        if checkpoint is not None:
            self._folder.save(
                position=self._position,
                seq=self._seq,
                life=self._life,
                snapshot=checkpoint.snapshot,
                files=list(checkpoint.files),
            )
