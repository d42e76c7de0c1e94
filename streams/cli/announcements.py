"""`apply`, `deployments`, `validations`, `references`: what is to be watched, and against what."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from schemas.deployments import Role
from schemas.events import DEFAULT_ENVIRONMENT
from streams.cli.groups import app, deployments, references, run, validations
from streams.commands.configuration import load_settings
from streams.commands.console import parse_numbers, parse_pairs, parse_time
from streams.commands.options import AnyModel, DryRun, Environment, Json, Model, check_word


@app.command(epilog="Example: plumbline apply -f monitors.yaml --dry-run")
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The file; see `plumbline schemas monitors-file`.")],
    dry_run: DryRun = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what differs, field by field; publish nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also retire the monitors of models that the file does not name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish the models and monitors of a file; monitors of its models that it names no more are retired."""
    from streams.commands.apply import apply as body  # noqa: PLC0415

    run(body(load_settings(), file, dry_run=dry_run, show_diff=diff, prune=prune, as_json=as_json))


@deployments.command("publish", epilog="Example: plumbline deployments publish --model flight-delay --version 7")
def publish_deployment(
    model: Model,
    version: Annotated[
        str | None, typer.Option(callback=check_word, help="The version that serves from now on.")
    ] = None,
    environment: Environment = DEFAULT_ENVIRONMENT,
    deployment_id: Annotated[
        str | None,
        typer.Option(
            "--id", callback=check_word, help="Of a known one, to change it; or what a new one is to be called."
        ),
    ] = None,
    generation: Annotated[int | None, typer.Option(min=1, help="The next one of the model by default.")] = None,
    role: Annotated[Role | None, typer.Option(help="What it serves as.")] = None,
    traffic: Annotated[float | None, typer.Option(min=0, max=1, help="Its share of the traffic, 0 to 1.")] = None,
    state: Annotated[Literal["active", "retired"] | None, typer.Option(help="Whether it still serves.")] = None,
    at: Annotated[str | None, typer.Option(help="When, RFC 3339; now by default.")] = None,
    cause: Annotated[str | None, typer.Option(help="What led to it.")] = None,
    artifact_uri: Annotated[str | None, typer.Option(help="Where the model file is.")] = None,
    git_sha: Annotated[str | None, typer.Option(help="Commit of the training code.")] = None,
    dataset_version: Annotated[str | None, typer.Option(help="What it was trained on.")] = None,
    run_id: Annotated[str | None, typer.Option(help="The training run.")] = None,
    input_schema_hash: Annotated[str | None, typer.Option(help="Versions with another one are no targets.")] = None,
    reference_id: Annotated[str | None, typer.Option(help="The reference it is held against.")] = None,
    feature_source: Annotated[list[str] | None, typer.Option(help="feature=source; repeat for more.")] = None,
    quarantined: Annotated[bool | None, typer.Option(help="Must not be deployed again.")] = None,
    as_json: Json = False,
) -> None:
    """Announce that a version serves, or change what was announced."""
    from streams.commands.deployments import publish_deployment as body  # noqa: PLC0415

    fields = {
        "environment": environment,
        "model_name": model,
        "model_version": version,
        "deployment_id": deployment_id,
        "generation": generation,
        "role": role,
        "traffic_ratio": traffic,
        "state": state,
        "deployed_at": parse_time(at, option="--at"),
        "cause": cause,
        "artifact_uri": artifact_uri,
        "git_sha": git_sha,
        "dataset_version": dataset_version,
        "run_id": run_id,
        "input_schema_hash": input_schema_hash,
        "reference_id": reference_id,
        "feature_sources": parse_pairs(feature_source or (), option="--feature-source") or None,
        "quarantined": quarantined,
    }
    run(body(load_settings(), fields, as_json=as_json))


@deployments.command("list", epilog="Example: plumbline deployments list --model flight-delay")
def list_deployments(model: AnyModel = None, as_json: Json = False) -> None:
    """Show the newest state of each deployment."""
    from streams.commands.deployments import list_deployments as body  # noqa: PLC0415

    run(body(load_settings(), model=model, as_json=as_json))


@validations.command(
    "publish", epilog="Example: plumbline validations publish --model flight-delay --version 7 --suite offline --passed"
)
def publish_validation(
    model: Model,
    version: Annotated[str, typer.Option(callback=check_word, help="The version that was tested.")],
    suite: Annotated[str, typer.Option(callback=check_word, help="What was run.")],
    passed: Annotated[bool, typer.Option("--passed/--failed", help="How it ended.")],
    environment: Environment = DEFAULT_ENVIRONMENT,
    at: Annotated[str | None, typer.Option(help="When, RFC 3339; now by default.")] = None,
    report_uri: Annotated[str | None, typer.Option(help="Where the report is.")] = None,
    dataset_version: Annotated[str | None, typer.Option(help="What it was tested on.")] = None,
    fairness: Annotated[list[str] | None, typer.Option(help="name=number; repeat for more.")] = None,
    robustness: Annotated[list[str] | None, typer.Option(help="name=number; repeat for more.")] = None,
    as_json: Json = False,
) -> None:
    """Publish how a suite ended for a version."""
    from streams.commands.deployments import publish_validation as body  # noqa: PLC0415

    fields = {
        "environment": environment,
        "model_name": model,
        "model_version": version,
        "suite": suite,
        "passed": passed,
        "validated_at": parse_time(at, option="--at"),
        "report_uri": report_uri,
        "dataset_version": dataset_version,
        "fairness": parse_numbers(fairness or (), option="--fairness"),
        "robustness": parse_numbers(robustness or (), option="--robustness"),
    }
    run(body(load_settings(), fields, as_json=as_json))


