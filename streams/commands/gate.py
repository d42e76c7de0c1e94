"""`plumbline gate`: may this candidate go out? Exit code 0 it may, 1 it may not, 2 too little is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import typer
import yaml
from pydantic import ValidationError

from schemas import topics
from schemas.deployments import ValidationEvent
from schemas.gate import GateCheck, GateResult, GateTerms, Outcome
from schemas.identifiers import model_key, stable_id
from schemas.references import Reference
from streams.commands import broker
from streams.commands.console import UsageError, note, show, utc_now
from streams.commands.recordings import Choice, Recording, read_files, read_topics
from streams.commands.references import spec_of_file
from streams.gate.judging import judge, markdown, worst
from streams.gate.traffic import Recorded, count
from streams.settings import Settings

EXIT_CODES: Final[dict[Outcome, int]] = {"passed": 0, "failed": 1, "too_little_data": 2}
SUITE: Final = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Where one version's traffic comes from: files, or what the topics hold of a version."""

    predictions: tuple[Path, ...] = ()
    labels: tuple[Path, ...] = ()
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be judged."""

    environment: str
    model_name: str
    monitors: Path
    champion: Side
    candidate: Side
    from_topics: bool = False
    start: datetime | None = None
    end: datetime | None = None
    reference: Path | None = None
    terms: Path | None = None
    json_output: Path | None = None
    markdown_output: Path | None = None
    publish: bool = False


async def gate(
    settings: Settings, request: Request, *, as_json: bool, now: Callable[[], datetime] = utc_now
) -> Outcome:
    """Judge a candidate, show and write the result, and publish it where that is asked for.

    Raises
    ------
    UsageError
        Where files cannot be read, or the request says too little.
    """
    _check(request)
    terms = _terms(request.terms)
    spec = spec_of_file(request.monitors, Choice(environment=request.environment, model_name=request.model_name))
    reference = None if request.reference is None else _reference(request.reference)
    champion, candidate = [await _read(settings, request, each) for each in (request.champion, request.candidate)]
    for name, recording in (("champion", champion), ("candidate", candidate)):
        if not recording.predictions:
            msg = f"no prediction of the {name} was found in what was asked for: expected some"
            raise UsageError(msg)
    try:
        result = judge(count(spec, _recorded(champion), _recorded(candidate), reference=reference), terms)
    except ValueError as error:
        msg = f"the traffic cannot be counted: {error}"
        raise UsageError(msg) from error
    result = await _with_suites(settings, result, terms)
    _write(result, request)
    show(
        [check for check in result.checks if as_json or check.outcome != "passed"],
        {
            "Check": lambda check: check.name,
            "Of": lambda check: check.subject,
            "Outcome": lambda check: check.outcome.replace("_", " "),
            "Observed": lambda check: check.observed,
            "Required": lambda check: check.required,
            "Looks like": lambda check: check.hint,
        },
        as_json=as_json,
        empty=f"All {len(result.checks)} checks passed.",
    )
    note(f"{result.candidate} against {result.champion}: {result.outcome.replace('_', ' ')}.")
    if request.publish:
        await _publish(settings, result, request, now())
    return result.outcome


def _check(request: Request) -> None:
    for name, side in (("champion", request.champion), ("candidate", request.candidate)):
        if request.from_topics and (side.predictions or side.labels):
            msg = f"--{name} and --from-topics exclude each other: expected exactly one of them"
            raise UsageError(msg)
        if request.from_topics and side.version is None:
            msg = f"--{name}-version is missing: expected it with --from-topics"
            raise UsageError(msg)
        if not request.from_topics and not side.predictions:
            msg = f"--{name} is missing: expected a JSON lines file of predictions, or --from-topics"
            raise UsageError(msg)


def _terms(path: Path | None) -> GateTerms:
    if path is None:
        return GateTerms()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return GateTerms.model_validate({} if content is None else content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path} cannot be read: {error}"
        raise UsageError(msg) from error
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join(map(str, each['loc'])) or 'the file'} = {each['input']!r}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise UsageError("\n".join(lines)) from error


def _reference(path: Path) -> Reference:
    try:
        return Reference.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        msg = f"--reference {path}: {error}: expected what `plumbline references build --output` wrote"
        raise UsageError(msg) from error


async def _read(settings: Settings, request: Request, side: Side) -> Recording:
    choice = Choice(environment=request.environment, model_name=request.model_name, model_version=side.version)
    if not request.from_topics:
        return read_files(side.predictions, side.labels, choice)
    return await read_topics(settings, replace(choice, start=request.start, end=request.end))


def _recorded(recording: Recording) -> Recorded:
    return recording.predictions, recording.labels


async def _with_suites(settings: Settings, result: GateResult, terms: GateTerms) -> GateResult:
    """Add what CI has said of the candidate before."""
    if not terms.required_suites:
        return result
    found = await broker.collect(settings, topics.VALIDATIONS, ValidationEvent)
    said = {
        event.suite: event.passed
        for event, _ in found
        if (event.environment, event.model_name, event.model_version)
        == (result.environment, result.model_name, result.candidate)
    }
    checks = [*result.checks, *(_suite(name, said.get(name)) for name in terms.required_suites)]
    return result.model_copy(update={"checks": checks, "outcome": worst(checks)})


def _suite(name: str, passed: bool | None) -> GateCheck:
    outcome: Outcome = "too_little_data" if passed is None else "passed" if passed else "failed"
    observed = "nothing published" if passed is None else "passed" if passed else "failed"
    return GateCheck(name="suite", subject=name, outcome=outcome, observed=observed, required="passed")


def _write(result: GateResult, request: Request) -> None:
    try:
        if request.json_output is not None:
            request.json_output.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if request.markdown_output is not None:
            request.markdown_output.write_text("\n".join(markdown(result)) + "\n", encoding="utf-8")
    except OSError as error:
        msg = f"the result cannot be written: {error}"
        raise UsageError(msg) from error


async def _publish(settings: Settings, result: GateResult, request: Request, at: datetime) -> None:
    event = ValidationEvent(
        environment=result.environment,
        model_name=result.model_name,
        model_version=result.candidate,
        suite=SUITE,
        passed=result.outcome == "passed",
        validated_at=at,
        report_uri="" if request.json_output is None else request.json_output.absolute().as_uri(),
        fairness=_numbers(result.checks, "fairness_"),
    )
    key = f"{model_key(event.environment, event.model_name)}/{event.model_version}/{event.suite}"
    event_id = stable_id("validation", key, at)
    output = broker.event_output(topics.VALIDATIONS, event, key=key, event_id=event_id, at=at)
    await broker.publish(settings, [topics.VALIDATIONS], [output])
    note(f"Published as suite {SUITE!r} of {result.candidate}.")


def _numbers(checks: Sequence[GateCheck], prefix: str) -> dict[str, float]:
    found = {}
    for check in checks:
        first = check.observed.partition(" ")[0]
        if check.name.startswith(prefix) and first.replace(".", "", 1).isdigit():
            found[f"{check.name.removeprefix(prefix)}:{check.subject}"] = float(first)
    return found


def ended_with(outcome: Outcome) -> typer.Exit:
    """The end of the command."""
    return typer.Exit(EXIT_CODES[outcome])
