"""`plumbline …`: the command line. It parses; what a command does is in `streams.commands`.

Exit codes: 0 done, 1 it failed, 2 wrong usage or configuration, 3 no broker answered, 4 a broker refused us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from schemas.deployments import Role
from schemas.events import DEFAULT_ENVIRONMENT
from schemas.models import TaskKind
from schemas.rollbacks import RollbackState
from streams import logs
from streams.commands.configuration import load_settings
from streams.commands.console import UsageError, parse_numbers, parse_pairs, parse_time
from streams.commands.options import (
    Actor,
    AnyModel,
    At,
    Comment,
    DryRun,
    Environment,
    Fingerprint,
    FromTopic,
    Json,
    Model,
    OfSeverity,
    Reason,
    RollbackId,
    Yes,
    check_word,
)
from streams.commands.shell import Commands, command_group
from streams.settings import LogSettings, StageName

# The bodies are imported where they are called: `plumbline --help` need not load Kafka, numpy and the rest.


app = command_group(
    "Watches machine-learning models in production.",
    "apply -f monitors.yaml && plumbline worker",
    cls=Commands, no_args_is_help=True, add_completion=False,
)  # fmt: skip
deployments = command_group("Which version serves.", "deployments list --model flight-delay", no_args_is_help=True)
validations = command_group("What CI ran before a deployment.", "validations publish --help", no_args_is_help=True)
references = command_group(
    "What current data is held against.", "references list --model flight-delay", no_args_is_help=True
)
alerts = command_group("What is out of true.", "alerts list --severity page", no_args_is_help=True)
rollbacks = command_group(
    "What was decided about versions, and a person's word on it.",
    "rollbacks list --state requested",
    no_args_is_help=True,
)
incidents = command_group("Alerts that have one cause.", "incidents list", no_args_is_help=True)
topics = command_group("The topics as they should be and as they are.", "topics create", invoke_without_command=True)
dead_letters = command_group(
    "Records that could not be read, and the way back.", "dead-letters list --reason not_json", no_args_is_help=True
)
for _commands, _name in (
    (deployments, "deployments"),
    (validations, "validations"),
    (references, "references"),
    (alerts, "alerts"),
    (rollbacks, "rollbacks"),
    (incidents, "incidents"),
    (topics, "topics"),
    (dead_letters, "dead-letters"),
):
    app.add_typer(_commands, name=_name)


def _say_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def shared(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Watches machine-learning models in production."""


def _run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


@app.command(epilog="Example: plumbline worker --stage profiler --stage evaluator")
def worker(
    stage: Annotated[
        list[StageName] | None, typer.Option(help="Run this stage; repeat for more. All by default.")
    ] = None,
) -> None:
    """Run the stages until interrupted."""
    from streams.app import run_worker  # noqa: PLC0415

    raise typer.Exit(run_worker(load_settings(), tuple(stage or StageName)))


@app.command(epilog="Example: plumbline apply -f monitors.yaml --dry-run")
def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The file; see `plumbline schemas monitors-file`.")],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Publish the models and monitors of a file; monitors that it names no more are retired."""
    from streams.commands.apply import apply as body  # noqa: PLC0415

    _run(body(load_settings(), file, dry_run=dry_run, as_json=as_json))


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
    _run(body(load_settings(), fields, as_json=as_json))


@deployments.command("list", epilog="Example: plumbline deployments list --model flight-delay")
def list_deployments(model: AnyModel = None, as_json: Json = False) -> None:
    """Show the newest state of each deployment."""
    from streams.commands.deployments import list_deployments as body  # noqa: PLC0415

    _run(body(load_settings(), model=model, as_json=as_json))


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
    _run(body(load_settings(), fields, as_json=as_json))


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
    _run(build(load_settings(), request))


@references.command("list", epilog="Example: plumbline references list --model flight-delay")
def list_references(model: AnyModel = None, as_json: Json = False) -> None:
    """Show references and their revisions."""
    from streams.commands.references import list_references as body  # noqa: PLC0415

    _run(body(load_settings(), model=model, as_json=as_json))


