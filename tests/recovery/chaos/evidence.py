"""What the broker's own files prove: transactions that were open when their owner was killed, and fenced zombies.

An owner of a task is known to the broker by producer id and epoch. A kill inside a transaction is proved by an abort
marker for the pair that was open; a zombie was kept from writing where no batch of an older epoch follows one of a
younger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .director import KillSeen, ZombieSeen
from .log_segments import partition_folders, read_batches
from .transactions import Transaction


@dataclass(slots=True)
class TransactionLog:
    """Markers and epochs of some topics, folded from the broker's files.

    Attributes
    ----------
    aborted, committed
        Producer id and epoch of every marker.
    gone_back
        Places where an older epoch wrote behind a younger one: what the fence has to prevent.
    """

    aborted: set[tuple[int, int]] = field(default_factory=set)
    committed: set[tuple[int, int]] = field(default_factory=set)
    gone_back: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, data: Path, topics: Iterable[str]) -> TransactionLog:
        """Read every partition of some topics."""
        found = cls()
        for topic in topics:
            for folder in partition_folders(data, topic).values():
                found._fold(folder)
        return found

    def _fold(self, folder: Path) -> None:
        youngest: dict[int, int] = {}
        for batch in read_batches(folder):
            if not batch.is_transactional:
                continue
            owner = (batch.producer_id, batch.producer_epoch)
            if batch.marker == "abort":
                self.aborted.add(owner)
            elif batch.marker == "commit":
                self.committed.add(owner)
            if batch.producer_epoch < youngest.get(batch.producer_id, -1):
                self.gone_back.append(f"{folder.name} at {batch.offset}: {owner}")
            youngest[batch.producer_id] = max(batch.producer_epoch, youngest.get(batch.producer_id, -1))

    def was_aborted(self, transaction: Transaction) -> bool:
        """Whether a transaction that was open ended by an abort; the fence writes it under the epoch after."""
        producer, epoch = transaction.producer_id, transaction.producer_epoch
        return (producer, epoch) in self.aborted or (producer, epoch + 1) in self.aborted


def kills_inside(kills: Iterable[KillSeen], log: TransactionLog) -> list[dict[str, Any]]:
    """Kills with a transaction that was open, and was aborted afterwards: the broker's word for each."""
    found = []
    for kill in kills:
        proved = [each for each in kill.open if log.was_aborted(each)]
        if proved:
            found.append({"worker": kill.worker, "transactions": [_said(each) for each in proved]})
    return found


def fenced_zombies(zombies: Iterable[ZombieSeen], log: TransactionLog) -> list[dict[str, Any]]:
    """Zombies that met the fence, with what the broker and they themselves said."""
    return [
        {
            "worker": zombie.worker.log.stem,
            "frozen_seconds": round(zombie.frozen_seconds, 1),
            "open_when_frozen": [_said(each) for each in zombie.frozen],
            "before_it_was_thawed": [_said(each) for each in zombie.taken_over],
            "it_said": list(zombie.fenced_lines),
        }
        for zombie in zombies
        if zombie.fenced_lines and all(log.was_aborted(each) for each in zombie.frozen)
    ]


def _said(transaction: Transaction) -> str:
    each = transaction
    return f"{each.transactional_id}: {each.state}, producer {each.producer_id}, epoch {each.producer_epoch}"
