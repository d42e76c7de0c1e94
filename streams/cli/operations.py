"""`worker`, `topics`, `reset`, `doctor`, `dead-letters`: running it."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.groups import app, dead_letters, run, topics
from streams.commands.configuration import load_settings
from streams.commands.console import UsageError
from streams.commands.options import At, DryRun, FromTopic, Json, Reason, Yes
from streams.settings import StageName


@app.command(epilog="Example: plumbline worker --stage profiler --stage evaluator")
def worker(
    stage: Annotated[
        list[StageName] | None, typer.Option(help="Run this stage; repeat for more. All by default.")
    ] = None,
) -> None:
    """Run the stages until interrupted."""
    from streams.app import run_worker  # noqa: PLC0415

    raise typer.Exit(run_worker(load_settings(), tuple(stage or StageName)))


@topics.callback(epilog="Example: plumbline topics --json")
def list_topics(ctx: typer.Context, as_json: Json = False) -> None:
    """Show every topic: key, partitions, retention, and ok or what to do."""
    from streams.commands.topics import list_topics as body  # noqa: PLC0415

    if ctx.invoked_subcommand is None:
        run(body(load_settings(), as_json=as_json))


@topics.command("create", epilog="Example: plumbline topics create")
def create_topics() -> None:
    """Create the topics that are missing; those that are there are left alone."""
    from streams.commands.topics import create_topics as body  # noqa: PLC0415

    run(body(load_settings()))


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
    run(expand(load_settings(), events, partitioner=partitioner, dry_run=dry_run, confirm=confirm))


@app.command(epilog="Example: plumbline reset --application plumbline --dry-run")
def reset(
    application: Annotated[str, typer.Option(help="engine.application_id, once more: what it names is deleted.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Forget what an application has done: offsets, changelogs, and counts under way; asks first."""
    from streams.commands.reset import reset as body  # noqa: PLC0415

    confirm = _yes if yes else typer.confirm
    run(body(load_settings(), application, dry_run=dry_run, confirm=confirm))


@app.command(epilog="Example: plumbline doctor")
def doctor(as_json: Json = False) -> None:
    """Check broker, guarantee, topics, settings, disk and clock; each line is ok or says what to do."""
    from streams.commands.doctor import doctor as body  # noqa: PLC0415
    from streams.commands.doctor import doctor_of_settings  # noqa: PLC0415

    try:
        settings = load_settings()
    except UsageError as error:
        doctor_of_settings(error, as_json=as_json)
    run(body(settings, as_json=as_json))


@dead_letters.command("list", epilog="Example: plumbline dead-letters list --reason not_json")
def list_dead_letters(
    reason: Reason = None,
    from_topic: FromTopic = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest dead letters."""
    from streams.commands.dead_letters import Selection, list_letters  # noqa: PLC0415

    run(list_letters(load_settings(), Selection(reason=reason, topic=from_topic), limit=limit, as_json=as_json))


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
    run(body(load_settings(), selection, everything=everything, dry_run=dry_run))


def _yes(question: str) -> bool:
    del question
    return True
