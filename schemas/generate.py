"""Writes the machine-readable contract: a JSON Schema per topic and one AsyncAPI document, into `schemas/wire/`.

`python -m schemas.generate` writes, `python -m schemas.generate --check` says what differs and ends with 1.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel

from schemas import topics
from schemas.alerts import Alert
from schemas.cloudevents import CONTENT_TYPE, SPEC_VERSION, event_type
from schemas.deployments import DeploymentEvent, ResourceEvent, ValidationEvent
from schemas.events import LabelEvent, PredictionEvent, WatermarkEvent
from schemas.evidence import RollbackEvidence
from schemas.gate import GateTerms
from schemas.incidents import AuditEntry, Incident, Intervention
from schemas.metrics import WindowMetrics
from schemas.models import ModelSpec
from schemas.monitors import Monitor, MonitorsFile
from schemas.profiles import ProfileRecord
from schemas.references import Reference
from schemas.rollbacks import RollbackCommand, RollbackStatus
from schemas.topics import Spread, Topic

FOLDER: Final = Path(__file__).parent / "wire"
ASYNCAPI: Final = "asyncapi.yaml"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MSGPACK: Final = "application/msgpack"

MESSAGES: Final[Mapping[str, Any]] = {
    topics.PREDICTIONS.name: PredictionEvent,
    topics.LABELS.name: LabelEvent,
    topics.DEPLOYMENTS.name: DeploymentEvent,
    topics.VALIDATIONS.name: ValidationEvent,
    topics.RESOURCES.name: ResourceEvent,
    topics.MODELS.name: ModelSpec,
    topics.MONITORS.name: Monitor,
    topics.REFERENCES.name: Reference,
    topics.PROFILES.name: ProfileRecord,
    topics.METRICS.name: WindowMetrics,
    topics.ALERTS.name: Alert,
    topics.EVIDENCE.name: RollbackEvidence,
    topics.INCIDENTS.name: Incident,
    topics.INTERVENTIONS.name: Intervention,
    topics.ROLLBACKS.name: RollbackCommand,
    topics.ROLLBACK_STATUS.name: RollbackStatus,
    topics.AUDIT.name: AuditEntry,
}
"""The type that a topic carries, by the table's name; dead letters carry whatever could not be read."""

OTHER_MESSAGES: Final[Mapping[str, Any]] = {"plumbline.watermark.v1": WatermarkEvent}
"""Types that are no topic's own: the watermark travels on predictions and labels."""

WATERMARK_TOPICS: Final = (topics.PREDICTIONS.name, topics.LABELS.name)
MONITORS_FILE: Final = "monitors-file"
GATE_TERMS: Final = "gate-terms"
"""What a person writes; an editor that knows JSON Schema checks monitors.yaml against it."""

DEAD_LETTER_HEADERS: Final = {
    "plumbline_dlq_reason": "One of a few fixed words.",
    "plumbline_dlq_message": "Which field, its value and what was expected.",
    "plumbline_dlq_topic": "Where the record was, by the topic table's name.",
    "plumbline_dlq_partition": "Its partition.",
    "plumbline_dlq_offset": "Its offset.",
    "plumbline_dlq_timestamp": "Its append time, in milliseconds since the epoch.",
    "plumbline_dlq_stage": "The stage that set it aside.",
}

_HEADERS: Final = {
    "content-type": "Media type of the value.",
    "ce_specversion": f"CloudEvents version, {SPEC_VERSION}.",
    "ce_id": "Unique within the source; the same for a resend.",
    "ce_type": "What kind of event it is.",
    "ce_source": "Who speaks.",
    "ce_subject": "What it is about: the record's key.",
    "ce_dataschema": "Which of these schemas the value follows.",
    "ce_time": "Event time, RFC 3339.",
}
_REQUIRED_HEADERS: Final = [name for name in _HEADERS if name != "ce_time"]
_STRUCTS: Final = {struct.__name__: struct for struct in (PredictionEvent, LabelEvent, WatermarkEvent)}
_FROM_OTHERS: Final = (
    topics.PREDICTIONS, topics.LABELS, topics.DEPLOYMENTS, topics.VALIDATIONS, topics.RESOURCES, topics.INTERVENTIONS,
    topics.ROLLBACK_STATUS,
)  # fmt: skip
_PRODUCED_BY_OTHERS: Final = frozenset(topic.name for topic in _FROM_OTHERS)
"""Plain JSON without CloudEvents headers is accepted there too."""


def json_schema(kind: Any, *, name: str, mode: Literal["validation", "serialization"] = "serialization") -> Any:
    """Return the JSON Schema of a wire type, pydantic's or msgspec's.

    Parameters
    ----------
    kind
        The type.
    name
        Becomes the last part of its `$id`.
    mode
        For pydantic: as it is written to the wire, or as it is accepted from a person.
    """
    head = {"$schema": DIALECT, "$id": f"urn:plumbline:schema:{name}"}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return head | kind.model_json_schema(mode=mode)
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for component, content in components.items():
        _describe_fields(content, _STRUCTS.get(component))
    if "$ref" in schema:
        schema = components.pop(schema["$ref"].rpartition("/")[2])
    return head | schema | ({"$defs": components} if components else {})


