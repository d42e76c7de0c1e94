"""Prometheus, on the exported counters, burns when Plumbline does: four days of cells of five minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from deploy_support import DEPLOY
from test_deploy_files import run

from detectors.burn_rate import BurnPair, Spent, burns
from schemas.base import milliseconds
from schemas.burn import PAGE_WINDOWS, TICKET_WINDOWS, BurnWindows

OBJECTIVE, CELL, N_CELLS = 0.99, 5, 4 * 288
LABELS = '{environment="production", model_name="m", model_version="1", monitor_id="errors"}'
EPISODES = {(300, 308): 0.4, (500, 570): 0.08, (700, 900): 0.035, (1000, 1152): 0.013}
"""Cells, and the share of bad events in them: enough for one pair after the other."""


def cells() -> list[tuple[int, int]]:
    rng = np.random.default_rng(21)
    found = []
    for number in range(N_CELLS):
        share = next((p for (first, last), p in EPISODES.items() if first <= number < last), 0.002)
        n = int(rng.integers(300, 500))
        found.append((int(rng.binomial(n, share)), n))
    return found


def ours(spent: list[Spent], windows: tuple[BurnWindows, ...], now: int) -> bool:
    minute = 60_000
    pairs = [BurnPair(w.factor, milliseconds(w.long) // minute, milliseconds(w.short) // minute) for w in windows]
    return any(each.is_burning for each in burns(spent, pairs, now=now, objective=OBJECTIVE, min_events=1))


def counter(name: str, steps: list[int]) -> dict[str, str]:
    """A counter scraped every minute, which grows as each cell closes; it is old when the test begins."""
    value, samples = 1_000_000, []
    for minute in range(CELL * len(steps) + 1):
        if minute and minute % CELL == 0:
            value += steps[minute // CELL - 1]
        samples.append(str(value))
    return {"series": f"{name}{LABELS}", "values": " ".join(samples)}


def test_promtool_agrees_at_every_cell(tmp_path: Path) -> None:
    counts = cells()
    spent = [Spent(CELL * i, bad, n) for i, (bad, n) in enumerate(counts)]
    rules = {rule["alert"]: rule["expr"] for rule in yaml.safe_load(_file().read_text())["groups"][0]["rules"]}
    cases: list[dict[str, Any]] = []
    answers = []
    for name, windows in (("BurnsFast", PAGE_WINDOWS), ("Burns", TICKET_WINDOWS)):
        for number in range(288, N_CELLS, 3):
            now = CELL * (number + 1)
            expected = ours(spent, windows, now)
            answers.append((name, expected))
            samples = [{"labels": "{}", "value": 1}] if expected else []
            expression = f"count({rules[f'PlumblineErrorBudget{name}']})"
            cases.append({"expr": expression, "eval_time": f"{now}m", "exp_samples": samples})
    assert {*answers} == {(name, said) for name in ("BurnsFast", "Burns") for said in (True, False)}
    series = [
        counter("plumbline_error_budget_bad_events_total", [bad for bad, _ in counts]),
        counter("plumbline_error_budget_events_total", [n for _, n in counts]),
        {"series": f"plumbline_error_budget_objective_ratio{LABELS}", "values": f"{OBJECTIVE}x{CELL * N_CELLS}"},
    ]
    told = {
        "evaluation_interval": f"{CELL}m",  # samples are there up to a multiple of it
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": cases}],
    }
    path = tmp_path / "burn_rate_test.yml"
    path.write_text(yaml.safe_dump(told))
    run("promtool", "test", "rules", path)


def _file() -> Path:
    return DEPLOY / "prometheus" / "burn_rate.yml"
