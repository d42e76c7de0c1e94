"""Bottom-k samples of models without a reference: what is taken depends on hashes alone, so samples merge."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from schemas.models import TaskKind
from schemas.profiles import Sample
from streams.control.bins import TAG_PREFIX, canonical_text, infer_kind
from streams.control.plan import Plan
from streams.ingest.loose import is_category
from streams.ingest.predictions import Part

SAMPLE_SIZE: Final = 2_000
"""Smallest hashes that are kept per model and version."""
_EVERY: Final = 2**64
Taken = dict[str, dict[int, Sample]]
"""By version and hash."""


@dataclass(slots=True)
class Sampler:
    """What one model was sampled for; `redact` names features that never leave the prediction topic."""

    redact: Collection[str]
    _hashes: dict[str, list[int]] = field(default_factory=dict)
    """By version, the k smallest hashes so far, in order."""

    def _limit(self, version: str) -> int:
        kept = self._hashes.get(version) or []
        return kept[-1] if len(kept) >= SAMPLE_SIZE else _EVERY

    def take(self, part: Part, into: Taken) -> None:
        """Sample a part of a chunk while its events are at hand.

        What turns out to be late, or a duplicate, is sampled all the same: a duplicate has the same hash.
        """
        columns = part.columns
        names = part.names.versions.names
        usable = ~columns.backfill & ~columns.failed
        for code in np.unique(columns.version).tolist():
            version = names[code]
            taken = into.setdefault(version, {})
            limit = min(self._limit(version), max(taken) if len(taken) >= SAMPLE_SIZE else _EVERY)
            below = columns.hash_high < np.uint64(limit) if limit < _EVERY else True
            for i in np.flatnonzero(usable & (columns.version == code) & below).tolist():
                stamp, hash_ = int(columns.timestamp_ms[i]), int(columns.hash_high[i])
                if hash_ not in taken:
                    taken[hash_] = self._sample(hash_, version, stamp, part.events[i], columns.plan)
            for hash_ in sorted(taken)[SAMPLE_SIZE:]:
                del taken[hash_]

    def _sample(self, hash_: int, version: str, timestamp_ms: int, event: Any, plan: Plan) -> Sample:
        features = {name: value for name, value in event.features.items() if name not in self.redact and _plain(value)}
        for name in (*plan.spec.segments, *plan.spec.groups):
            if name in event.tags and name not in self.redact:
                features[TAG_PREFIX + name] = event.tags[name]
        regression = plan.spec.task is TaskKind.REGRESSION
        score = event.prediction_score
        return Sample(
            hash=hash_,
            model_version=version,
            timestamp_ms=timestamp_ms,
            features=features,
            prediction=event.prediction_value if regression else canonical_text(event.prediction_label),
            score=score if isinstance(score, float) else None,
        )

    def commit(self, samples: list[Sample]) -> None:
        """These were sent: only smaller hashes are of interest from here."""
        for version in {sample.model_version for sample in samples}:
            new = {sample.hash for sample in samples if sample.model_version == version}
            self._hashes[version] = sorted({*self._hashes.get(version, ()), *new})[:SAMPLE_SIZE]


def chosen(taken: Taken) -> list[Sample]:
    """Everything that was taken, in order of version and hash."""
    return [of_version[hash_] for _, of_version in sorted(taken.items()) for hash_ in sorted(of_version)]


def feature_kinds(samples: list[Sample]) -> dict[str, str]:
    """Kinds of the features seen in some samples."""
    columns: dict[str, list[object]] = {}
    for sample in samples:
        for name, value in sample.features.items():
            if not name.startswith(TAG_PREFIX):
                columns.setdefault(name, []).append(value)
    return {name: infer_kind(values) for name, values in sorted(columns.items())}


def _plain(value: object) -> bool:
    return value is None or isinstance(value, (str, float)) or is_category(value)
