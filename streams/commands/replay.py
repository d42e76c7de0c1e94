"""`plumbline replay`: recorded data through the real stages, and what they would have said."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.base import format_duration
from schemas.models import TaskKind
from schemas.monitors import ModelEntry, default_monitors
from streams.commands.console import Column, CommandError, UsageError, note, show
from streams.commands.monitors_file import load_monitors_file
from streams.replay.choice import Choice
from streams.replay.compare import Difference, Rate, differences, false_alarm_rates
from streams.replay.dump import is_dump
from streams.replay.mapping import ColumnMapping, check_positive_class, inferred_spec
from streams.replay.recording import Recording
from streams.replay.report import write_report
from streams.replay.results import Episode, Results
from streams.replay.run import Configuration, Replayed, replay_columns, replay_dumps
from streams.replay.source import Source, columns_of_file, some_predictions

_ALERTS: Final[Mapping[str, Column[Episode]]] = {
    "From": lambda each: each.start,
    "To": lambda each: each.end,
    "Severity": lambda each: each.severity,
    "Version": lambda each: each.labels.get("model_version"),
    "Monitor": lambda each: each.labels.get("monitor_id"),
    "What": lambda each: each.summary,
}
_MOST_SHOWN: Final = 40
"""Alerts on the terminal."""
_RATES: Final[Mapping[str, Column[Rate]]] = {
    "Severity": lambda each: each.severity,
    "Alarms": lambda each: each.n_alarms,
    "Periods replayed": lambda each: each.n_periods,
    "Alarms a period": lambda each: each.per_period,
    "Budget": lambda each: each.budget,
    "Period": lambda each: format_duration(each.period),
}
_DIFFERENCES: Final[Mapping[str, Column[Difference]]] = {
    "": lambda each: each.change,
    "Monitor": lambda each: each.either.labels.get("monitor_id"),
    "Version": lambda each: each.either.labels.get("model_version"),
    "Before": lambda each: each.before and f"{each.before.start:%Y-%m-%d %H:%M} {each.before.severity}",
    "After": lambda each: each.after and f"{each.after.start:%Y-%m-%d %H:%M} {each.after.severity}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be replayed, and how."""

    files: tuple[Path, ...]
    mapping: ColumnMapping | None
    """None for dumps of topics."""
    label_files: tuple[Path, ...] = ()
    monitors: Path | None = None
    compare: Path | None = None
    reference: str | None = None
    shuffle: int | None = None
    output: Path | None = None
    model_name: str | None = None
    task: TaskKind | None = None
    positive_class: str | None = None
    cell: timedelta | None = None
    as_json: bool = False


def replay(request: Request) -> None:
    """Replay, write the files, and say what came of it.

    Raises
    ------
    UsageError
        Where options, files or columns do not go together.
    """
    _check(request)
    with tempfile.TemporaryDirectory(prefix="plumbline-replay-") as name, _progress(request) as progress:
        runs = _run_dumps(request, Path(name), progress) if request.mapping is None else None
        runs = runs or _run_columns(request, Path(name), progress)
    first, *others = runs
    rates = []
    if request.shuffle is not None:
        rates = false_alarm_rates(first.results.fired(), first.configuration.spec.false_alarm_budget, first.span)
    changed = differences(first.results.fired(), others[0].results.fired()) if others else []
    if request.output is not None:
        write_report(request.output / "report.html", first, rates, changed)
    _tell(request, first, rates, changed)


def _check(request: Request) -> None:
    for path in (*request.files, *request.label_files):
        if not path.is_file():
            msg = f"{path} is no file: expected a recording to replay"
            raise UsageError(msg)
    dumps = [path for path in (*request.files, *request.label_files) if is_dump(path)]
    if request.mapping is None and len(dumps) < len(request.files) + len(request.label_files):
        other = next(path for path in (*request.files, *request.label_files) if path not in dumps)
        columns, _ = columns_of_file(other)
        msg = f"--timestamp is missing: expected the column of {other} with the time: {', '.join(columns)}"
        raise UsageError(msg)
    if request.mapping is None and request.shuffle is not None:
        msg = "--shuffle is given with a dump of a topic: expected files with columns"
        raise UsageError(msg)
    if request.output is not None and request.output.exists() and not request.output.is_dir():
        msg = f"--output is {str(request.output)!r}: expected a folder"
        raise UsageError(msg)


