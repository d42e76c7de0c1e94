"""`plumbline references`: what current data is held against, built from what was recorded."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, cast

from schemas import topics
from schemas.events import LabelEvent, PredictionEvent
from schemas.identifiers import model_key, stable_id
from schemas.models import ModelSpec
from schemas.references import Reference
from streams.commands import broker
from streams.commands.console import Column, CommandError, UsageError, note, show, utc_now
from streams.commands.monitors_file import load_monitors_file
from streams.commands.recordings import Choice, Recording, event_time, read_files, read_topics
from streams.settings import Settings

_COLUMNS: Final[Mapping[str, Column[Reference]]] = {
    "Environment": lambda each: each.environment,
    "Model": lambda each: each.model_name,
    "Version": lambda each: each.model_version,
    "Reference": lambda each: each.reference_id,
    "Revision": lambda each: each.revision,
    "In force from": lambda each: each.effective_from,
    "Built from": lambda each: each.built_from.kind,
    "Predictions": lambda each: each.built_from.n_predictions,
    "Labels": lambda each: each.built_from.n_labels,
    "Cells": lambda each: each.n_cells,
}


class Build(Protocol):
    """`streams.replay.references.build_reference`."""

    def __call__(
        self,
        spec: ModelSpec,
        predictions: Sequence[PredictionEvent],
        labels: Sequence[LabelEvent],
        *,
        reference_id: str,
        dataset_version: str,
        effective_from: datetime | None,
    ) -> Reference:
        """Build a reference from what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be built, and from what."""

    choice: Choice
    predictions: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    from_topics: bool = False
    monitors: Path | None = None
    """Has the ModelSpec; without it the published one is taken."""
    reference_id: str | None = None
    dataset_version: str = ""
    effective_from: datetime | None = None
    output: Path | None = None
    """Takes the reference, which is then not published."""


def check(request: Request) -> None:
    """Refuse a request that says too little or too much."""
    choice = request.choice
    if not request.from_topics and not request.predictions:
        msg = "nothing to build from: expected --predictions FILE, or --from-topics"
        raise UsageError(msg)
    if request.from_topics and request.predictions:
        msg = "--predictions and --from-topics exclude each other: expected exactly one of them"
        raise UsageError(msg)
    if request.from_topics and request.labels:
        msg = "--labels and --from-topics exclude each other: the labels are taken from the topics then"
        raise UsageError(msg)
    if request.from_topics and (choice.start is None or choice.end is None):
        msg = "--start or --end is missing: expected both with --from-topics"
        raise UsageError(msg)
    if choice.start is not None and choice.end is not None and choice.start >= choice.end:
        msg = f"--end is {choice.end.isoformat()}: expected a time after --start = {choice.start.isoformat()}"
        raise UsageError(msg)
    if request.output is not None and not request.output.absolute().parent.is_dir():
        msg = f"--output is {str(request.output)!r}: expected a file in a folder that exists"
        raise UsageError(msg)


async def build(settings: Settings, request: Request, *, build_with: Build | None = None) -> None:
    """Build a reference, and publish it or write it to a file; files are read before the broker is asked."""
    check(request)
    spec = None if request.monitors is None else spec_of_file(request.monitors, request.choice)
    recording = None if request.from_topics else read_files(request.predictions, request.labels, request.choice)
    if recording is not None:
        _check_any(recording, request.choice)
    if spec is None:
        spec = await _published_spec(settings, request.choice)
    if recording is None:
        recording = await read_topics(settings, request.choice)
        _check_any(recording, request.choice)
    reference = _built(spec, recording, request, build_with or _default_build())
    if request.output is not None:
        request.output.write_bytes(reference.to_bytes())
        note(f"Reference {reference.reference_id} written to {request.output}, not published.")
        return
    output = broker.event_output(
        topics.REFERENCES,
        reference,
        key=reference.reference_id,
        event_id=f"{reference.reference_id}-{reference.revision}",
        at=utc_now(),
    )
    await broker.publish(settings, [topics.REFERENCES], [output])
    built = reference.built_from
    note(f"Published {reference.reference_id}: {built.n_predictions} predictions, {built.n_labels} labels.")


def _check_any(recording: Recording, choice: Choice) -> None:
    if recording.n_unreadable:
        note(f"{recording.n_unreadable} records could not be read and were left out.")
    if not recording.predictions:
        wanted = model_key(choice.environment, choice.model_name)
        msg = f"no prediction of {wanted!r} was found in what was asked for: expected some"
        raise CommandError(msg)


def _built(spec: ModelSpec, recording: Recording, request: Request, build_with: Build) -> Reference:
    times = [event_time(event.prediction_timestamp) for event in recording.predictions]
    counts = (len(recording.predictions), len(recording.labels))
    default_id = stable_id("reference", spec.environment, spec.model_name, min(times), max(times), *counts)
    return build_with(
        spec,
        recording.predictions,
        recording.labels,
        reference_id=request.reference_id or default_id,
        dataset_version=request.dataset_version,
        effective_from=request.effective_from,
    )


def _default_build() -> Build:
    # By name: the command line is usable where the replay is not installed, all but this command.
    module = importlib.import_module("streams.replay.references")
    return cast("Build", module.build_reference)


def spec_of_file(path: Path, choice: Choice) -> ModelSpec:
    """Read the ModelSpec of a model from a monitors file; UsageError where it has none."""
    return _newest((entry.spec() for entry in load_monitors_file(path).models), choice, where=str(path))


async def _published_spec(settings: Settings, choice: Choice) -> ModelSpec:
    found = await broker.collect(settings, topics.MODELS, ModelSpec)
    return _newest((spec for spec, _ in found), choice, where="the published models")


def _newest(found: Iterable[ModelSpec], choice: Choice, *, where: str) -> ModelSpec:
    wanted = model_key(choice.environment, choice.model_name)
    specs = [spec for spec in found if model_key(spec.environment, spec.model_name) == wanted]
    if not specs:
        msg = f"--model is {wanted!r}: expected one of {where}; publish it with `plumbline apply`, or give --monitors"
        raise UsageError(msg)
    return specs[-1]


async def list_references(settings: Settings, *, model: str | None, as_json: bool) -> None:
    """Show every reference and revision, in log order."""
    found = await broker.collect(settings, topics.REFERENCES, Reference)
    rows = [each for each, _ in found if model in {None, each.model_name}]
    show(rows, _COLUMNS, as_json=as_json, empty="No reference was published so far; the first ones make themselves.")
