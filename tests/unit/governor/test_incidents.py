"""One cause, one incident: what is grouped, what is not, and what its timeline holds."""

from datetime import timedelta
from typing import Any

from schemas import topics
from schemas.alerts import Alert, AlertEvidence, AlertSeries, Explanation, Lineage, Window
from schemas.base import Event
from schemas.identifiers import digest
from schemas.incidents import Incident, Intervention
from schemas.models import ModelSpec, RollbackPolicy
from streams.control.view import ControlView
from streams.engine.harness import Harness
from streams.governor.processor import GovernorProcessor
from streams.settings import Settings
from tests.unit.governor.test_governor_processor import record, said
from tests.unit.governor.test_policy import AS_OF, DEPLOYED, deployment, evidence

HOUR = timedelta(hours=1)


def alert(name: str, *, model: str = "m", hours: float = 0, status: str = "firing", **changes: Any) -> Alert:
    """An alert of `m` version v2 that fired so many hours after the deployment, on a window of an hour."""
    starts = DEPLOYED + hours * HOUR
    at = starts + (changes.pop("after", 0)) * HOUR
    attribution = changes.pop("attribution", "data")
    feature = changes.pop("feature", None)
    coverage = changes.pop("coverage", None)
    labels = {
        "alertname": name, "severity": "ticket", "environment": "production", "model_name": model,
        "model_version": "v2",
    }  # fmt: skip
    fields = {
        "alert_id": f"{name}-{model}", "fingerprint": digest(labels)[:16], "sequence": changes.pop("sequence", 1),
        "status": status, "starts_at": starts, "updated_at": at, "labels": labels,
        "annotations": {"summary": f"{name} of {model}"},
        "evidence": AlertEvidence(
            detector="e_detector", statistic=30.0, threshold=20.0, label_coverage_ratio=coverage,
            window=Window(start=starts - HOUR, end=starts, n=100),
            series=[AlertSeries(segment="__all__", feature=feature, statistic=30.0, share_ratio=1.0)],
        ),
        "explanation": Explanation(attribution=attribution),
        "lineage": Lineage(deployment_id="d-v2" if model == "m" else ""), **changes,
    }  # fmt: skip
    return Alert.model_validate(fields)


def play(*events: Event, sources: dict[str, str] | None = None, models: tuple[str, ...] = ("m",)) -> list[Incident]:
    view = ControlView()
    for name in models:
        spec = ModelSpec(
            model_name=name, rollback=RollbackPolicy(mode="auto"),
            features=dict.fromkeys(sources or {}, "numeric"), feature_sources=sources or {},
        )  # fmt: skip
        view.apply(topics.MODELS.name, spec.to_bytes())
    view.apply(topics.DEPLOYMENTS.name, deployment(git_sha="abc", dataset_version="2026-05").to_bytes())
    harness = Harness(lambda: GovernorProcessor(partition=0, settings=Settings(), control=view))
    kinds = {Alert: topics.ALERTS, Intervention: topics.INTERVENTIONS}
    harness.feed(
        [record(kinds.get(type(event), topics.EVIDENCE).name, event, i) for i, event in enumerate(events)],
        batch_sizes=1,
    )
    return said(harness, Incident, topics.INCIDENTS)


def newest(incidents: list[Incident]) -> dict[str, Incident]:
    return {each.incident_id: each for each in incidents}


def test_the_drift_and_the_accuracy_fall_that_follows_are_one_incident_from_the_deployment_on() -> None:
    (found,) = newest(
        play(
            alert("FeatureDrift", hours=2),
            alert("ErrorRate", hours=20, coverage=0.9, attribution="model"),
            alert("FeatureDrift", hours=2, status="resolved", after=40, sequence=2),
            alert("ErrorRate", hours=20, status="resolved", after=30, sequence=2),
        )
    ).values()
    assert found.status == "closed"
    assert [(m.kind, m.status) for m in found.members] == [("alert", "resolved"), ("alert", "resolved")]
    assert [e.kind for e in found.timeline] == ["deployment", "alert", "alert", "alert", "alert"]
    assert found.timeline[0].at == DEPLOYED
    assert found.timeline[0].details == {"git_sha": "abc", "dataset_version": "2026-05"}
    assert found.began_at == DEPLOYED + HOUR
    assert found.seconds_to_detect == 3600
    assert found.seconds_to_resolve == 49 * 3600


