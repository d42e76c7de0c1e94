"""What a replay decided, on disk: the events as JSON lines, and windows, verdicts and alerts as Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pa_parquet

from schemas import topics
from schemas.alerts import Alert, AlertStatus
from schemas.metrics import WindowMetrics
from streams.engine.processor import DeadLetter

_FILES: Final = {
    topics.METRICS.name: "windows",
    topics.ALERTS.name: "alerts",
    topics.EVIDENCE.name: "evidence",
    topics.INCIDENTS.name: "incidents",
    topics.ROLLBACKS.name: "rollbacks",
    topics.REFERENCES.name: "references",
}
_TIME: Final = pa.timestamp("ms", "UTC")
_WINDOW: Final = pa.schema([
    ("model_name", pa.string()), ("model_version", pa.string()), ("kind", pa.string()), ("window_start", _TIME),
    ("window_end", _TIME), ("n_predictions", pa.int64()), ("n_labels", pa.int64()),
    ("label_coverage_ratio", pa.float64()), ("values", pa.map_(pa.string(), pa.float64())),
])  # fmt: skip
_VERDICT: Final = pa.schema([
    ("model_name", pa.string()), ("model_version", pa.string()), ("window_start", _TIME), ("window_end", _TIME),
    ("monitor_id", pa.string()), ("signal", pa.string()), ("segment", pa.string()), ("feature", pa.string()),
    ("status", pa.string()), ("statistic", pa.float64()), ("threshold", pa.float64()), ("value", pa.float64()),
    ("reference_value", pa.float64()), ("n", pa.int64()),
])  # fmt: skip
_ALERT: Final = pa.schema([
    ("alert_id", pa.string()), ("sequence", pa.int64()), ("status", pa.string()), ("resolution", pa.string()),
    ("severity", pa.string()), ("model_name", pa.string()), ("model_version", pa.string()),
    ("monitor_id", pa.string()), ("segment", pa.string()), ("feature", pa.string()), ("starts_at", _TIME),
    ("updated_at", _TIME), ("ends_at", _TIME), ("summary", pa.string()), ("statistic", pa.float64()),
    ("threshold", pa.float64()),
])  # fmt: skip
_FLUSH_ROWS: Final = 20_000


@dataclass(slots=True)
class Episode:
    """One alert from its first firing to its end; `end` is None where it outlasts the recording."""

    alert_id: str
    severity: str
    labels: dict[str, str]
    start: datetime
    end: datetime | None
    summary: str
    resolution: str = ""
    top_features: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about, whichever configuration raised it."""
        names = ("environment", "model_name", "model_version", "monitor_id", "segment", "feature")
        return tuple(self.labels.get(name, "") for name in names)


class Results:
    """Takes everything that the stages publish.

    Parameters
    ----------
    folder
        For the files; None keeps nothing but what the summary needs.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}
        self._tables: dict[str, _ParquetFile] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("windows", "alerts", "dead_letters"):
                self._open[name] = (folder / f"{name}.jsonl").open("wb")
            schemas = {"windows": _WINDOW, "verdicts": _VERDICT, "alerts": _ALERT}
            self._tables = {name: _ParquetFile(folder / f"{name}.parquet", each) for name, each in schemas.items()}
        self.windows: list[WindowMetrics] = []
        """All closed windows, without what the summary and the report do not show."""
        self.episodes: dict[str, Episode] = {}
        self.dead_reasons: dict[str, int] = {}
        self.n_events: dict[str, int] = {}

    def take(self, topic: str, value: bytes) -> None:
        """Take a published event."""
        name = _FILES.get(topic)
        self.n_events[topic] = self.n_events.get(topic, 0) + 1
        if name is not None and self._folder is not None:
            if name not in self._open:
                self._open[name] = (self._folder / f"{name}.jsonl").open("wb")
            self._open[name].write(value + b"\n")
        if topic == topics.METRICS.name:
            self._take_window(WindowMetrics.model_validate_json(value))
        elif topic == topics.ALERTS.name:
            self._take_alert(Alert.model_validate_json(value))

    def _take_window(self, window: WindowMetrics) -> None:
        self._add("windows", [{**window.model_dump(include=set(_WINDOW.names)),
                               "values": [(k, v) for k, v in window.values.items() if v is not None]}])  # fmt: skip
        shared = window.model_dump(include={"model_name", "model_version", "window_start", "window_end"})
        self._add("verdicts", [{**each.model_dump(exclude={"companions"}), **shared} for each in window.verdicts])
        # What a report draws of a series is its value, statistic and threshold; not its companions.
        slim = [each.model_copy(update={"companions": []}) for each in window.verdicts]
        self.windows.append(window.model_copy(update={"verdicts": slim, "segments": {}}))

    def _take_alert(self, alert: Alert) -> None:
        row = {
            **alert.model_dump(include=set(_ALERT.names), mode="python"),
            **{name: alert.labels.get(name, "") for name in _ALERT.names if name in _LABELS},
            "status": alert.status.value,
            "resolution": alert.resolution.value if alert.resolution else None,
            "summary": alert.annotations.get("summary", ""),
            "statistic": alert.evidence.statistic,
            "threshold": alert.evidence.threshold,
        }
        self._add("alerts", [row])
        episode = self.episodes.get(alert.alert_id)
        if episode is None and alert.status is AlertStatus.FIRING:
            self.episodes[alert.alert_id] = Episode(
                alert_id=alert.alert_id,
                severity=alert.labels.get("severity", ""),
                labels=dict(alert.labels),
                start=alert.updated_at,
                end=alert.ends_at,
                summary=alert.annotations.get("summary", ""),
                top_features=[each.summary or each.name for each in alert.explanation.top_features],
            )
        elif episode is not None:
            episode.end = alert.ends_at
            episode.resolution = alert.resolution.value if alert.resolution else ""

    def take_dead(self, letter: DeadLetter) -> None:
        """Take a record that could not be read: it is kept as a worker keeps it, value untouched."""
        self.dead_reasons[letter.reason] = self.dead_reasons.get(letter.reason, 0) + 1
        if "dead_letters" in self._open:
            record = letter.record
            row = {
                "reason": letter.reason,
                "message": letter.message,
                "topic": record.topic,
                "offset": record.offset,
                "key": None if record.key is None else record.key.decode("utf-8", "replace"),
                "value": None if record.value is None else record.value.decode("utf-8", "replace"),
            }
            self._open["dead_letters"].write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def _add(self, name: str, rows: list[dict[str, Any]]) -> None:
        if name in self._tables:
            self._tables[name].add(rows)

    def close(self) -> None:
        """Finish the files."""
        for file in (*self._open.values(), *self._tables.values()):
            file.close()

    @property
    def n_dead(self) -> int:
        """Records that could not be read."""
        return sum(self.dead_reasons.values())

    def fired(self) -> list[Episode]:
        """Alerts that fired, in order of time."""
        return sorted(self.episodes.values(), key=lambda each: (each.start, each.key))


_LABELS: Final = frozenset({"severity", "model_name", "model_version", "monitor_id", "segment", "feature"})


class _ParquetFile:
    """Rows written in groups."""

    def __init__(self, path: Path, schema: Any) -> None:
        self._writer = pa_parquet.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[dict[str, Any]] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._rows += rows
        if len(self._rows) >= _FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()
