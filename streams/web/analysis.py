"""What deployment tools ask while they shift traffic: one document for a model, and a gate that is open or shut.

References
----------
Argo Rollouts, "Web metric provider". Flagger, "Webhooks" (confirm-rollout, rollout: 200 lets it go on, anything else
does not).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from schemas.identifiers import model_key
from schemas.metrics import CanaryStatus
from streams.web.board import Board
from streams.web.exporter import Exporter

Verdict = Literal["harm", "no_harm", "inconclusive", "blocked"]
_SHUT: Final = frozenset({"harm", "blocked"})


def analysis(board: Board, environment: str, model_name: str, now: datetime) -> dict[str, Any] | None:
    """Say how a model's canary stands, and which pages are firing.

    Parameters
    ----------
    board
        The newest of everything that was decided; of the partitions of this worker.
    environment, model_name
        Which model.
    now
        Wall clock.

    Returns
    -------
    dict or None
        `verdict` is `inconclusive` where no version serves beside another, or too little is known: never a pass. None
        where nothing was ever decided about the model.
    """
    key = model_key(environment, model_name)
    if key not in board.model_keys(now):
        return None
    canaries = [window for window in board.windows(key) if window.canary is not None]
    status: CanaryStatus | None = canaries[0].canary if canaries else None
    firing = [
        booked.alert
        for booked in board.alerts.in_force(now)
        if booked.is_firing(now)
        and (booked.alert.labels.get("environment"), booked.alert.labels.get("model_name")) == (environment, model_name)
    ]
    return {
        "environment": environment,
        "model_name": model_name,
        "verdict": "inconclusive" if status is None else status.verdict,
        "candidate": None if status is None else status.candidate,
        "baseline": None if status is None else status.baseline,
        "deployment_id": None if status is None else status.deployment_id,
        "signal": None if status is None else status.signal,
        "n_pairs": 0 if status is None else status.n_pairs,
        "harm_lower": None if status is None else status.harm_lower,
        "harm_upper": None if status is None else status.harm_upper,
        "tolerance": None if status is None else status.tolerance,
        "blocked_by": [] if status is None else status.blocked_by,
        "as_of": None if not canaries else canaries[0].window_end.isoformat(),
        "pages_firing": sum(alert.labels.get("severity") == "page" for alert in firing),
        "alerts_firing": sorted({alert.labels.get("alertname", "") for alert in firing}),
    }


def gate(board: Board, request: object, now: datetime) -> tuple[bool, str]:
    """Answer a gate's question: whether a rollout may go on, and why.

    Parameters
    ----------
    board, now
        As of `analysis`.
    request
        Flagger's webhook body: `metadata.model` and `metadata.environment` say which model; without them the canary's
        `name` in its `namespace`.

    Returns
    -------
    tuple
        Shut on harm, where the arms cannot be compared, while a page fires, and for a model that nothing is known of.

    Raises
    ------
    ValueError
        Where the body names no model.
    """
    content = request if isinstance(request, dict) else {}
    metadata = content.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    environment = str(named.get("environment") or content.get("namespace") or "")
    model_name = str(named.get("model") or content.get("name") or "")
    if not environment or not model_name:
        msg = "the body names no model: expected metadata.model and metadata.environment, or name and namespace"
        raise ValueError(msg)
    found = analysis(board, environment, model_name, now)
    if found is None:
        return False, f"nothing is known of {environment}/{model_name}"
    if found["verdict"] in _SHUT:
        return False, f"{found['verdict']}: {'; '.join(found['blocked_by']) or found['candidate']}"
    if found["pages_firing"]:
        return False, f"{found['pages_firing']} pages are firing: {', '.join(found['alerts_firing'])}"
    return True, f"{found['verdict']}, no page is firing"


class BoardAnalyst:
    """Answers from an exporter's board."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def analysis(self, environment: str, model_name: str) -> dict[str, Any] | None:
        """As of `analysis`, now."""
        return analysis(self._exporter.board, environment, model_name, self._exporter.now())

    def gate(self, request: object) -> tuple[bool, str]:
        """As of `gate`, now."""
        return gate(self._exporter.board, request, self._exporter.now())
