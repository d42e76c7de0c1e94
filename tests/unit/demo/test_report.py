from __future__ import annotations

import html
import io
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest
from fake_monitor import FakeWire
from rich.console import Console

from demo import account, report, summary, tables
from demo.journal import CompanionSeen, SeriesSeen
from demo.live import View
from demo.simulator import Simulator


async def _run(simulator: Simulator, tmp_path: Path) -> tuple[dict, str, str]:
    out = io.StringIO()
    with View(Console(file=out, width=160)) as view:
        simulator.on_step = view.show
        await simulator.run()
    checks = [
        *account.accounting(simulator.totals, simulator.sent),
        *account.verdict(simulator.options, simulator.journal, simulator.registry, simulator.spec, simulator.sent),
    ]
    found = summary.summarise(simulator, checks, guarantee="at_least_once", wall_seconds=1.0, stream_seconds=1.0)
    bad = tables.reasons(simulator.bad_records, simulator.journal.dead_letters, simulator.journal.windows)
    report.write(tmp_path / "report.html", simulator, found, checks, bad)
    tables.print_result(Console(file=out, width=160), found, checks, bad)
    return found, (tmp_path / "report.html").read_text(), out.getvalue()


async def test_summary_report_and_terminal_tell_the_same_story(
    make_simulator: Callable[..., tuple[Simulator, FakeWire]], tmp_path: Path
) -> None:
    simulator, _ = make_simulator()
    found, page, printed = await _run(simulator, tmp_path)
    assert json.loads(json.dumps(found)) == found
    assert found["passed"]
    rollback = found["rollback"]
    assert (rollback["from_version"], rollback["to_version"], rollback["final_state"]) == ("v2", "v1", "verified")
    assert rollback["requested_at"] <= rollback["succeeded_at"] < rollback["verified_at"]
    assert rollback["steps"] == ["requested", "approved", "verified"]
    assert [alert["severity"] for alert in found["alerts"]] == ["page"]
    assert "v2 was caught and rolled back to v1." in page
    assert page.count("<svg") == 4
    assert page.count(html.escape(rollback["summary"])) == 2  # under the heading, and where the rollback begins
    steps = report._steps(simulator)
    assert [step["what"] for step in steps] == [
        "v2 deployed", "governor: requested", "governor: approved", "executor: accepted", "executor: executing",
        "executor: succeeded", "governor: verified",
    ]  # fmt: skip
    executed = f"{datetime.fromisoformat(rollback['succeeded_at']):%d %b %H:%M}"
    assert [step["at"] for step in steps if step["what"].startswith("executor")] == [executed] * 3
    assert "page on v2" in printed
    assert "not JSON" in printed


async def test_the_report_needs_nothing_but_itself(
    make_simulator: Callable[..., tuple[Simulator, FakeWire]], tmp_path: Path
) -> None:
    simulator, _ = make_simulator(scenario="placebo", until=date(2013, 6, 12))
    found, page, _ = await _run(simulator, tmp_path)
    assert found["rollback"]["final_state"] is None
    assert "nothing was rolled back" in page
    outside = [line for line in page.splitlines() if "src=" in line or "<link" in line or "@import" in line]
    assert outside == []


def test_a_distance_is_told_in_multiples_of_what_chance_explains() -> None:
    weather = [CompanionSeen(name="hellinger", value=0.9, threshold=1.2)]
    seen = SeriesSeen(monitor_id="feature_drift", signal="feature_drift", feature="temp", companions=weather)
    assert seen.distance("hellinger") == pytest.approx(0.75)
    assert seen.distance("psi") is None
    unknown = [CompanionSeen(name="hellinger", value=0.9)]
    assert SeriesSeen(monitor_id="m", signal="s", companions=unknown).distance("hellinger") is None
