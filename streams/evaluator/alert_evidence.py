"""What an alert rests on: an e-detector's alarm, a value beyond its threshold, an error budget that burns."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.alerts import AlertEvidence, AlertSeries, ReferenceUsed, Window
from schemas.base import from_milliseconds
from schemas.identifiers import ALL_SEGMENT
from schemas.metrics import BurnShown, BurnStatus
from schemas.monitors import Monitor
from streams.evaluator.scene import Scene
from streams.evaluator.watch import Alarm


def evidence_of_alarm(alarm: Alarm, scene: Scene) -> AlertEvidence:
    """What an e-detector's alarm rests on; one line for each series that carries it."""
    lines = [
        AlertSeries(
            monitor_id=carrier.series.monitor.monitor_id,
            segment=carrier.series.segment,
            feature=carrier.series.feature,
            statistic=carrier.statistic,
            share_ratio=carrier.share_ratio,
            value=carrier.reading.value,
            reference_value=carrier.reading.reference_value,
        )
        for carrier in alarm.carriers
    ]
    share = {carrier.series.key: carrier.share_ratio for carrier in alarm.carriers}
    listed = [
        AlertSeries(
            monitor_id=found.series.monitor.monitor_id,
            segment=found.series.segment,
            feature=found.series.feature,
            statistic=found.e_value,
            share_ratio=share.get(found.series.key, 0.0),
            value=found.reading.value,
            reference_value=found.reading.reference_value,
            e_value=found.e_value,
        )
        for found in alarm.discoveries
    ]
    evidence = _evidence("e_detector", alarm.statistic, alarm.threshold, scene, alarm.leading.reading.n, lines)
    return evidence.model_copy(update={"discoveries": listed})


def evidence_of_value(
    monitor: Monitor, value: float | None, n: int, scene: Scene, segment: str = ALL_SEGMENT
) -> AlertEvidence:
    """What a threshold's (or a river detector's) alarm rests on."""
    limit = monitor.thresholds.set if monitor.thresholds is not None else 0.0
    shown = 0.0 if value is None else value
    line = AlertSeries(monitor_id=monitor.monitor_id, segment=segment, statistic=shown, share_ratio=1.0, value=value)
    return _evidence(monitor.detector, shown, limit, scene, n, [line])


def evidence_of_burn(pair: BurnShown, status: BurnStatus, scene: Scene) -> AlertEvidence:
    """What a burning error budget's alarm rests on: the pair of windows that is furthest over its factor."""
    rate = min(pair.long_rate or 0.0, pair.short_rate or 0.0)
    line = AlertSeries(
        monitor_id=status.monitor_id,
        segment=ALL_SEGMENT,
        statistic=rate,
        share_ratio=1.0,
        value=rate * (1.0 - status.objective),
        reference_value=1.0 - status.objective,
    )
    return _evidence("burn_rate", rate, pair.factor, scene, pair.n_long, [line])


def _evidence(
    detector: str, statistic: float, threshold: float, scene: Scene, n: int, lines: Sequence[AlertSeries]
) -> AlertEvidence:
    reference = scene.reference
    used = None if reference is None else ReferenceUsed(
        id=reference.reference_id, n=reference.built_from.n_predictions
    )  # fmt: skip
    return AlertEvidence(
        detector=detector,
        statistic=statistic,
        threshold=threshold,
        window=Window(start=from_milliseconds(scene.window_start_ms), end=from_milliseconds(scene.window_end_ms), n=n),
        reference=used,
        label_coverage_ratio=scene.coverage,
        incumbent_also_affected=scene.incumbent_affected,
        series=list(lines),
    )
