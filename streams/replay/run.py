"""One replay from end to end: the reference first, then every slice, then the end of the recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from schemas import topics
from schemas.models import ModelSpec
from schemas.monitors import Monitor
from schemas.references import Reference
from streams.control.contradictions import ControlError
from streams.control.view import ControlView
from streams.engine.errors import ConfigurationError
from streams.replay.choice import MINIMUM_ROWS, Choice, build_from, read_reference, without
from streams.replay.dump import Event, decoded, key_of, sorted_events
from streams.replay.moved import DayCounts
from streams.replay.pipeline import Pipeline, control_of
from streams.replay.recording import Progress, Recording
from streams.replay.references import build_reference
from streams.replay.results import Results

_EVENTS_PER_STEP: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is watched, and how."""

    spec: ModelSpec
    monitors: tuple[Monitor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of a replay."""

    results: Results
    configuration: Configuration
    reference: Reference | None
    """None where the model's first events made one on the way, as its policy has it."""
    span: timedelta
    """Event time that was judged."""
    control: ControlView
    """What was in force at the end."""
    days: DayCounts


def control_in_force(configuration: Configuration, reference: Reference | None) -> ControlView:
    """What is in force from the beginning; a contradiction is the configuration's fault."""
    try:
        return control_of(configuration.spec, configuration.monitors, [] if reference is None else [reference])
    except (ControlError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def replay_columns(
    recording: Recording,
    configuration: Configuration,
    choice: Choice,
    results: Results,
    progress: Progress,
    *,
    labels_at_once: bool,
    reference: Reference | None = None,
) -> Replayed:
    """Replay rows of columns.

    Parameters
    ----------
    recording
        The rows, spooled.
    configuration, choice
        What is watched, and held against what.
    results
        Takes what is decided; it is closed at the end.
    progress
        Told of rows that were done.
    labels_at_once
        Whether labels are known with their predictions: then nothing is waited for at the end.
    reference
        Already built, from the same choice.
    """
    spec = configuration.spec
    taken = choice.range(recording)
    if reference is None and choice.file is not None:
        reference = read_reference(choice.file, spec)
    if reference is None and taken is not None:
        reference = build_from(recording, spec, *taken)
    days, control = DayCounts(), control_in_force(configuration, reference)
    pipeline = Pipeline(control, results.take, results.take_dead, days.take)
    for part in recording.slices():
        rest = part if taken is None else without(part, *taken)
        pipeline.feed(rest.predictions, rest.labels)
        progress("replaying", 0 if part.predictions is None else part.predictions.num_rows)
    end = recording.end
    closed = end + (spec.cell + spec.lateness).total_seconds()
    matured = closed + (spec.maturity + spec.lateness).total_seconds() if labels_at_once else end
    models = [(spec.environment, spec.model_name)]
    pipeline.close(models, predictions_until=max(closed, matured), labels_until=matured)
    results.close()
    start = recording.span[0] if taken is None or taken[0] > recording.span[0] else taken[1]
    span = timedelta(seconds=max(recording.span[1] - start, spec.cell.total_seconds()))
    return Replayed(
        results=results, configuration=configuration, reference=reference, span=span, control=control, days=days
    )


def replay_dumps(
    files: Sequence[Path],
    configuration: Configuration | None,
    choice: Choice,
    results: Results,
    progress: Progress,
    folder: Path,
) -> Replayed:
    """Replay dumps of topics as JSON, event for event as a worker reads them.

    Parameters
    ----------
    files
        Of predictions and labels, in any order.
    configuration
        Without one every model is watched by the defaults.
    choice, results, progress
        As in `replay_columns`.
    folder
        For what is sorted.

    Raises
    ------
    ConfigurationError
        Where the choice does not fit the dump.
    """
    reference = _reference_of_dump(files, configuration, choice, folder)
    left_out = _ids(reference[1]) if reference else frozenset()
    control = ControlView() if configuration is None else control_in_force(configuration, reference and reference[0])
    days = DayCounts()
    pipeline = Pipeline(control, results.take, results.take_dead, days.take)
    models: dict[tuple[str, str], None] = {}
    first = last = None
    for events in _steps(sorted_events(files, folder / "sorted")):
        for event in events:
            if event.model is not None:
                models[event.model] = None
        rest = [(event, key_of(event)) for event in events]
        pipeline.feed_json([(e.topic, e.at, key, e.value) for e, key in rest if key is None or key not in left_out])
        served = [event.at for event in events if event.topic == topics.PREDICTIONS.name and event.model]
        first, last = (min(served) if first is None and served else first), events[-1].at
        progress("replaying", len(events))
    if first is None or last is None:
        msg = f"{', '.join(map(str, files))}: no prediction in it, expected some"
        raise ConfigurationError(msg)
    spec = configuration.spec if configuration else ModelSpec(model_name="any")
    closed = last + (spec.cell + spec.lateness).total_seconds()
    pipeline.close(models, predictions_until=closed, labels_until=last)
    results.close()
    shown = configuration or Configuration(spec=spec, monitors=())
    span = timedelta(seconds=max(last - first, spec.cell.total_seconds()))
    return Replayed(
        results=results,
        configuration=shown,
        reference=reference and reference[0],
        span=span,
        control=control,
        days=days,
    )


def _steps(events: Iterator[Event]) -> Iterator[list[Event]]:
    while step := list(islice(events, _EVENTS_PER_STEP)):
        yield step


def _ids(events: Sequence[Event]) -> frozenset[bytes]:
    return frozenset(key for event in events if (key := key_of(event)) is not None)


def _reference_of_dump(
    files: Sequence[Path], configuration: Configuration | None, choice: Choice, folder: Path
) -> tuple[Reference, list[Event]] | None:
    """The reference, and the predictions that made it; None where the model's policy makes one."""
    if choice == Choice():
        return None
    if configuration is None:
        msg = "--reference is given without --monitors: expected a file that says which model of the dump is meant"
        raise ConfigurationError(msg)
    spec = configuration.spec
    if choice.file is not None:
        return read_reference(choice.file, spec), []
    wanted = (spec.environment, spec.model_name)
    own = (event for event in sorted_events(files, folder / "reference") if event.model == wanted)
    start = choice.start.timestamp() if choice.start else float("-inf")
    end = choice.end.timestamp() if choice.end else float("inf")
    chosen: list[Event] = []
    labels: list[Event] = []
    for event in own:
        if event.topic == topics.LABELS.name:
            labels.append(event)
        elif start <= event.at < end and (not choice.first or len(chosen) < choice.first):
            chosen.append(event)
    if len(chosen) < MINIMUM_ROWS:
        msg = f"--reference has {len(chosen)} predictions of {spec.model_name!r}: expected at least {MINIMUM_ROWS}"
        raise ConfigurationError(msg)
    ids = _ids(chosen)
    served, known = decoded([*chosen, *(event for event in labels if key_of(event) in ids)])
    try:
        return build_reference(spec, served, known, reference_id=f"replay-{spec.model_name}"), chosen
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"--reference cannot be built from the dump: {error}"
        raise ConfigurationError(msg) from error