@alerts.command("list", epilog="Example: plumbline alerts list --severity page --json")
def list_alerts(
    model: AnyModel = None,
    severity: OfSeverity = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that have ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show the alerts in force."""
    from streams.commands.alerts import list_alerts as body  # noqa: PLC0415

    _run(body(load_settings(), model=model, severity=severity, ended=ended, as_json=as_json))


@alerts.command("show", epilog="Example: plumbline alerts show FINGERPRINT")
def show_alert(fingerprint: Fingerprint, as_json: Json = False) -> None:
    """Show everything that is known of an alert."""
    from streams.commands.alerts import show_alert as body  # noqa: PLC0415

    _run(body(load_settings(), fingerprint, as_json=as_json))


@alerts.command("ack", epilog="Example: plumbline alerts ack FINGERPRINT --actor ada --comment 'on it'")
def acknowledge(fingerprint: Fingerprint, actor: Actor, comment: Comment = "") -> None:
    """Say that you have seen an alert; an event, like all that people say."""
    from streams.commands.interventions import acknowledge as body  # noqa: PLC0415

    _run(body(load_settings(), fingerprint, actor=actor, comment=comment))


@alerts.command("tail", epilog="Example: plumbline alerts tail --model flight-delay")
def tail_alerts(
    model: AnyModel = None,
    severity: OfSeverity = None,
    repeated: Annotated[bool, typer.Option("--all", help="Also records that say that an alert goes on.")] = False,
    as_json: Json = False,
) -> None:
    """Show alerts as their state changes, until interrupted."""
    from streams.commands.alerts import tail_alerts as body  # noqa: PLC0415

    try:
        _run(body(load_settings(), model=model, severity=severity, repeated=repeated, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@rollbacks.command("list", epilog="Example: plumbline rollbacks list --state requested")
def list_rollbacks(
    model: AnyModel = None,
    state: Annotated[RollbackState | None, typer.Option(help="Only those in this state.")] = None,
    as_json: Json = False,
) -> None:
    """Show rollbacks, and refusals with their reason."""
    from streams.commands.rollbacks import list_rollbacks as body  # noqa: PLC0415

    _run(body(load_settings(), model=model, state=state, as_json=as_json))


@rollbacks.command("show", epilog="Example: plumbline rollbacks show ROLLBACK_ID")
def show_rollback(rollback_id: RollbackId, as_json: Json = False) -> None:
    """Show one decision whole: what every rule of the policy saw."""
    from streams.commands.rollbacks import show_rollback as body  # noqa: PLC0415

    _run(body(load_settings(), rollback_id, as_json=as_json))


@rollbacks.command(
    "approve", epilog="Example: plumbline rollbacks approve ROLLBACK_ID --actor ada --comment 'seen it too'"
)
def approve(rollback_id: RollbackId, actor: Actor, comment: Comment = "") -> None:
    """Let a requested rollback happen."""
    from streams.commands.rollbacks import intervene  # noqa: PLC0415

    _run(intervene(load_settings(), rollback_id, "approve", actor=actor, comment=comment))


@rollbacks.command(
    "reject", epilog="Example: plumbline rollbacks reject ROLLBACK_ID --actor ada --comment 'known outage'"
)
def reject(rollback_id: RollbackId, actor: Actor, comment: Comment = "") -> None:
    """Forbid a requested rollback."""
    from streams.commands.rollbacks import intervene  # noqa: PLC0415

    _run(intervene(load_settings(), rollback_id, "reject", actor=actor, comment=comment))


@rollbacks.command(
    "clear-quarantine", epilog="Example: plumbline rollbacks clear-quarantine v2 --model flight-delay --actor ada"
)
def clear_quarantine(
    version: Annotated[str, typer.Argument(callback=check_word, help="The version that was rolled back.")],
    model: Model,
    actor: Actor,
    comment: Comment = "",
    environment: Environment = DEFAULT_ENVIRONMENT,
) -> None:
    """Let a version that was rolled back serve again; only a person can."""
    from streams.commands.interventions import clear_quarantine as body  # noqa: PLC0415

    _run(body(load_settings(), environment=environment, model=model, version=version, actor=actor, comment=comment))


@app.command(epilog="Example: plumbline freeze --model flight-delay --until 6h --actor ada --comment 'audit week'")
def freeze(
    model: Model,
    actor: Actor,
    until: Annotated[str | None, typer.Option(help="A time with a zone, or a duration such as 6h.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the freeze that is in force.")] = False,
    comment: Comment = "",
    environment: Environment = DEFAULT_ENVIRONMENT,
) -> None:
    """Stop automatic rollbacks of a model; alerts go on."""
    from streams.commands.interventions import freeze as body  # noqa: PLC0415

    if (until is None) is not end:
        msg = "expected one of --until and --end"
        raise UsageError(msg)
    _run(body(load_settings(), environment=environment, model=model, end=until, actor=actor, comment=comment))


@app.command(epilog="Example: plumbline announce --model flight-delay --source weather --until 6h --actor ada")
def announce(
    model: Model,
    actor: Actor,
    source: Annotated[str, typer.Option(callback=check_word, help="What changes upstream.")],
    until: Annotated[str | None, typer.Option(help="A time with a zone, or a duration; a day by default.")] = None,
    comment: Comment = "",
    environment: Environment = DEFAULT_ENVIRONMENT,
) -> None:
    """Say that something upstream changes, so that no rollback follows without a person."""
    from streams.commands.interventions import announce_change  # noqa: PLC0415

    _run(
        announce_change(
            load_settings(), environment=environment, model=model, source=source, end=until, actor=actor,
            comment=comment,
        )
    )  # fmt: skip


@incidents.command("list", epilog="Example: plumbline incidents list --closed --json")
def list_incidents(
    closed: Annotated[bool, typer.Option("--closed", help="Also those that are closed.")] = False, as_json: Json = False
) -> None:
    """Show open incidents."""
    from streams.commands.alerts import list_incidents as body  # noqa: PLC0415

    _run(body(load_settings(), closed=closed, as_json=as_json))


@topics.callback(epilog="Example: plumbline topics --json")
def list_topics(ctx: typer.Context, as_json: Json = False) -> None:
    """Show every topic: key, partitions, retention, and ok or what to do."""
    from streams.commands.topics import list_topics as body  # noqa: PLC0415

    if ctx.invoked_subcommand is None:
        _run(body(load_settings(), as_json=as_json))


@topics.command("create", epilog="Example: plumbline topics create")
def create_topics() -> None:
    """Create the topics that are missing; those that are there are left alone."""
    from streams.commands.topics import create_topics as body  # noqa: PLC0415

    _run(body(load_settings()))


@topics.command("expand", epilog="Example: plumbline topics expand --events 24 --dry-run")
def expand_topics(
    events: Annotated[int, typer.Option(min=1, max=1000, help="New partition count of predictions and labels.")],
    partitioner: Annotated[
        str, typer.Option(help="How producers place keys: murmur2, crc32, or auto, which looks at the log.")
    ] = "auto",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Grow the topics of events together with the state that belongs to them; producers and workers must be stopped."""
    from streams.commands.expand import expand  # noqa: PLC0415

    confirm = _yes if yes else typer.confirm
    _run(expand(load_settings(), events, partitioner=partitioner, dry_run=dry_run, confirm=confirm))


@app.command(epilog="Example: plumbline reset --application plumbline --dry-run")
def reset(
    application: Annotated[str, typer.Option(help="engine.application_id, once more: what it names is deleted.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Forget what an application has done: offsets, changelogs, and counts under way; asks first."""
    from streams.commands.reset import reset as body  # noqa: PLC0415

    confirm = _yes if yes else typer.confirm
    _run(body(load_settings(), application, dry_run=dry_run, confirm=confirm))


@app.command(epilog="Example: plumbline doctor")
def doctor(as_json: Json = False) -> None:
    """Check broker, guarantee, topics, settings, disk and clock; each line is ok or says what to do."""
    from streams.commands.doctor import doctor as body  # noqa: PLC0415
    from streams.commands.doctor import doctor_of_settings  # noqa: PLC0415

    try:
        settings = load_settings()
    except UsageError as error:
        doctor_of_settings(error, as_json=as_json)
    _run(body(settings, as_json=as_json))


@dead_letters.command("list", epilog="Example: plumbline dead-letters list --reason not_json")
def list_dead_letters(
    reason: Reason = None,
    from_topic: FromTopic = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest dead letters."""
    from streams.commands.dead_letters import Selection, list_letters  # noqa: PLC0415

    _run(list_letters(load_settings(), Selection(reason=reason, topic=from_topic), limit=limit, as_json=as_json))


@dead_letters.command("redrive", epilog="Example: plumbline dead-letters redrive --reason too_many_models --dry-run")
def redrive(
    reason: Reason = None,
    from_topic: FromTopic = None,
    at: At = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Put dead letters back where they came from, once what was wrong has been mended."""
    from streams.commands.dead_letters import Selection  # noqa: PLC0415
    from streams.commands.dead_letters import redrive as body  # noqa: PLC0415

    selection = Selection(reason=reason, topic=from_topic, at=at)
    _run(body(load_settings(), selection, everything=everything, dry_run=dry_run))


@app.command(epilog="Example: plumbline replay rows.csv --timestamp at --prediction predicted --label actual")
def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV, Parquet or JSON lines; or dumps of the topics.")],
    timestamp: Annotated[str | None, typer.Option(help="Column: time of the prediction.")] = None,
    id_: Annotated[str, typer.Option("--id", help="Column: the prediction's id; the row's number by default.")] = "",
    features: Annotated[str, typer.Option(help="Columns, with commas; all that are nothing else by default.")] = "",
    prediction: Annotated[str, typer.Option(help="Column: the predicted class or value.")] = "",
    score: Annotated[str, typer.Option(help="Column: score of the positive class, 0 to 1.")] = "",
    label: Annotated[str, typer.Option(help="Column: the actual class or value.")] = "",
    label_timestamp: Annotated[str, typer.Option(help="Column: when it was known; at once by default.")] = "",
    segment: Annotated[list[str] | None, typer.Option(help="Column to watch value by value; repeat for more.")] = None,
    model_version: Annotated[str, typer.Option(help="Column: the version that predicted.")] = "",
    labels: Annotated[list[Path] | None, typer.Option(help="File of labels, with --id; repeat for more.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="column=numeric|categorical; repeat for more.")] = None,
    time_zone: Annotated[str, typer.Option(help="Of times that name no zone.")] = "UTC",
    monitors: Annotated[Path | None, typer.Option(help="The configuration; the defaults without one.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model of the file, or what to call it.")] = None,
    task: Annotated[TaskKind | None, typer.Option(help="Inferred by default.")] = None,
    positive_class: Annotated[str | None, typer.Option(help="Of a binary model.")] = None,
    cell: Annotated[str | None, typer.Option(help="Length of a window, such as 1h or 1d.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="first:N, FROM..TO, or a file; the first events if none.")
    ] = None,
    shuffle: Annotated[
        int | None, typer.Option(min=0, help="Seed: rows in random order, to count false alarms.")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="Another configuration: which alerts come, go and move.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for JSON lines, Parquet and report.html.")] = None,
    as_json: Json = False,
) -> None:
    """Run recorded data through the real stages, without a broker: windows, verdicts, alerts."""
    from streams.commands.replay import replay as replay_body  # noqa: PLC0415
    from streams.commands.replay_options import named_columns, request  # noqa: PLC0415

    columns = named_columns(
        timestamp, id_=id_, features=features, prediction=prediction, score=score, label=label,
        label_timestamp=label_timestamp, segments=segment or (), model_version=model_version, kinds=kind or (),
        time_zone=time_zone,
    )  # fmt: skip
    replay_body(
        request(
            files, columns, label_files=labels or (), monitors=monitors, model_name=model, task=task,
            positive_class=positive_class, cell=cell, reference=reference, shuffle=shuffle, compare=compare,
            output=output, as_json=as_json,
        )
    )  # fmt: skip


@app.command(epilog="Example: plumbline schemas ml.predictions.v1")
def schemas(
    name: Annotated[
        str | None, typer.Argument(help="A topic, monitors-file, or asyncapi.yaml; none lists all.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write all files into this folder.")] = None,
    check: Annotated[Path | None, typer.Option(help="Compare this folder with the code.")] = None,
) -> None:
    """Print the JSON Schemas and the AsyncAPI document, or write them."""
    from streams.commands.contract import show_schemas, write_schemas  # noqa: PLC0415

    if sum(each is not None for each in (name, write, check)) > 1:
        msg = "NAME, --write and --check exclude each other: expected one of them"
        raise UsageError(msg)
    if write is not None or check is not None:
        write_schemas(write or check or Path(), check=check is not None)
    else:
        show_schemas(name)


@app.command(epilog="Example: plumbline config --json")
def config(
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference of all settings, as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Show the settings in force, without secrets."""
    from streams.commands.configuration import print_markdown, show_config  # noqa: PLC0415

    if markdown:
        print_markdown()
    else:
        show_config(load_settings(), as_json=as_json)


@app.command(epilog="Example: plumbline version")
def version() -> None:
    """Print the version."""
    try:
        typer.echo(metadata.version("plumbline-monitor"))
    except metadata.PackageNotFoundError:
        typer.echo("0.0.0")


def _yes(question: str) -> bool:
    del question
    return True


def main() -> None:
    """Run the command line; a worker sets its own logging up."""
    logs.configure(LogSettings(level="error"))
    app(prog_name="plumbline")


if __name__ == "__main__":
    main()
