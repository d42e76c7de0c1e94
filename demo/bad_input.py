"""A handful of records as they really arrive: broken, doubled, foreign, from the future. Each has to end somewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from demo.registry import MODEL_NAME
from demo.traffic import Traffic
from schemas import topics
from streams.engine.processor import Output

OTHER_MODEL: Final = "baggage-claim"
_FAR_FUTURE: Final = "2099-01-01T00:00:00Z"
_LARGE_BYTES: Final = 2_000_000
_LONG_AGO_SECONDS: Final = 18 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRecord:
    """One record, and what is wrong with it."""

    name: str
    output: Output
    outcome: str
    """Where it has to end: `dead letter`, or the total that it adds to."""
    finding: str = ""
    """The quality finding that it has to be counted in, where the model's data is bad rather than the record."""

    @property
    def topic(self) -> str:
        """The topic that it is sent to."""
        return self.output.topic


def make_bad_records(traffic: Traffic, row: int, *, seed: int) -> list[BadRecord]:
    """Spoil copies of one flight's prediction and label.

    Parameters
    ----------
    traffic
        Where the flight comes from.
    row
        A labelled flight that was sent already.
    seed
        Draws the ids, so that runs with different seeds spoil different keys.
    """
    prediction = _Copies(traffic.prediction(row, str(traffic.served[row])), tag=f"bad{_tag(seed)}")
    label = _Copies(traffic.label(row), tag=f"bad{_tag(seed)}")
    return [*_unreadable(prediction), *_unbelievable(prediction, label), *_repeated(prediction, label)]


class _Copies:
    """Makes copies of a record under other ids, with other fields."""

    def __init__(self, original: Output, *, tag: str) -> None:
        self.original = original
        self._tag = tag
        self._fields: dict[str, Any] = msgspec.json.decode(original.value or b"")

    def make(self, name: str, **changes: Any) -> Output:
        fields = {**self._fields, "prediction_id": f"{self._tag}-{name}", **changes}
        kept = {field: value for field, value in fields.items() if value is not ...}
        key = str(kept.get("prediction_id", f"{self._tag}-{name}")).encode()
        return replace(self.original, key=key, value=json.dumps(kept).encode())

    def feature(self, name: str, feature: str, value: Any) -> Output:
        return self.make(name, features={**self._fields["features"], feature: value})

    def time(self, shift_seconds: float) -> float:
        return float(self._fields["prediction_timestamp"]) + shift_seconds


def _unreadable(good: _Copies) -> list[BadRecord]:
    made = good.make("readable")
    number = (good.make("1e400").value or b"").replace(b'"latency_seconds": ', b'"latency_seconds": 1e400, "was": ')
    dead = {
        "not JSON": replace(made, key=b"bad-not-json", value=b"it was late, I think"),
        "empty value": replace(made, key=b"bad-empty", value=b""),
        "wrong type": good.make("wrong-type", prediction_timestamp="yesterday"),
        "no prediction_id": good.make("no-id", prediction_id=...),
        "a number beyond every float (1e400)": replace(made, key=b"bad-1e400", value=number),
        "2 MB in one record": good.feature("large", "carrier", "A" * _LARGE_BYTES),
        "a key that is not UTF-8": replace(good.make("key"), key=b"\xff\xfe\xfa"),
    }
    return [BadRecord(name=name, output=output, outcome="dead letter") for name, output in dead.items()]


def _unbelievable(prediction: _Copies, label: _Copies) -> list[BadRecord]:
    return [
        BadRecord(
            name="from the year 2099",
            output=prediction.make("future", prediction_timestamp=_FAR_FUTURE),
            outcome="dead letter",
        ),
        BadRecord(
            name="another model's label",
            output=label.make("foreign", model_name=OTHER_MODEL),
            outcome="orphan label",
        ),
        BadRecord(
            name="a feature that was a number yesterday",
            output=prediction.feature("type", "dep_delay", "twelve minutes"),
            outcome="expired prediction",
            finding="type:dep_delay",
        ),
    ]


def _repeated(prediction: _Copies, label: _Copies) -> list[BadRecord]:
    late = prediction.make("late", prediction_timestamp=prediction.time(-_LONG_AGO_SECONDS))
    return [
        BadRecord(name="a prediction sent twice", output=prediction.original, outcome="duplicate prediction"),
        BadRecord(name="a label sent twice", output=label.original, outcome="duplicate label"),
        BadRecord(name="a label of no prediction", output=label.make("orphan"), outcome="orphan label"),
        BadRecord(name="a prediction 18 days late", output=late, outcome="late prediction"),
    ]


def _tag(seed: int) -> str:
    return f"{np.random.default_rng([seed, 3]).integers(16**6):06x}"


def known_models(records: Sequence[BadRecord]) -> list[str]:
    """Every model that something was sent for: their watermarks have to move at the end."""
    foreign = any(OTHER_MODEL.encode() in (record.output.value or b"") for record in records)
    return [MODEL_NAME, OTHER_MODEL] if foreign else [MODEL_NAME]


TOPICS: Final = (topics.PREDICTIONS.name, topics.LABELS.name)
