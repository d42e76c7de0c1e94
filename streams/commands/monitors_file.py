"""monitors.yaml, read so that every mistake has its line, its key path, its value and what was expected."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.monitors import MonitorsFile
from streams.commands.console import UsageError

Location = Sequence[int | str]


class _Loader(yaml.SafeLoader):
    """YAML with the booleans of 1.2: `off` is a rollback mode, not false."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first, _word in (("t", "true"), ("f", "false"), ("T", "True"), ("F", "False")):
    _pattern = re.compile(f"^{_word}$")
    _Loader.yaml_implicit_resolvers.setdefault(_first, []).append(("tag:yaml.org,2002:bool", _pattern))


def load_monitors_file(path: Path) -> MonitorsFile:
    """Read and check a file; `UsageError` holds one line for each mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise UsageError(msg) from error
    return parse_monitors_file(text, name=str(path))


def parse_monitors_file(text: str, *, name: str) -> MonitorsFile:
    """Check the text of a file that goes by a name."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer booleans
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = name if mark is None else f"{name}:{mark.line + 1}"
        msg = f"{where}: {error.problem or error.context}: expected YAML"
        raise UsageError(msg) from error
    problems = [] if root is None else [f"{name}:{problem}" for problem in _repeated_keys(root, ())]
    if not problems:
        try:
            return MonitorsFile.model_validate({} if content is None else content)
        except ValidationError as error:
            found = sorted(error.errors(include_url=False), key=lambda each: _line(root, each["loc"]))
            problems = [f"{name}:{_problem(root, each)}" for each in found]
    raise UsageError("\n".join(problems))


def _repeated_keys(node: yaml.Node, location: Location) -> Iterator[str]:
    """YAML takes the last of two equal keys in silence; that is a mistake here."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                path = _path([*location, key.value])
                yield f"{key.start_mark.line + 1}: {path} is given twice: expected each key once"
            seen.add(key.value)
            yield from _repeated_keys(value, [*location, key.value])
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(item, [*location, index])


def _problem(root: yaml.Node | None, error: ErrorDetails) -> str:
    location = error["loc"]
    line, path = _line(root, location), _path(location)
    if error["type"] == "missing":
        return f"{line}: {path} is missing: expected a value"
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.75)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{line}: {path} is no known key: expected one of {', '.join(known)}{hint}"
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        return f"{line}: {path}: {message}"
    return f"{line}: {path} = {error['input']!r}: {message}"


def _path(location: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".") or "the file"


def _line(root: yaml.Node | None, location: Location) -> int:
    """The line of the deepest node on the way to a place."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _known_keys(location: Location) -> list[str]:
    """What may be written where a location points to, as a person writes it."""
    model: type[BaseModel] | None = MonitorsFile
    for step in location:
        if isinstance(step, int) or model is None:
            continue
        fields = {written: field.annotation for written, field in _fields(model)}
        model = _model_in(fields.get(str(step)))
    return [] if model is None else [written for written, _ in _fields(model)]


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        written = alias.choices[0] if isinstance(alias, AliasChoices) else alias or name
        yield str(written), field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `tuple[Model, ...] | None`."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for each in typing.get_args(annotation) if (found := _model_in(each)) is not None), None)
