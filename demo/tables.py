"""What is printed at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.account import Check
from demo.bad_input import BadRecord
from demo.journal import DeadLetterSeen, WindowSeen


def print_result(
    console: Console,
    summary: dict[str, Any],
    checks: Sequence[Check],
    bad: Sequence[tuple[BadRecord, str]],
) -> None:
    """Print counts, delays, alerts, bad records and the verdict."""
    console.print(_counts(summary), _delays(summary), _alerts(summary), sep="\n")
    if bad:
        console.print(_bad(bad))
    console.print(_checks(checks))


def reasons(
    records: Sequence[BadRecord], letters: Sequence[DeadLetterSeen], windows: Sequence[WindowSeen]
) -> list[tuple[BadRecord, str]]:
    """Find for every bad record the reason that the dead-letter topic gives, or what became of it instead."""
    by_key = {(letter.topic, letter.key): letter for letter in letters}
    found = []
    for bad in records:
        letter = by_key.get((bad.topic, bad.output.key))
        told = f"{letter.reason}: {letter.message}" if letter else f"no dead letter: {bad.outcome}"
        if bad.finding:
            n = sum(window.findings.get(bad.finding, 0) for window in windows if window.kind == "inputs")
            told += f", counted as finding {bad.finding} (of which the year has {n:,})"
        found.append((bad, told))
    return found


def _grid(title: str, *columns: str, numbers: Sequence[int] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i in numbers else "left", overflow="fold")
    return table


def _counts(summary: dict[str, Any]) -> Table:
    names = ("sent", "joined", "pending", "expired", "orphan", "dead", "duplicate", "late")
    table = _grid("\nEvents", "", *names, numbers=range(1, 9))
    for kind in ("predictions", "labels"):
        book = summary[kind]
        table.add_row(kind, *(f"{book[name]:,}" if name in book else "-" for name in names))
    return table


def _delays(summary: dict[str, Any]) -> Table:
    table = _grid("\nFrom the deployment of v2 to", "", "event time", "events", numbers=(1, 2))
    names = {
        "page": "the page", "evidence": "the evidence (event time it speaks of)", "command": "the command",
        "executed": "its execution", "verified": "its verification",
    }  # fmt: skip
    for name, words in names.items():
        if name in summary["delays"]:
            delay = summary["delays"][name]
            n_events = "-" if delay["n_events"] is None else f"{delay['n_events']:,}"
            table.add_row(words, f"{delay['days']:.2f} d", n_events)
    if not summary["delays"].keys() & names.keys():
        table.add_row("nothing: no page on v2, no command", "", "")
    return table


def _alerts(summary: dict[str, Any]) -> Table:
    table = _grid("\nAlerts", "since", "until", "severity", "version", "alert", "cause")
    for alert in summary["alerts"]:
        table.add_row(
            alert["starts_at"][:16], (alert["ends_at"] or "")[:16], alert["severity"], alert["model_version"],
            alert["alertname"], alert["cause"],
        )  # fmt: skip
    return table


def _bad(rows: Sequence[tuple[BadRecord, str]]) -> Table:
    table = _grid("\nBad input", "what", "topic", "what became of it")
    for bad, reason in rows:
        table.add_row(bad.name, bad.topic, reason)
    return table


def _checks(checks: Sequence[Check]) -> Table:
    table = _grid("\nVerdict", "", "", "observed", "required")
    for check in checks:
        mark = "[green]ok[/]" if check.passed else "[bold red]FAILED[/]"
        table.add_row(mark, check.name, check.observed, check.required)
    return table
