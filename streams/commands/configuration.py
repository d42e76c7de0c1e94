"""`plumbline config`: the settings in force without secrets, and the reference of all settings."""

from __future__ import annotations

import difflib
import enum
import inspect
import json
import os
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import annotated_types
import typer
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import SettingsError

from streams.commands.console import Column, UsageError, show
from streams.responders.endpoints import shown
from streams.settings import Settings

PREFIX: Final = "PLUMBLINE_"
_SECRET: Final = "(set)"  # noqa: S105 - what is shown in place of one
_TYPE_NAMES: Final = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: where it is set, what it takes, what it means."""

    group: str
    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"{PREFIX}{self.group}_{self.name}".upper()

    @property
    def default(self) -> object:
        """Its default."""
        value = self.field.get_default(call_default_factory=True, validated_data={})
        return None if value is PydanticUndefined else value


def load_settings() -> Settings:
    """Read and check the settings; `UsageError` names each variable, its value and what was expected."""
    if unknown := sorted(name for name in os.environ if _is_unknown(name)):
        known = [setting.variable for setting in settings_table()]
        near = {name: difflib.get_close_matches(name, known, n=1) for name in unknown}
        lines = [
            f"{name} is no setting: expected {found[0] if found else 'one that plumbline config shows'}"
            for name, found in near.items()
        ]
        raise UsageError("\n".join(lines))
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{_variable(each['loc'])} = {_hidden(each['loc'], each['input'])}:"
            f" {each['msg'].removeprefix('Value error, ').replace('Input should be', 'expected')}"
            for each in error.errors(include_url=False)
        ]
        raise UsageError("\n".join(lines)) from error
    except SettingsError as error:
        raise UsageError("\n".join(_unreadable()) or str(error)) from error


def _is_unknown(name: str) -> bool:
    """Whether a variable looks like a setting of ours and is none."""
    group, _, _ = name.removeprefix(PREFIX).partition("_")
    return name.startswith(PREFIX) and group.lower() not in Settings.model_fields


def _unreadable() -> Iterator[str]:
    """The variables that take JSON and hold something else."""
    for setting in settings_table():
        value = os.environ.get(setting.variable)
        if value is None or not isinstance(setting.default, dict | list):
            continue
        try:
            json.loads(value)
        except ValueError as error:
            expected = "an object" if isinstance(setting.default, dict) else "an array"
            yield f"{setting.variable} = {value!r}: expected {expected} in JSON ({error})"


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + "_".join(str(step) for step in location[:2]).upper()


def _hidden(location: tuple[int | str, ...], value: object) -> str:
    """A value as it may be shown: a secret, or a group that holds one, not at all."""
    is_group = isinstance(value, BaseModel) or (isinstance(value, dict) and len(location) == 1)
    if is_group or any(word in str(location[-1]) for word in ("secret", "password", "key")):
        return "(not shown)"
    return repr(shown(value) if isinstance(value, str) and "://" in value else value)


def settings_table() -> Iterator[Setting]:
    """Every setting, by group."""
    for group, field in Settings.model_fields.items():
        model = typing.cast("type[BaseModel]", field.annotation)
        for name, inner in model.model_fields.items():
            yield Setting(group=group, name=name, field=inner)


_COLUMNS: Final[Mapping[str, Column[Mapping[str, Any]]]] = {
    "Setting": lambda row: row["setting"],
    "Value": lambda row: row["value"] if isinstance(row["value"], str) else json.dumps(row["value"]),
    "From": lambda row: "default" if row["is_default"] else "environment",
    "Variable": lambda row: row["variable"],
}


def show_config(settings: Settings, *, as_json: bool) -> None:
    """Show the settings in force; secrets and what addresses hold of them are left out."""
    rows = []
    for each in settings_table():
        value = getattr(getattr(settings, each.group), each.name)
        rows.append(
            {
                "setting": f"{each.group}.{each.name}",
                "value": _plain(value),
                "is_default": value == each.default,
                "variable": each.variable,
            }
        )
    show(rows, _COLUMNS, as_json=as_json, empty="")


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return _SECRET
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, str) and "://" in value:
        return shown(value)
    return str(value) if isinstance(value, Path) else value


def print_markdown() -> None:
    """Print the reference of all settings; it depends on the code alone, not on the environment."""
    typer.echo(markdown(), nl=False)


def markdown() -> str:
    """Return the configuration reference."""
    lines = [
        "# Configuration",
        "",
        "Every setting of a worker and of the command line comes from the environment, and is checked at start; a",
        "wrong one ends the process with exit code 2 and names the variable, its value and what was expected.",
        "`plumbline config` shows what is in force. This page is generated: `plumbline config --markdown`.",
    ]
    settings = list(settings_table())
    for group, field in Settings.model_fields.items():
        lines += ["", f"## {group}", "", inspect.cleandoc(field.annotation.__doc__ or ""), ""]
        lines += ["| Variable | Takes | Default | Meaning |", "|---|---|---|---|"]
        lines += [_line(each) for each in settings if each.group == group]
    return "\n".join(lines) + "\n"


def _line(setting: Setting) -> str:
    default = _plain(setting.default)
    shown_default = "none" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"
    if default == "":
        shown_default = "empty"
    meaning = " ".join((setting.field.description or "").split())
    cells = (f"`{setting.variable}`", takes(setting.field), shown_default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def takes(field: FieldInfo) -> str:
    """Say what a setting takes: its type or choices, and its bounds."""
    bounds = [
        f"{words} {getattr(rule, name):g}"
        for rule in field.metadata
        for kind, name, words in _BOUNDS
        if isinstance(rule, kind)
    ]
    return ", ".join([_type_name(field.annotation), *bounds])


_BOUNDS: Final = (
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Ge, "ge", "at least"),
    (annotated_types.Lt, "lt", "below"),
    (annotated_types.Le, "le", "at most"),
)


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {types.UnionType, typing.Union}:
        return _type_name(next(each for each in arguments if each is not types.NoneType))
    if origin is typing.Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{each.value}`" for each in annotation)
    if origin is list:
        return "JSON list"
    if origin is dict:
        return "JSON object"
    return "secret" if annotation is SecretStr else _TYPE_NAMES[annotation]
