"""What the inputs said when a cell's closed: its outcomes, which mature later, are told of that and of nothing newer.

How far inputs are ahead of labels depends on who read what first. Decisions do not: an alert on outcomes explains
itself by the inputs of its own cell, and evidence knows the input alerts that were raised then.
"""

from __future__ import annotations

from typing import Final

from streams.evaluator.model import ModelEvaluator
from streams.evaluator.state import InputsSeen, Moves

N_TOP_FEATURES: Final = 5
_MAX_CELLS: Final = 1_000
"""Cells that wait for their outcomes; of a model without labels the oldest are forgotten."""


def current_moves(model: ModelEvaluator) -> Moves:
    """The features that moved most, as of the last inputs that were closed."""
    moved = model.state.moved
    top = sorted(moved.items(), key=lambda item: (-item[1], item[0]))[:N_TOP_FEATURES]
    return Moves(sum(moved.values()), tuple((name, by, model.state.moves.get(name, "")) for name, by in top if by > 0))


def keep_inputs(model: ModelEvaluator, cell_ms: int) -> None:
    """Keep what the inputs say, as a cell of theirs has closed for all versions."""
    raised = [(a.model_version, a.monitor_id, a.fingerprint) for a in model.state.alerts.values() if not a.needs_labels]
    seen = model.state.inputs_seen
    seen[cell_ms] = InputsSeen(current_moves(model), tuple(sorted(raised)))
    for oldest in sorted(seen)[:-_MAX_CELLS]:
        del seen[oldest]


def inputs_of(model: ModelEvaluator, cell_ms: int) -> InputsSeen:
    """What the inputs said of a cell; nothing where they never closed."""
    return model.state.inputs_seen.get(cell_ms) or InputsSeen()


def forget_inputs(model: ModelEvaluator, until_ms: int) -> None:
    """Forget what was kept for cells whose outcomes have closed."""
    for cell_ms in [each for each in model.state.inputs_seen if each <= until_ms]:
        del model.state.inputs_seen[cell_ms]