def _describe_fields(schema: dict[str, Any], struct: type | None) -> None:
    """Take the string under each attribute for its description, as pydantic does for its own."""
    if struct is None:
        return
    body = ast.parse(inspect.getsource(struct)).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, text in itertools.pairwise(statements):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            schema["properties"][field.target.id]["description"] = text.value.value


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document: every topic with its key, message, headers and purpose."""
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Plumbline",
            "version": "1.0.0",
            "description": "Topics and events of a streaming monitor for machine-learning models in production.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_slug(topic.name): _channel(topic) for topic in topics.TOPICS},
        "operations": {
            f"{verb}-{_slug(topic.name)}": {
                "action": verb,
                "channel": {"$ref": f"#/channels/{_slug(topic.name)}"},
                "summary": topic.purpose,
            }
            for topic in topics.TOPICS
            for verb in ("receive" if topic.name in _PRODUCED_BY_OTHERS else "send",)
        },
        "components": {
            "messages": {
                **{_slug(topic.name): _message(topic.name, topic.key) for topic in topics.TOPICS},
                **{_slug(name): _message(name, "any") for name in OTHER_MESSAGES},
            }
        },
    }


def _slug(name: str) -> str:
    return name.replace(".", "-")


def _channel(topic: Topic) -> dict[str, Any]:
    config = topic.config()
    names = [topic.name, *(OTHER_MESSAGES if topic.name in WATERMARK_TOPICS else ())]
    kafka: dict[str, Any] = {
        "topic": topic.name,
        "topicConfiguration": {
            "cleanup.policy": [config["cleanup.policy"]],
            "retention.ms": int(config["retention.ms"]),
            "max.message.bytes": int(config["max.message.bytes"]),
        },
        "bindingVersion": "0.5.0",
    }
    if topic.spread is Spread.ONE:
        kafka["partitions"] = 1
    return {
        "address": topic.name,
        "description": topic.purpose,
        "messages": {_slug(name): {"$ref": f"#/components/messages/{_slug(name)}"} for name in names},
        "bindings": {"kafka": kafka},
    }


def _message(name: str, key: str) -> dict[str, Any]:
    is_dead_letter = name == topics.DEAD_LETTERS.name
    message: dict[str, Any] = {
        "name": name if is_dead_letter else event_type(name),
        "contentType": MSGPACK if name == topics.PROFILES.name else CONTENT_TYPE,
        "headers": _headers(_HEADERS, [] if name in _PRODUCED_BY_OTHERS else _REQUIRED_HEADERS),
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}},
    }
    if is_dead_letter:
        message["headers"] = _headers(DEAD_LETTER_HEADERS, list(DEAD_LETTER_HEADERS))
        message["contentType"] = "application/octet-stream"
        message["payload"] = {"description": "The original value, untouched."}
    else:
        message["payload"] = {"$ref": f"./{name}.json"}
    return message


def _headers(texts: Mapping[str, str], required: Sequence[str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    return {"type": "object", "required": list(required), "properties": properties}


def to_yaml(value: Any, indent: int = 0) -> str:
    """Write JSON-like data as block YAML; every scalar is quoted as in JSON, which YAML reads alike."""
    pad = "  " * indent
    lines: list[str] = []
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in items:
        head = f"{pad}-" if key is None else f"{pad}{json.dumps(key) if key.startswith('$') else key}:"
        if isinstance(item, dict | list) and item:
            lines.append(f"{head}\n{to_yaml(item, indent + 1)}")
        else:
            lines.append(f"{head} {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)


def render() -> dict[str, str]:
    """Return every generated file: its name in `schemas/wire/`, and its text."""
    found = {name: json_schema(kind, name=name) for name, kind in {**MESSAGES, **OTHER_MESSAGES}.items()}
    found[MONITORS_FILE] = json_schema(MonitorsFile, name=MONITORS_FILE, mode="validation")
    found[GATE_TERMS] = json_schema(GateTerms, name=GATE_TERMS, mode="validation")
    files = {f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}
    files[ASYNCAPI] = "# Generated by `python -m schemas.generate`.\n" + to_yaml(asyncapi())
    return files


def differences(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, stale or superfluous in a folder."""
    wanted = render()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*") if path.is_file()}
    return sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write what differs, remove what is superfluous; returns the names of both."""
    wanted = render()
    changed = differences(folder) if folder.is_dir() else sorted(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` compare them; 1 where they differ."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where a file differs")
    if not parser.parse_args(arguments).check:
        write()
        return 0
    stale = differences()
    if stale:
        sys.stderr.write(f"differ from the code: {', '.join(stale)}; run `python -m schemas.generate`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