@contextmanager
def _progress(request: Request) -> Iterator[Any]:
    """A bar on standard error; rows are not known beforehand, so that it counts until they are."""
    del request
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def advance(what: str, rows: int, total: int | None = None) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.advance(tasks[what], rows)
            if total is not None:
                bar.update(tasks[what], total=total)

        yield advance


def _entry(path: Path, model_name: str | None) -> ModelEntry:
    entries = load_monitors_file(path).models
    names = [entry.model_name for entry in entries]
    found = [entry for entry in entries if model_name in {None, entry.model_name}]
    if not found:
        msg = f"--model is {model_name!r}: expected one of {path}: {', '.join(names)}"
        raise UsageError(msg)
    if len(found) > 1:
        msg = f"--model is missing: {path} has {', '.join(names)}; expected one of them"
        raise UsageError(msg)
    return found[0]


def _configuration(path: Path, request: Request) -> Configuration:
    entry = _entry(path, request.model_name)
    spec = entry.spec()
    if request.mapping is not None:
        extra = tuple(name for name in request.mapping.segments if name not in spec.segments)
        kinds = {**spec.features, **request.mapping.kinds}
        spec = spec.model_copy(update={"segments": (*spec.segments, *extra), "features": kinds})
    return Configuration(spec=spec, monitors=entry.owned_monitors())


def _run_dumps(request: Request, folder: Path, progress: Any) -> list[Replayed]:
    files = (*request.files, *request.label_files)
    choice = Choice.parse(request.reference)
    found = []
    for number, path in enumerate([request.monitors, *([request.compare] if request.compare else [])]):
        configuration = None if path is None else _configuration(path, request)
        results = Results(_folder(request, number))
        found.append(replay_dumps(files, configuration, choice, results, progress, folder / str(number)))
    return found


def _folder(request: Request, number: int) -> Path | None:
    if request.output is None:
        return None
    return request.output / "compared" if number else request.output


def _run_columns(request: Request, folder: Path, progress: Any) -> list[Replayed]:
    mapping = request.mapping
    if mapping is None:
        raise CommandError("no columns are named")
    columns, _ = columns_of_file(request.files[0])
    configurations = []
    if request.monitors is not None:
        configurations.append(_configuration(request.monitors, request))
        named = [name for name in configurations[0].spec.segments if name in columns and name not in mapping.segments]
        mapping = replace(mapping, segments=(*mapping.segments, *named))
    mapping = mapping.check(columns, str(request.files[0]), labels_apart=bool(request.label_files))
    source = Source(files=request.files, mapping=mapping, label_files=request.label_files)
    if not configurations:
        spec = inferred_spec(
            mapping,
            some_predictions(source),
            model_name=request.model_name or "recorded",
            task=request.task,
            positive_class=request.positive_class,
            cell=request.cell,
        )
        check_positive_class(spec, some_predictions(source))
        spec = spec.model_copy(update={"features": dict(mapping.kinds)})
        configurations.append(Configuration(spec=spec, monitors=default_monitors(spec)))
    if request.compare is not None:
        configurations.append(_configuration(request.compare, request))
    _check_features(configurations, mapping)
    choice = Choice.parse(request.reference, time_zone=mapping.time_zone)
    # Names, classes and segments are the first configuration's: both see the same rows.
    first = configurations[0].spec
    recording = Recording.load(source, first, folder, progress, shuffle=request.shuffle)
    if not recording.predictions.n_rows:
        msg = f"{', '.join(map(str, request.files))}: no rows, expected some"
        raise UsageError(msg)
    found = []
    for number, configuration in enumerate(configurations):
        if (configuration.spec.environment, configuration.spec.model_name) != (first.environment, first.model_name):
            msg = f"--compare is about {configuration.spec.model_name!r}: expected {first.model_name!r}, as --monitors"
            raise UsageError(msg)

        def told(what: str, rows: int, n: int = number) -> None:
            progress(f"{what} (other)" if n else what, rows, recording.predictions.n_rows)

        results = Results(_folder(request, number))
        found.append(
            replay_columns(recording, configuration, choice, results, told, labels_at_once=not mapping.label_timestamp)
        )
    return found


