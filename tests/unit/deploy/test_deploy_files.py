"""What is in `deploy/` and beside it is accepted by the programs that read it, and speaks of what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_support import DEPLOY, ROOT, RULES, exported, settings_variables

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "plumbline.json"
COMPOSE = ROOT / "docker-compose.yml"

_LABELS_OF_A_SCRAPE = {"instance", "job", "le"}
_NAME = re.compile(r"\bplumbline_[a-z0-9_]+")
_SELECTOR = re.compile(r"\b(plumbline_[a-z0-9_]+)\s*\{([^}]*)\}")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")


def run(program: str, *arguments: str | Path, cwd: Path = ROOT) -> None:
    """Run a program that has to be content."""
    path = shutil.which(program)
    if path is None:
        reason = f"needs `{program}`, which is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [path, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rule_expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return content


def dashboard_expressions() -> list[str]:
    panels = dashboard()["panels"]
    queries = [variable["definition"] for variable in dashboard()["templating"]["list"]]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())] + queries


def selectors(expressions: list[str]) -> Iterator[tuple[str, set[str]]]:
    for expression in expressions:
        for name, matchers in _SELECTOR.findall(expression):
            yield name, set(_MATCHER.findall(re.sub(r'"[^"]*"', '""', matchers)))


def test_prometheus_takes_its_configuration():
    run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_prometheus_takes_the_rules():
    run("promtool", "check", "rules", RULES)


def test_rules_fire_when_they_should_and_only_then():
    run("promtool", "test", "rules", "rules_test.yml", cwd=Path(__file__).parent)


def test_alertmanager_takes_its_configuration():
    run("amtool", "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=MissRate", "severity=page", "model_name=flight-delay"), "pager"),
        (("alertname=FeatureDrift", "severity=ticket", "model_name=flight-delay"), "tickets"),
        (("alertname=PlumblineWorkerDown", "severity=page"), "pager"),
        (("alertname=Unlabelled",), "tickets"),
        (("alertname=PlumblineWatchdog", "severity=none"), "watchdog"),
    ],
)
def test_alertmanager_routes_by_severity(labels: tuple[str, ...], receiver: str):
    config = DEPLOY / "alertmanager" / "alertmanager.yml"
    run("amtool", "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}", *labels)


def test_docker_compose_takes_the_file():
    run("docker-compose", "-f", COMPOSE, "config", "-q")


@pytest.mark.parametrize("expressions", [rule_expressions, dashboard_expressions], ids=["rules", "dashboard"])
def test_every_metric_that_is_asked_for_exists(expressions):
    names = {name for expression in expressions() for name in _NAME.findall(expression)}
    assert names
    assert sorted(names - set(exported())) == []


@pytest.mark.parametrize("expressions", [rule_expressions, dashboard_expressions], ids=["rules", "dashboard"])
def test_every_label_that_is_asked_for_exists(expressions):
    known = exported()
    unknown = [
        (name, label)
        for name, labels in selectors(expressions())
        for label in labels - known.get(name, set()) - _LABELS_OF_A_SCRAPE
    ]
    assert unknown == []


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path):
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    rules = [{"record": f"query_{i}", "expr": q.replace("$__rate_interval", "1m")} for i, q in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run("promtool", "check", "rules", tmp_path / "queries.yml")


def own_rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_rule_says_how_urgent_it_is_and_what_it_means():
    for rule in own_rules():
        urgencies = {"none"} if rule["alert"] == "PlumblineWatchdog" else {"page", "ticket"}
        assert rule["labels"]["severity"] in urgencies, rule["alert"]
        assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]


def test_every_rule_has_a_runbook():
    for rule in own_rules():
        path = rule["annotations"]["runbook_url"]
        assert path == f"docs/runbooks/{rule['alert']}.md"
        text = (ROOT / path).read_text()
        assert text.startswith(f"# {rule['alert']}\n")
        assert all(part in text for part in ("**What follows.**", "## Look at", "## Do", "**Over** when")), path
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in own_rules()}


def test_every_rule_has_a_timeline_in_which_it_fires_and_one_in_which_it_does_not():
    cases = (Path(__file__).parent / "rules_test.yml").read_text()
    tested = yaml.safe_load(cases)["tests"]
    fires: dict[str, set[bool]] = {}
    for case in tested:
        for check in case.get("promql_expr_test", ()):
            name = re.search(r'alertname="(\w+)"', check["expr"]).group(1)  # type: ignore[union-attr]
            fires.setdefault(name, set()).add(check["exp_samples"][0]["value"] > 0)
        for check in case.get("alert_rule_test", ()):
            fires.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    assert {rule["alert"] for rule in own_rules()} - {n for n, seen in fires.items() if seen == {True, False}} == set()


def test_the_dashboard_is_whole():
    content = dashboard()
    ids = [panel["id"] for panel in content["panels"]]
    assert len(ids) == len(set(ids))
    for panel in content["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["targets"]


def test_the_dashboard_shows_what_an_operator_asks_for():
    shown = " ".join(dashboard_expressions())
    for name in (
        "plumbline_event_time_lag_seconds",
        "plumbline_records_total",
        "plumbline_commit_seconds_bucket",
        "plumbline_windows_total",
        'plumbline_metric_value{signal="accuracy"',
        "plumbline_alerts",
        "plumbline_rollbacks_total",
    ):
        assert name in shown


def test_the_dashboard_finds_its_datasource():
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    uids = {source["uid"] for source in provisioned["datasources"]}
    used = {panel["datasource"]["uid"] for panel in dashboard()["panels"] if "datasource" in panel}
    assert used == uids


def test_compose_mounts_the_dashboards_where_they_are_looked_for():
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/plumbline.yml").read_text())["providers"][0]
    mounts = yaml.safe_load(COMPOSE.read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts


def test_compose_sets_only_settings_that_exist():
    variables = set(yaml.safe_load(COMPOSE.read_text())["services"]["worker"]["environment"])
    assert sorted(variables - settings_variables()) == []


def test_dockerfile_sets_only_settings_that_exist():
    variables = set(re.findall(r"PLUMBLINE_[A-Z_]+", (ROOT / "Dockerfile").read_text()))
    assert sorted(variables - settings_variables()) == []


def test_compose_publishes_on_loopback_alone():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_compose_keeps_state_in_named_volumes():
    content = yaml.safe_load(COMPOSE.read_text())
    used = {
        mount.partition(":")[0]
        for service in content["services"].values()
        for mount in service.get("volumes", ())
        if ":" in mount and not mount.startswith((".", "/"))
    }
    assert used == set(content["volumes"])


def test_the_image_does_not_run_as_root_and_has_what_the_wheel_needs():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["plumbline"\]\nCMD \["worker"\]$', dockerfile, re.MULTILINE)
    pyproject = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"packages = \[([^\]]*)\]", pyproject)
    assert packages is not None
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in re.findall(r'"([a-z]+)"', packages[1]):
        assert f"COPY {name}/ {name}/" in dockerfile
        assert f"!{name}" in ignored
