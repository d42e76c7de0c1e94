"""The command line's groups, to which each file adds its commands."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from streams.commands.shell import Commands, command_group

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
drills = command_group(
    "Rehearsals: everything but the change.", "drill rollback --model flight-delay --actor ada", no_args_is_help=True
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
    (drills, "drill"),
):
    app.add_typer(_commands, name=_name)


def run(body: Coroutine[Any, Any, None]) -> None:
    """Run what a command does."""
    asyncio.run(body)
