"""What the documents name is there: topics, settings, commands, metrics, rules, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer.main
import yaml
from deploy_support import ROOT, RULES, exported, settings_variables

from schemas.events import LabelEvent, PredictionEvent
from schemas.monitors import MonitorsFile
from schemas.rollbacks import RollbackState
from schemas.topics import DAY_MS, MIB, TOPICS, Spread
from streams.cli import app
from streams.governor.rules import RULES as POLICY
from streams.settings import StageName

PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if page.name != "configuration.md"  # generated, and held against the code elsewhere
)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^ {4}|`)plumbline ([^`\n]+)", re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=page_id)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page: Path):
    for target in _LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages
def test_settings_exist(page: Path):
    known = settings_variables()
    names = {name.rstrip("_") for name in re.findall(r"PLUMBLINE_[A-Z_]+", page.read_text())} - {"PLUMBLINE"}
    assert sorted(names - known) == []


@pages
def test_settings_in_dotted_form_exist(page: Path):
    known = settings_variables()
    groups = {name.split("_")[1].lower() for name in known}
    for group, name in re.findall(r"`([a-z]+)\.([a-z_]+)`", page.read_text()):
        if group in groups:
            assert f"PLUMBLINE_{group}_{name}".upper() in known


@pages
def test_metrics_exist(page: Path):
    names = set(re.findall(r"`(plumbline_[a-z_]+)`", page.read_text()))
    headers = {name for name in names if name.startswith("plumbline_dlq_")}
    families = {name.removesuffix("_bucket") for name in exported()}
    assert sorted(names - headers - families - set(exported())) == []


@pages
def test_topics_exist(page: Path):
    names = set(re.findall(r"\bml\.[a-z-]+\.v\d\b", page.read_text()))
    assert sorted(names - {topic.name for topic in TOPICS}) == []


def commands(page: Path) -> Iterator[list[str]]:
    for line in _COMMAND.findall(page.read_text()):
        yield line.partition("#")[0].split()


@pages
def test_commands_and_their_options_exist(page: Path):
    for words in commands(page):
        command = typer.main.get_command(app)
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        is_group = bool(getattr(command, "commands", None))
        assert not is_group or not words or words[0].startswith("-"), words
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options, words


def rows(page: str, after: str) -> list[list[str]]:
    """Cells of the first table that follows a text."""
    lines = (ROOT / page).read_text().partition(after)[2].splitlines()
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            break
    return table[2:]


def test_the_topic_table_is_the_code_s():
    counts = {Spread.EVENTS: "events", Spread.MODELS: "models", Spread.ONE: "1"}
    expected = [
        [
            f"`{topic.name}`",
            topic.key,
            counts[topic.spread],
            "all" if topic.retention_ms is None else f"{topic.retention_ms // DAY_MS} d",
            f"{topic.max_message_bytes // MIB} MiB",
            topic.purpose,
        ]
        for topic in TOPICS
    ]
    assert rows("docs/topics.md", "# Topics") == expected


def test_every_topic_has_a_writer_and_a_reader():
    named = " ".join(row[0] for row in rows("docs/topics.md", "## Who writes"))
    assert [topic.name for topic in TOPICS if f"`{topic.name}`" not in named] == []


def test_every_rule_of_the_policy_is_explained_in_its_order():
    text = (ROOT / "docs/decisions/0004-named-rollback-rules.md").read_text()
    ours = [rule.name for rule in POLICY]
    assert [name for name in re.findall(r"`([a-z_]+)`", text) if name in ours] == ours


def test_every_state_of_a_rollback_is_explained():
    text = (ROOT / "docs/concepts.md").read_text().partition("## The life of a rollback")[2]
    assert [state.value for state in RollbackState if state.value not in text] == []


def test_every_stage_is_explained():
    text = (ROOT / "docs/glossary.md").read_text()
    assert [stage.value for stage in StageName if stage.value not in text] == []


def test_every_alert_of_prometheus_has_a_line_for_who_is_on_call():
    explained = " ".join(row[0] for row in rows("docs/operations.md", "## Alerts about Plumbline"))
    names = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert [name for name in names if f"`{name}`" not in explained] == []


def test_reasons_of_dead_letters_are_the_code_s():
    from streams.engine.dead_letters import PROCESSING_ERROR
    from streams.ingest.rejection import Reason
    from streams.responders.webhook import FAILED

    told = {name for row in rows("docs/operations.md", "## Dead letters") for name in re.findall(r"`(\w+)`", row[0])}
    assert told == {*(reason.value for reason in Reason), PROCESSING_ERROR, FAILED}


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    return found


def test_the_monitors_files_of_the_readme_are_valid():
    for block in blocks("yaml"):
        assert MonitorsFile.model_validate(yaml.safe_load(block)).models


def test_the_events_of_the_readme_are_valid():
    prediction, label = blocks("json")
    msgspec.json.decode(
        prediction, type=msgspec.defstruct("P", [], bases=(PredictionEvent,), forbid_unknown_fields=True)
    )
    msgspec.json.decode(label, type=msgspec.defstruct("L", [], bases=(LabelEvent,), forbid_unknown_fields=True))


def test_the_demo_s_figures_have_one_place():
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- demo-figures:begin -->") == text.count("<!-- demo-figures:end -->") == 1


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert sorted(set(named) - targets) == [], page


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = _LINK.findall((folder / "README.md").read_text())
    assert sorted(listed) == sorted(page.name for page in folder.glob("[0-9]*.md"))
