"""Which predictions of a batch are new: neither late, nor backfill, nor a duplicate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.profiler.families import Family, standing_label
from streams.profiler.model import TIMELY_NEVER, ModelState
from streams.profiler.table import Array, Slots
from streams.profiler.watermarks import Horizons

Key = tuple[int, int]


class Families:
    """Families of the ids that need the careful way, made from the table when they are asked for."""

    def __init__(self, model: ModelState) -> None:
        self._rows = model.rows
        self.by_key: dict[Key, list[Family]] = {}

    def load(self, high: Array, low: Array) -> None:
        """Make ready the families of some ids."""
        places, slots = self._rows.find(high, low)
        keys = list(zip(high.tolist(), low.tolist(), strict=True))
        found: dict[Key, dict[int, None]] = {}
        for place, slot in zip(places.tolist(), slots.tolist(), strict=True):
            found.setdefault(keys[place], {})[slot] = None
        for key in keys:
            if key not in self.by_key:
                self.by_key[key] = self._from_table(found.get(key, ()))

    def _from_table(self, slots: Iterable[int]) -> list[Family]:
        rows, families = self._rows, list[Family]()
        for slot in slots:
            anchor, arrival = int(rows["anchor"][slot]), int(rows["arrival"][slot])
            if not families or (families[-1].anchor, families[-1].arrival) != (anchor, arrival):
                families.append(Family(anchor, arrival))
            family = families[-1]
            family.old.append(slot)
            family.versions.add(int(rows["version"][slot]))
            timely = int(rows["timely"][slot])
            family.timely = family.timely if timely == TIMELY_NEVER else timely
            family.standing = standing_label(
                int(rows["label_timestamp"][slot]),
                int(rows["label_arrival"][slot]),
                float(rows["label"][slot]),
                int(rows["revision"][slot]),
            )
        return families


@dataclass(slots=True)
class Acceptance:
    """What was decided of every prediction of a batch; masks of shape (n,)."""

    accepted: NDArray[np.bool_]
    late: NDArray[np.bool_]
    duplicate: NDArray[np.bool_]
    anchor: Array
    arrival: Array
    families: Families
    collided: list[Key] = field(default_factory=list)
    """Ids that stood more than once, in the batch or before it."""


def accept(model: ModelState, incoming: dict[str, Array], horizons: Horizons) -> Acceptance:
    """Decide which predictions are new.

    Parameters
    ----------
    model
        As of the last commit.
    incoming
        high, low, timestamp, arrival (the watermark that each one found), version, backfill; in offset order.
    horizons
        Late is what is older than the watermark it found by more than the label horizon.
    """
    late = (incoming["timestamp"] < incoming["arrival"] - horizons.label) & ~incoming["backfill"]
    candidates = np.flatnonzero(~late & ~incoming["backfill"])
    accepted = np.zeros(len(late), dtype=np.bool_)
    accepted[candidates] = True
    result = Acceptance(
        accepted=accepted,
        late=late,
        duplicate=np.zeros(len(late), dtype=np.bool_),
        anchor=incoming["timestamp"].copy(),
        arrival=incoming["arrival"].copy(),
        families=Families(model),
    )
    high, low = incoming["high"][candidates], incoming["low"][candidates]
    colliding = candidates[_colliding(model, high, low)]
    if len(colliding):
        _decide(result, incoming, colliding, horizons)
    return result


def repeated(high: Array) -> NDArray[np.bool_]:
    """Which values stand more than once."""
    order = np.argsort(high)
    same = np.flatnonzero(high[order[1:]] == high[order[:-1]])
    out = np.zeros(len(high), dtype=np.bool_)
    out[order[same]] = True
    out[order[same + 1]] = True
    return out


def _colliding(model: ModelState, high: Array, low: Array) -> Slots:
    out = repeated(high)
    if model.rows.n_live:
        places, _ = model.rows.find(high, low)
        out[places] = True
    return np.flatnonzero(out)


def _decide(result: Acceptance, incoming: dict[str, Array], colliding: Slots, horizons: Horizons) -> None:
    high, low = incoming["high"][colliding], incoming["low"][colliding]
    result.families.load(high, low)
    result.collided = list(zip(high.tolist(), low.tolist(), strict=True))
    columns = (incoming[name][colliding].tolist() for name in ("timestamp", "arrival", "version"))
    for i, key, timestamp, arrival, version in zip(colliding.tolist(), result.collided, *columns, strict=True):
        families = result.families.by_key[key]
        if not families or not families[-1].takes_prediction(arrival, horizons):
            families.append(Family(timestamp, arrival))
        family = families[-1]
        if version in family.versions:
            result.duplicate[i] = True
            result.accepted[i] = False
            continue
        family.versions.add(version)
        family.new.append(i)
        result.anchor[i], result.arrival[i] = family.anchor, family.arrival
