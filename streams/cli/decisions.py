"""`alerts`, `rollbacks`, `freeze`, `announce`, `incidents`: what was decided, and a person's word on it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from schemas.events import DEFAULT_ENVIRONMENT
from schemas.rollbacks import RollbackState
from streams.cli.groups import alerts, app, drills, incidents, rollbacks, run
from streams.commands.configuration import load_settings
from streams.commands.console import UsageError
from streams.commands.options import (
    Actor,
    AnyModel,
    Comment,
    Environment,
    Fingerprint,
    Json,
    Model,
    OfSeverity,
    RollbackId,
    check_word,
)


@alerts.command("list", epilog="Example: plumbline alerts list --severity page --json")
def list_alerts(
    model: AnyModel = None,
    severity: OfSeverity = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that have ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show the alerts in force."""
    from streams.commands.alerts import list_alerts as body  # noqa: PLC0415

    run(body(load_settings(), model=model, severity=severity, ended=ended, as_json=as_json))


@alerts.command("show", epilog="Example: plumbline alerts show FINGERPRINT")
def show_alert(fingerprint: Fingerprint, as_json: Json = False) -> None:
    """Show everything that is known of an alert."""
    from streams.commands.alerts import show_alert as body  # noqa: PLC0415

    run(body(load_settings(), fingerprint, as_json=as_json))


@alerts.command("ack", epilog="Example: plumbline alerts ack FINGERPRINT --actor ada --comment 'on it'")
def acknowledge(fingerprint: Fingerprint, actor: Actor, comment: Comment = "") -> None:
    """Say that you have seen an alert; an event, like all that people say."""
    from streams.commands.interventions import acknowledge as body  # noqa: PLC0415

    run(body(load_settings(), fingerprint, actor=actor, comment=comment))


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
        run(body(load_settings(), model=model, severity=severity, repeated=repeated, as_json=as_json))
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

    run(body(load_settings(), model=model, state=state, as_json=as_json))


@rollbacks.command("show", epilog="Example: plumbline rollbacks show ROLLBACK_ID")
def show_rollback(rollback_id: RollbackId, as_json: Json = False) -> None:
    """Show one decision whole: what every rule of the policy saw."""
    from streams.commands.rollbacks import show_rollback as body  # noqa: PLC0415

    run(body(load_settings(), rollback_id, as_json=as_json))


@rollbacks.command(
    "approve", epilog="Example: plumbline rollbacks approve ROLLBACK_ID --actor ada --comment 'seen it too'"
)
def approve(rollback_id: RollbackId, actor: Actor, comment: Comment = "") -> None:
    """Let a requested rollback happen."""
    from streams.commands.rollbacks import intervene  # noqa: PLC0415

    run(intervene(load_settings(), rollback_id, "approve", actor=actor, comment=comment))


@rollbacks.command(
    "reject", epilog="Example: plumbline rollbacks reject ROLLBACK_ID --actor ada --comment 'known outage'"
)
def reject(rollback_id: RollbackId, actor: Actor, comment: Comment = "") -> None:
    """Forbid a requested rollback."""
    from streams.commands.rollbacks import intervene  # noqa: PLC0415

    run(intervene(load_settings(), rollback_id, "reject", actor=actor, comment=comment))


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

    run(body(load_settings(), environment=environment, model=model, version=version, actor=actor, comment=comment))


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
    run(body(load_settings(), environment=environment, model=model, end=until, actor=actor, comment=comment))


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

    run(
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
    from streams.commands.incidents import list_incidents as body  # noqa: PLC0415

    run(body(load_settings(), closed=closed, as_json=as_json))


@incidents.command("show", epilog="Example: plumbline incidents show INCIDENT_ID --format markdown")
def show_incident(
    incident_id: Annotated[str, typer.Argument(callback=check_word, help="As `plumbline incidents list` shows it.")],
    form: Annotated[
        Literal["text", "markdown", "json"], typer.Option("--format", help="For the terminal, a report, or a machine.")
    ] = "text",
) -> None:
    """Show one incident whole: deployment, first deviation, alerts, decisions with their rules, execution, end."""
    from streams.commands.incidents import show_incident as body  # noqa: PLC0415

    run(body(load_settings(), incident_id, form=form))


@drills.command("rollback", epilog="Example: plumbline drill rollback --model flight-delay --actor ada")
def drill_rollback(
    model: Model,
    actor: Actor,
    environment: Environment = DEFAULT_ENVIRONMENT,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until a step that has not come is missing.")] = 30.0,
    as_json: Json = False,
) -> None:
    """Send a rollback of what serves now through governor and executor, which changes nothing; time each step."""
    from streams.commands.drill import drill as body  # noqa: PLC0415

    run(
        body(
            load_settings(), environment=environment, model=model, actor=actor, timeout_seconds=timeout, as_json=as_json
        )
    )