@references.command(
    "build", epilog="Example: plumbline references build --model flight-delay --predictions p.jsonl --labels l.jsonl"
)
def build_reference(
    model: Model,
    environment: Environment = DEFAULT_ENVIRONMENT,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="JSON lines file of predictions; repeat for more.")
    ] = None,
    labels: Annotated[list[Path] | None, typer.Option(help="JSON lines file of labels; repeat for more.")] = None,
    from_topics: Annotated[bool, typer.Option("--from-topics", help="Take what the topics hold instead.")] = False,
    start: Annotated[str | None, typer.Option(help="First prediction time that is taken, RFC 3339.")] = None,
    end: Annotated[str | None, typer.Option(help="First prediction time that is not taken any more.")] = None,
    version: Annotated[str | None, typer.Option(help="Only predictions of this version.")] = None,
    monitors: Annotated[Path | None, typer.Option(help="File with the model; the published one by default.")] = None,
    reference_id: Annotated[str | None, typer.Option("--id", help="Made of what it is built from by default.")] = None,
    dataset_version: Annotated[str, typer.Option(help="Goes into the lineage.")] = "",
    effective_from: Annotated[str | None, typer.Option(help="First cell held against it; at once by default.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write it there instead of publishing it.")] = None,
) -> None:
    """Build a reference from recorded predictions and labels, never from training rows."""
    from streams.commands.recordings import Choice  # noqa: PLC0415
    from streams.commands.references import Request, build  # noqa: PLC0415

    choice = Choice(
        environment=environment,
        model_name=model,
        model_version=version,
        start=parse_time(start, option="--start"),
        end=parse_time(end, option="--end"),
    )
    request = Request(
        choice=choice,
        predictions=tuple(predictions or ()),
        labels=tuple(labels or ()),
        from_topics=from_topics,
        monitors=monitors,
        reference_id=reference_id,
        dataset_version=dataset_version,
        effective_from=parse_time(effective_from, option="--effective-from"),
        output=output,
    )
    run(build(load_settings(), request))


@references.command("list", epilog="Example: plumbline references list --model flight-delay")
def list_references(model: AnyModel = None, as_json: Json = False) -> None:
    """Show references and their revisions."""
    from streams.commands.references import list_references as body  # noqa: PLC0415

    run(body(load_settings(), model=model, as_json=as_json))


@app.command(
    epilog="Example: plumbline gate --model m --monitors monitors.yaml --champion v1.jsonl --candidate v2.jsonl"
)
def gate(
    model: Model,
    monitors: Annotated[Path, typer.Option(help="File with the model: task, segments, groups, rollback.evidence.")],
    environment: Environment = DEFAULT_ENVIRONMENT,
    champion: Annotated[list[Path] | None, typer.Option(help="JSON lines of its predictions; repeat for more.")] = None,
    champion_labels: Annotated[list[Path] | None, typer.Option(help="JSON lines of its labels.")] = None,
    candidate: Annotated[list[Path] | None, typer.Option(help="JSON lines of its predictions; repeat.")] = None,
    candidate_labels: Annotated[list[Path] | None, typer.Option(help="JSON lines of its labels.")] = None,
    from_topics: Annotated[bool, typer.Option("--from-topics", help="Take shadow traffic from the topics.")] = False,
    champion_version: Annotated[str | None, typer.Option(help="Only predictions of this version.")] = None,
    candidate_version: Annotated[str | None, typer.Option(help="Only predictions of this version.")] = None,
    start: Annotated[str | None, typer.Option(help="With --from-topics: first prediction time, RFC 3339.")] = None,
    end: Annotated[str | None, typer.Option(help="With --from-topics: first time that is not taken.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The candidate's training reference; the champion's traffic by default.")
    ] = None,
    terms: Annotated[Path | None, typer.Option(help="YAML with limits; see `plumbline schemas gate-terms`.")] = None,
    json_output: Annotated[Path | None, typer.Option("--json-output", help="Write the result there.")] = None,
    markdown_output: Annotated[Path | None, typer.Option("--markdown", help="Write a report there.")] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the outcome as suite `gate`.")] = False,
    as_json: Json = False,
) -> None:
    """Hold a candidate against the champion: exit code 0 it passes, 1 it fails, 2 too little is known."""
    from streams.commands.gate import Request, Side, ended_with  # noqa: PLC0415
    from streams.commands.gate import gate as body  # noqa: PLC0415

    request = Request(
        environment=environment,
        model_name=model,
        monitors=monitors,
        champion=Side(predictions=tuple(champion or ()), labels=tuple(champion_labels or ()), version=champion_version),
        candidate=Side(
            predictions=tuple(candidate or ()), labels=tuple(candidate_labels or ()), version=candidate_version
        ),
        from_topics=from_topics,
        start=parse_time(start, option="--start"),
        end=parse_time(end, option="--end"),
        reference=reference,
        terms=terms,
        json_output=json_output,
        markdown_output=markdown_output,
        publish=publish,
    )
    raise ended_with(asyncio.run(body(load_settings(), request, as_json=as_json)))
