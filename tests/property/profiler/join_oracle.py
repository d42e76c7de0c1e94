"""The join and its counts once more, event by event, in plain Python and without any code of the profiler."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LATENESS, LABEL_HORIZON, REVISION_HORIZON, MATURITY, CELL = 600, 21_600, 10_800, 7_200, 3_600
NEVER = float("-inf")


@dataclass
class Served:
    event: dict[str, Any]
    at: float
    found: float


@dataclass
class Group:
    anchor: float
    found: float
    members: list[Served] = field(default_factory=list)
    taken: list[tuple[dict[str, Any], float]] = field(default_factory=list)

    def open_for(self, event: dict[str, Any], found: float) -> bool:
        at, end = event["label_timestamp"], self.anchor + LABEL_HORIZON
        if at > end or found > end or self.found > at + LABEL_HORIZON:
            return False
        if not self.taken:
            return True
        last, last_found = self.taken[-1]
        return found <= max(self.anchor, last["label_timestamp"], last_found) + REVISION_HORIZON

    def standing(self) -> dict[str, Any] | None:
        if not self.taken or self.taken[-1][0].get("retracted"):
            return None
        return self.taken[-1][0]


class Oracle:
    """Reads both logs from one end to the other: first all predictions, then all labels."""

    def __init__(self, predictions: list[dict[str, Any]], labels: list[dict[str, Any]]) -> None:
        self.totals: Counter[str] = Counter()
        self.groups: dict[str, list[Group]] = {}
        self.backfilled: list[dict[str, Any]] = []
        self.p_mark = self.l_mark = NEVER
        self.unmatched: list[float] = []
        for event in predictions:
            self._predict(event)
        for event in labels:
            self._label(event)
        self._finish()

    def _predict(self, event: dict[str, Any]) -> None:
        if "not_before" in event:
            self.p_mark = max(self.p_mark, event["not_before"])
            return
        self.totals["predictions"] += 1
        at, found = event["prediction_timestamp"], self.p_mark
        if event.get("backfill"):
            self.backfilled.append(event)
            self.totals["predictions_expired"] += 1
            return
        self.p_mark = max(self.p_mark, at - LATENESS)
        if at < found - LABEL_HORIZON:
            self.totals["predictions_late"] += 1
            return
        groups = self.groups.setdefault(event["prediction_id"], [])
        if not groups or found > max(groups[-1].anchor, groups[-1].found) + REVISION_HORIZON:
            groups.append(Group(at, found))
        if any(m.event["model_version"] == event["model_version"] for m in groups[-1].members):
            self.totals["predictions_duplicate"] += 1
            return
        groups[-1].members.append(Served(event, at, found))

    def _label(self, event: dict[str, Any]) -> None:
        if "not_before" in event:
            self.l_mark = max(self.l_mark, event["not_before"])
            return
        self.totals["labels"] += 1
        at, found = event["label_timestamp"], self.l_mark
        self.l_mark = max(self.l_mark, at - LATENESS)
        if at < found - LABEL_HORIZON:
            self.totals["labels_late"] += 1
            return
        for group in self.groups.get(event["prediction_id"], []):
            if group.open_for(event, found):
                if group.taken and event.get("revision", 0) <= group.taken[-1][0].get("revision", 0):
                    self.totals["labels_duplicate"] += 1
                    return
                self.totals["labels_joined"] += 1
                self.totals["labels_revised"] += bool(group.taken)
                self.totals["labels_retracted"] += bool(event.get("retracted"))
                group.taken.append((event, found))
                return
        self.unmatched.append(at)

    def _finish(self) -> None:
        latest = max(self.p_mark, self.l_mark)
        for at in self.unmatched:
            self.totals["labels_pending" if at + LABEL_HORIZON >= latest else "labels_orphan"] += 1
        for group in self._all_groups():
            if group.standing() is not None:
                name = "joined"
            else:
                name = "pending" if group.anchor + LABEL_HORIZON >= latest else "expired"
            self.totals[f"predictions_{name}"] += len(group.members)
        self.totals = Counter({name: n for name, n in self.totals.items() if n})

    def _all_groups(self) -> list[Group]:
        return [group for groups in self.groups.values() for group in groups]

    def counts(self) -> Counter[tuple[str, str, int, str, int]]:
        """By (version, segment, cell, section, place)."""
        out: Counter[tuple[str, str, int, str, int]] = Counter()

        def count(event: dict[str, Any], section: str, place: int = 0) -> None:
            cell = int(event["prediction_timestamp"] // CELL) * CELL * 1000
            carrier = event["features"].get("carrier")
            name = carrier if carrier in {"AA", "BB"} else "__other__"
            for segment in ("__all__", f"carrier={name}"):
                out[event["model_version"], segment, cell, section, place] += 1

        for event in self.backfilled:
            count(event, "backfill")
        for group in self._all_groups():
            truth = group.standing()
            for member in group.members:
                event = member.event
                count(event, "n")
                said = int(event["prediction_label"] == "late")
                count(event, "prediction", said)
                count(event, "score", int(event["prediction_score"] * 101))
                kind = event["features"].get("kind")
                count(event, "feature:kind", {"a": 0, "b": 1, None: 3}.get(kind, 4))
                if truth is not None:
                    count(event, "labelled")
                    count(event, "confusion", 2 * int(truth["actual_label"] == "late") + said)
        return out

    def outcomes(self) -> list[tuple[str, int, bytes]]:
        """Errors of matured cells, for predictions and labels that came before their cell had matured."""
        found: dict[tuple[str, int], list[tuple[float, str, int]]] = {}
        done = min(self.p_mark, self.l_mark)
        for group in self._all_groups():
            for member in group.members:
                cell = member.at // CELL * CELL
                matures = cell + CELL + MATURITY
                before = [label for label, mark in group.taken if mark < matures]
                if (
                    cell != group.anchor // CELL * CELL
                    or matures > done
                    or member.found >= matures
                    or not before
                    or before[-1].get("retracted")
                ):
                    continue
                wrong = int((before[-1]["actual_label"] == "late") != (member.event["prediction_label"] == "late"))
                entry = (member.at, member.event["prediction_id"], wrong)
                found.setdefault((member.event["model_version"], int(cell * 1000)), []).append(entry)
        return sorted((version, cell, bytes(sorted(e[2] for e in errors))) for (version, cell), errors in found.items())
