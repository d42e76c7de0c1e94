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
_TYPE_NAMES: Final = {
    tuple[str, ...]: "JSON list of texts",
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
}


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
    def is_secret(self) -> bool:
        """Whether it must never be shown."""
        return _type_name(self.field.annotation) == "secret"

    @property
    def default(self) -> object:
        """Its default."""
        value = self.field.get_default(call_default_factory=True, validated_data={})
        return None if value is PydanticUndefined else value


def load_settings() -> Settings:
    """Read and check the settings; `UsageError` names each variable, its value and what was expected."""
    if unknown := sorted(name for name in os.environ if _is_unknown(name)):
        raise UsageError("\n".join(map(_no_setting, unknown)))
    try:
        return Settings()
    except ValidationError as error:
        raise UsageError("\n".join(map(_wrong, error.errors(include_url=False)))) from None  # it holds every input
    except SettingsError as error:
        raise UsageError("\n".join(_unreadable()) or str(error)) from None


def _is_unknown(name: str) -> bool:
    """Whether a variable looks like a setting of ours and is none."""
    group, _, _ = name.removeprefix(PREFIX).partition("_")
    return name.startswith(PREFIX) and group.lower() not in Settings.model_fields


def _no_setting(variable: str) -> str:
    near = difflib.get_close_matches(variable, [setting.variable for setting in settings_table()], n=1)
    return f"{variable} is no setting: expected {near[0] if near else 'one that plumbline config shows'}"


def _wrong(error: Any) -> str:
    """Say what is wrong with one setting, or with several of a group together."""
    location, message = error["loc"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return _no_setting(_variable(location))  # without its value: it may be a secret whose name is mistyped
    if len(location) < 2 and error["type"] == "value_error":
        name, _, rest = message.partition(" ")  # what holds between settings begins with the name of one
        return f"{_variable((*location, name))} {rest}"
    return (
        f"{_variable(location)} = {_hidden(location, error['input'])}: {message.replace('Input should be', 'expected')}"
    )


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
    """A value as it may be shown: only that of a setting that is known not to be a secret."""
    known = {(each.group, each.name): each for each in settings_table()}
    setting = known.get((str(location[0]), str(location[1]))) if len(location) > 1 else None
    if setting is None or setting.is_secret or isinstance(value, BaseModel):
        return "(not shown)"
    if isinstance(value, str) and ("://" in value or "@" in value):
        value = shown(value).rpartition("@")[2]
    return repr(value)


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
    if origin in {types.UnionType, typing.Union, typing.Annotated}:
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