def _check_features(configurations: Sequence[Configuration], mapping: ColumnMapping) -> None:
    known = {*mapping.features, *mapping.segments}
    for configuration in configurations:
        for monitor in configuration.monitors:
            fields = [*monitor.features, *([] if monitor.rule is None else [monitor.rule.field])]
            missing = next((name for name in fields if name not in known), None)
            if missing is not None:
                have = ", ".join(sorted(known))
                msg = f"monitor {monitor.monitor_id!r} names the feature {missing!r}: expected one of {have}"
                raise UsageError(msg)


def _tell(request: Request, first: Replayed, rates: Sequence[Rate], changed: Sequence[Difference]) -> None:
    results, fired = first.results, first.results.fired()
    for window in results.windows:
        if "finding" in window.details:
            note(f"Finding: {window.details['finding']}")
    own = [window for window in results.windows if not window.details]
    if request.as_json:
        print(json.dumps(_summary(first, rates, changed), default=str))  # noqa: T201 - the command's result
        return
    note(
        f"{len(own)} windows, {sum(len(w.verdicts) for w in own)} verdicts, {len(fired)} alerts over"
        f" {first.span.total_seconds() / 86_400:.1f} days."
    )
    if first.reference is None and not any(window.reference_id for window in own):
        note("Nothing was judged: no reference came about; give one with --reference first:N, FROM..TO or FILE.")
    if results.n_dead:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(results.dead_reasons.items()))
        note(f"{results.n_dead} rows could not be read: {reasons}.")
    show(fired[:_MOST_SHOWN], _ALERTS, as_json=False, empty="No alert fired.")
    if len(fired) > _MOST_SHOWN:
        note(f"... and {len(fired) - _MOST_SHOWN} more: all are in alerts.jsonl of --output, and in --json.")
    if rates:
        note("\nRows in random order: every alarm above is false. Beside the budget of false alarms:")
        show(rates, _RATES, as_json=False, empty="")
    if request.compare is not None:
        note(f"\nWith {request.compare} instead:")
        show(changed, _DIFFERENCES, as_json=False, empty="The same alerts.")
    if request.output is not None:
        note(f"Written to {request.output}: report.html, windows, verdicts, alerts, dead letters.")


def _summary(first: Replayed, rates: Sequence[Rate], changed: Sequence[Difference]) -> dict[str, Any]:
    results = first.results
    return {
        "n_windows": sum(not window.details for window in results.windows),
        "n_alerts": len(results.fired()),
        "days": first.span.total_seconds() / 86_400,
        "dead_letters": results.dead_reasons,
        "alerts": [
            {"alert_id": e.alert_id, "start": e.start, "end": e.end, "severity": e.severity, "labels": e.labels}
            for e in results.fired()
        ],
        "false_alarms": [
            {"severity": r.severity, "alarms": r.n_alarms, "per_period": r.per_period, "budget": r.budget,
             "period": format_duration(r.period)} for r in rates
        ],
        "compared": [
            {"change": d.change, "monitor_id": d.either.labels.get("monitor_id"),
             "before": d.before and d.before.start, "after": d.after and d.after.start} for d in changed
        ],
    }  # fmt: skip
