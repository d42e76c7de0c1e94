"""Manifests for Argo Rollouts and Flagger, held against the fields that their references document."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from deploy_support import DEPLOY, exported

from schemas.metrics import WindowMetrics
from streams.web.analysis import analysis
from streams.web.board import Board

TEXT = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": r"^\d+(s|m|h)$"}


def thing(required: list[str], closed: bool = True, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": not closed}


def resource(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = thing(["name"], name=TEXT, namespace=TEXT)
    head = {"apiVersion": {"const": api}, "kind": {"const": kind}}
    return thing(["apiVersion", "kind", "metadata", "spec"], **head, metadata=metadata, spec=spec)


# Argo Rollouts, "Analysis & Progressive Delivery" and "Web Metrics" (argoproj.io/v1alpha1).
METRIC = thing(
    ["name", "provider"],
    name=TEXT, interval=DURATION, initialDelay=DURATION, count={"type": "integer"}, successCondition=TEXT,
    failureCondition=TEXT, failureLimit={"type": "integer"}, inconclusiveLimit={"type": "integer"},
    consecutiveErrorLimit={"type": "integer"},
    provider=thing(["web"], web=thing(
        ["url", "jsonPath"], url=TEXT, jsonPath={"type": "string", "pattern": r"^\{\$\.[a-z_]+\}$"}, method=TEXT,
        timeoutSeconds={"type": "integer"}, headers={"type": "array"}, insecure={"type": "boolean"},
    )),
)  # fmt: skip
ANALYSIS = resource(
    "argoproj.io/v1alpha1", "AnalysisTemplate",
    thing(["metrics"], args={"type": "array", "items": thing(["name"], name=TEXT, value=TEXT)},
          metrics={"type": "array", "items": METRIC, "minItems": 1}),
)  # fmt: skip
# Flagger, "Metrics Analysis" and "Webhooks" (flagger.app/v1beta1).
TEMPLATE = resource(
    "flagger.app/v1beta1", "MetricTemplate",
    thing(["provider", "query"], query=TEXT,
          provider=thing(["type", "address"], type={"enum": ["prometheus"]}, address=TEXT)),
)  # fmt: skip
WEBHOOK = thing(
    ["name", "type", "url"],
    name=TEXT, url=TEXT, timeout=DURATION, metadata={"type": "object", "additionalProperties": {"type": "string"}},
    type={"enum": ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion",
                   "post-rollout", "rollback", "event"]},
)  # fmt: skip
CANARY = resource(
    "flagger.app/v1beta1", "Canary",
    thing(
        ["targetRef", "service", "analysis"],
        targetRef=thing(["apiVersion", "kind", "name"], apiVersion=TEXT, kind=TEXT, name=TEXT),
        service=thing(["port"], port={"type": "integer"}),
        analysis=thing(
            ["interval", "threshold", "metrics"], interval=DURATION, threshold={"type": "integer"},
            maxWeight={"type": "integer"}, stepWeight={"type": "integer"},
            metrics={"type": "array", "items": thing(
                ["name", "templateRef", "thresholdRange", "interval"], name=TEXT, interval=DURATION,
                templateRef=thing(["name"], name=TEXT, namespace=TEXT),
                templateVariables={"type": "object", "additionalProperties": {"type": "string"}},
                thresholdRange=thing([], min={"type": "number"}, max={"type": "number"}),
            )},
            webhooks={"type": "array", "items": WEBHOOK},
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("argo-rollouts/analysis-template.yaml", ANALYSIS),
        ("flagger/metric-template.yaml", TEMPLATE),
        ("flagger/canary.yaml", CANARY),
    ],
)
def test_a_manifest_is_of_its_kind(path: str, schema: dict[str, Any]) -> None:
    jsonschema.validate(yaml.safe_load((DEPLOY / path).read_text()), schema)


def read(path: str) -> Any:
    return yaml.safe_load((DEPLOY / Path(path)).read_text())


def test_they_ask_for_what_there_is() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    board = Board()
    board.apply(WindowMetrics(model_name="m", model_version="8", kind="outcomes", window_start=at, window_end=at), at)
    document = analysis(board, "production", "m", at) or {}
    for metric in read("argo-rollouts/analysis-template.yaml")["spec"]["metrics"]:
        assert metric["provider"]["web"]["jsonPath"][3:-1] in document
        assert "/analysis/{{args.environment}}/{{args.model}}" in metric["provider"]["web"]["url"]
    query = read("flagger/metric-template.yaml")["spec"]["query"]
    assert "plumbline_canary_harm_lower_bound" in query
    assert {"environment", "model_name"} <= exported()["plumbline_canary_harm_lower_bound"]
    (webhook,) = read("flagger/canary.yaml")["spec"]["analysis"]["webhooks"]
    assert webhook["url"].endswith("/gate/flagger")
    assert set(webhook["metadata"]) == {"environment", "model"}


def test_no_verdict_is_no_success() -> None:
    verdict = read("argo-rollouts/analysis-template.yaml")["spec"]["metrics"][0]
    assert verdict["successCondition"] == 'result == "no_harm"'
    assert verdict["inconclusiveLimit"] == verdict["count"] - 1
