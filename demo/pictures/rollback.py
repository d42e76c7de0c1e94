"""The days around the deployment: the miss rate by window, the evidence, and each step of the rollback."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from demo.journal import EvidenceSeen, Journal, WindowSeen
from demo.pictures.style import COLOURS, GOOD, INK, MUTED, PAGE, PAPER, Axes, days, drawing, percent, to_svg
from demo.scenarios import NEW_VERSION
from demo.simulator import Simulator
from schemas.rollbacks import RollbackState

_BEFORE: Final = timedelta(days=4)
_AFTER: Final = timedelta(days=7)
_E_VALUES: Final = (1e-4, 1e12)
"""Beyond these the curve runs along the edge."""

Step = tuple[str, datetime, str]


def rollback(simulator: Simulator) -> str:
    """Draw the case; empty where nothing was deployed."""
    deployed = simulator.deployed
    if deployed is None:
        return ""
    steps = _steps(simulator)
    start = deployed.at - _BEFORE
    end = max(deployed.at + _AFTER, steps[-1][1] + timedelta(days=1))
    with drawing(5.0) as figure:
        strip, top, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(0.3 + 0.22 * len(steps), 3, 2.4))
        _names(strip, steps)
        _miss_rate(top, [each for each in simulator.journal.windows if start <= each.window_start < end])
        _evidence(bottom, simulator.journal)
        for axes in (strip, top, bottom):
            for _, at, colour in steps if axes is not strip else ():
                axes.axvline(at, color=colour, linewidth=1, alpha=0.8)
            axes.set_xlim(start, end)
            days(axes)
        return to_svg(figure, "Miss rate by window, evidence since the deployment, and the steps of the rollback")


def _steps(simulator: Simulator) -> list[Step]:
    """What happened, when the serving side learnt of it, and its colour; in order."""
    journal, deployed = simulator.journal, simulator.deployed
    ordered, verified = journal.ordered(), journal.first(RollbackState.VERIFIED)
    succeeded = journal.first_status(RollbackState.SUCCEEDED)
    page = next(iter(journal.pages(NEW_VERSION)), None)
    found = [
        ("v2 deployed", deployed.at if deployed else None, COLOURS[NEW_VERSION]),
        ("page", page.seen.at if page else None, PAGE),
        ("command", ordered[0][1].at if ordered else None, INK),
        ("executed", succeeded[0].reported_at if succeeded else None, GOOD),
        ("verified", verified[1].at if verified else None, GOOD),
    ]
    return sorted(((name, at, colour) for name, at, colour in found if at is not None), key=lambda step: step[1])


def _names(axes: Axes, steps: list[Step]) -> None:
    """A line of words for each step; its vertical line begins there, so that it crosses no words of an earlier one."""
    for i, (name, at, colour) in enumerate(steps):
        axes.vlines(at, -len(steps) + 0.4, -i + 0.4, color=colour, linewidth=1, alpha=0.8)
        words = f" {name}, {at:%d %b %H:%M} "
        axes.annotate(words, (at, -i), (4, 0), textcoords="offset points", color=colour, va="center", bbox=PAPER)
    axes.set_ylim(-len(steps) + 0.4, 0.6)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _miss_rate(axes: Axes, windows: list[WindowSeen]) -> None:
    for version, colour in COLOURS.items():
        latest = {
            each.window_start: each
            for each in windows
            if each.kind == "outcomes" and each.model_version == version and each.values.get("miss_rate") is not None
        }
        mine = [latest[start] for start in sorted(latest)]
        if not mine:
            continue
        middle = [each.window_start + (each.window_end - each.window_start) / 2 for each in mine]
        rates = [each.values["miss_rate"] for each in mine]
        axes.plot(middle, rates, color=colour, linewidth=0.8, alpha=0.35)
        sizes = [6 + each.n_labels / 5 for each in mine]
        axes.scatter(middle, rates, s=sizes, color=colour, label=version, alpha=0.85, linewidths=0)
    axes.set_ylim(-0.05, 1.08)
    percent(axes)
    axes.set_title("Late flights that were not announced, by window (area: labels)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="upper left", ncols=2)


def _evidence(axes: Axes, journal: Journal) -> None:
    by_case: dict[int, dict[datetime, EvidenceSeen]] = {}
    for each in journal.evidence:
        if each.as_of > each.deployed_at and each.recovery is None:
            by_case.setdefault(each.generation, {})[each.as_of] = each
    axes.set_title("Evidence that the deployed version is worse than its predecessor allows: e-value, log scale")
    for case in (points for generation, points in sorted(by_case.items()) if generation > 1):
        mine = [case[as_of] for as_of in sorted(case)]
        values = [min(max(each.e_value, _E_VALUES[0]), _E_VALUES[1]) for each in mine]
        colour = COLOURS.get(mine[0].model_version, INK)
        axes.plot([each.as_of for each in mine], values, color=colour, linewidth=1.8, marker="o", markersize=4)
        axes.axhline(mine[0].threshold, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axes.set_yscale("log")
        axes.annotate(
            f"1/alpha = {mine[0].threshold:,.0f}", (1, mine[0].threshold), (-2, 3), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", color=MUTED, ha="right", va="bottom", fontsize=8, bbox=PAPER,
        )  # fmt: skip