def test_a_schema_break_upstream_that_hits_five_models_is_one_incident_with_five_members() -> None:
    models = tuple(f"m{i}" for i in range(5))
    events = [
        alert("MissingRatio", model=name, hours=i, attribution="pipeline", feature="wind")
        for i, name in enumerate(models)
    ]
    (found,) = newest(play(*events, sources={"wind": "weather"}, models=models)).values()
    assert {m.model_name for m in found.members} == set(models)
    assert found.cause == "pipeline|production|source weather"
    without_sources = newest(play(*events, models=models)).values()
    assert [len(each.members) for each in without_sources] == [5]


def test_another_source_and_another_day_are_other_incidents() -> None:
    first = alert("MissingRatio", model="a", attribution="pipeline", feature="wind")
    other_source = alert("MissingRatio", model="b", attribution="pipeline", feature="tail")
    later = alert("MissingRatio", model="c", hours=49, attribution="pipeline", feature="wind")
    names = ("a", "b", "c")
    found = newest(play(first, other_source, later, sources={"wind": "weather", "tail": "fleet"}, models=names))
    assert [{m.model_name for m in each.members} for each in found.values()] == [{"a"}, {"b"}, {"c"}]


def test_an_alert_stays_in_its_incident_whatever_it_says_later() -> None:
    first = alert("MissingRatio", attribution="pipeline", feature="wind")
    ended = alert("MissingRatio", status="resolved", after=90, sequence=2, attribution="unknown")
    (found,) = newest(play(first, ended, sources={"wind": "weather"})).values()
    assert found.status == "closed"


def test_a_refusal_stands_in_the_timeline_with_what_each_rule_saw() -> None:
    late = evidence(onset_at=DEPLOYED + 12 * HOUR, onset_cells_after_deployment=12, previous=None)
    (found,) = newest(play(alert("ErrorRate", hours=20, coverage=0.9), late)).values()
    assert [e.kind for e in found.timeline] == ["deployment", "deviation", "alert", "decision"]
    assert found.timeline[-1].what == "rollback of v2 refused: not_deployment_aligned"
    assert found.timeline[-1].details["not_deployment_aligned"].startswith("refused: ")
    assert found.began_at == DEPLOYED + 12 * HOUR
    assert found.seconds_to_detect == 8 * 3600
    assert found.status == "open"


def test_what_people_say_stands_in_the_timeline_of_what_it_is_about() -> None:
    one, other = alert("ErrorRate", hours=2, coverage=0.9), alert("LatencyP95", model="other", hours=2)
    word = {"model_name": "m", "actor": "ada", "at": AS_OF}
    found = newest(
        play(
            one,
            other,
            Intervention(intervention_id="1", kind="ack", subject=one.fingerprint, comment="on it", **word),
            Intervention(intervention_id="2", kind="freeze", subject="", **word),
            Intervention(intervention_id="2", kind="freeze", subject="", **word),
            models=("m", "other"),
        )
    )
    mine, theirs = found.values()
    assert [e.what for e in mine.timeline if e.kind == "word"] == [
        "ada has seen an alert (on it)",
        "ada froze automatic rollbacks",
    ]
    assert [e.kind for e in theirs.timeline] == ["alert"]


def test_a_pending_alert_is_nobody_s_incident_and_one_said_again_is_no_news() -> None:
    assert play(alert("ErrorRate", status="pending")) == []
    again = [alert("ErrorRate", after=i, sequence=i + 1) for i in range(3)]
    assert len(play(*again)) == 1
