"""monitors.yaml, read so that every mistake has its line, its key path, its value and what was expected."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.base import FieldError
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
        msg = f"{where}: {_syntax(error)}"
        raise UsageError(msg) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        msg = f"{name}:{line}: character #x{ord(text[error.position]):04x} is not allowed: expected YAML"
        raise UsageError(msg) from error
    problems = [] if root is None else [f"{name}:{problem}" for problem in _repeated_keys(root, ())]
    if not problems:
        try:
            return _with_detectors(MonitorsFile.model_validate({} if content is None else content), root, name)
        except ValidationError as error:
            found = sorted(error.errors(include_url=False), key=lambda each: _line(root, each["loc"]))
            problems = [f"{name}:{_problem(root, content, each)}" for each in found]
    raise UsageError("\n".join(problems))


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """What the parser stumbled over, and where what it was reading began."""
    if "'\\t'" in (error.problem or ""):
        return "a tab indents: expected spaces"  # YAML's own words are about tokens
    begun = error.context_mark
    since = "" if begun is None or begun == error.problem_mark else f" (from line {begun.line + 1})"
    said = ", ".join(each for each in (error.context and error.context + since, error.problem) if each)
    return f"{said}: expected YAML"


def _with_detectors(file: MonitorsFile, root: yaml.Node | None, name: str) -> MonitorsFile:
    """The file itself, once river takes the parameters that it gives to river's detectors."""
    problems = []
    for i, entry in enumerate(file.models):
        for j, monitor in enumerate(entry.monitors or ()):
            if not monitor.parameters:
                continue
            from detectors.outcomes import make_outcome_detector  # noqa: PLC0415 - river is slow to load

            location = ("models", i, "monitors", j, "parameters")
            try:
                make_outcome_detector(monitor.detector, **monitor.parameters)
            except ValueError as error:
                problems.append(
                    f"{name}:{_line(root, location)}: {_path(location)}: {str(error).removeprefix('parameters: ')}"
                )
    if problems:
        raise UsageError("\n".join(problems))
    return file


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


def _problem(root: yaml.Node | None, content: object, error: ErrorDetails) -> str:
    location, value = error["loc"], error["input"]
    message = _told(error)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        location, message = (*location, *cause.location), cause.expected
        value = _value(content, location)
    line, path = _line(root, location), _path(location)
    if error["type"] == "missing":
        return f"{line}: {path} is missing: expected a value"
    if error["type"] in {"extra_forbidden", "invalid_key"}:
        known = _known_keys(location[:-1])
        return f"{line}: {path} is no known key: expected one of {', '.join(known)}{_near(location[-1], known)}"
    if value is None and not isinstance(cause, FieldError):
        return f"{line}: {path} is empty: {message}"
    if value is None or isinstance(value, dict):
        return f"{line}: {path}: {message}"
    return f"{line}: {path} = {_written(value)}: {message}"


_EXPECTED: Final = {
    "tuple_type": "expected a list",
    "model_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "string_type": "expected text; put it in quotes",
    "string_pattern_mismatch": "expected a letter or digit, then letters, digits, '.', '_' or '-', at most 128 in all",
    "timezone_aware": "expected a time with a zone, such as 2026-01-31T08:00:00Z",
    "datetime_from_date_parsing": "expected a time with a zone, such as 2026-01-31T08:00:00Z",
}


def _told(error: ErrorDetails) -> str:
    """What was expected, in our words."""
    message = _EXPECTED.get(error["type"])
    if message is None:
        message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    if error["type"] in {"enum", "literal_error"}:
        message += _near(error["input"], re.findall(r"'([^']+)'", message))
    return message


def _near(given: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def _written(value: object) -> str:
    """A value as it may stand in a file."""
    return value.isoformat() if isinstance(value, date) else repr(value)


def _value(content: object, location: Location) -> object:
    """What the file has at a place; None where it has nothing there."""
    for step in location:
        if isinstance(content, dict):
            content = content.get(step)
        elif isinstance(content, list) and isinstance(step, int):
            content = content[step]
        else:
            return None
    return content


def _path(location: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".") or "the file"


def _line(root: yaml.Node | None, location: Location) -> int:
    """The line of the deepest node on the way to a place."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
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
