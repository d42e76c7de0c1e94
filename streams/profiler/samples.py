"""Bottom-k samples of models without a reference: what is taken depends on hashes alone, so samples merge."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import msgspec
import numpy as np

from schemas.models import TaskKind
from schemas.profiles import Sample
from streams.control.bins import TAG_PREFIX, canonical_text, infer_kind
from streams.ingest.loose import is_category
from streams.ingest.predictions import Part

SAMPLE_SIZE: Final = 2_000
"""Smallest hashes that are kept per model and version."""
MAX_TEXT_CHARS: Final = 256
"""Longer texts are no categories, and are not sampled."""
_MAX_BYTES: Final = 4_000_000
"""Of one commit's samples, so that its delta fits into a record; the largest hashes go first."""
_EVERY: Final = 2**64
_encoder: Final = msgspec.msgpack.Encoder()
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
                    taken[hash_] = self._sample(hash_, version, stamp, part, i)
            for hash_ in sorted(taken)[SAMPLE_SIZE:]:
                del taken[hash_]

    def _sample(self, hash_: int, version: str, timestamp_ms: int, part: Part, i: int) -> Sample:
        event, plan = part.events[i], part.columns.plan
        # Not always a dict: in another environment the model may have a reference, and both share one schema.
        found = part.schema.named(event.features)
        features = {name: value for name, value in found.items() if name not in self.redact and _plain(value)}
        for name in (*plan.spec.segments, *plan.spec.groups):
            if name in event.tags and name not in self.redact and _plain(event.tags[name]):
                features[TAG_PREFIX + name] = event.tags[name]
        regression = plan.spec.task is TaskKind.REGRESSION
        predicted = event.prediction_value if regression else canonical_text(event.prediction_label)
        score = event.prediction_score
        return Sample(
            hash=hash_,
            model_version=version,
            timestamp_ms=timestamp_ms,
            features=features,
            prediction=predicted if _plain(predicted) else None,
            score=score if isinstance(score, float) else None,
        )

    def commit(self, samples: list[Sample]) -> None:
        """These were sent: only smaller hashes are of interest from here."""
        for version in {sample.model_version for sample in samples}:
            new = {sample.hash for sample in samples if sample.model_version == version}
            self._hashes[version] = sorted({*self._hashes.get(version, ()), *new})[:SAMPLE_SIZE]


def chosen(taken: Taken) -> list[Sample]:
    """Everything that was taken and fits into a delta, in order of version and hash."""
    found = [of_version[hash_] for _, of_version in sorted(taken.items()) for hash_ in sorted(of_version)]
    sizes = [len(_encoder.encode(sample)) for sample in found]
    if sum(sizes) <= _MAX_BYTES:
        return found
    by_hash = sorted(range(len(found)), key=lambda i: (found[i].hash, found[i].model_version))
    fitting = {i for i, end in zip(by_hash, accumulate(sizes[i] for i in by_hash), strict=True) if end <= _MAX_BYTES}
    return [sample for i, sample in enumerate(found) if i in fitting]


def feature_kinds(samples: list[Sample]) -> dict[str, str]:
    """Kinds of the features seen in some samples."""
    columns: dict[str, list[object]] = {}
    for sample in samples:
        for name, value in sample.features.items():
            if not name.startswith(TAG_PREFIX):
                columns.setdefault(name, []).append(value)
    return {name: infer_kind(values) for name, values in sorted(columns.items())}


def _plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_CHARS
    return value is None or isinstance(value, float) or is_category(value)
