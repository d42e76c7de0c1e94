"""ControlView: control events folded in log order; answers what is in force for a model and a cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from schemas import topics
from schemas.base import Event, milliseconds
from schemas.deployments import DeploymentEvent, ValidationEvent
from schemas.identifiers import model_key, split_model_key
from schemas.models import ANY_MODEL, NAME_PATTERN, ModelSpec
from schemas.monitors import Monitor, default_monitors, has_signal
from schemas.references import Reference
from streams.control.contradictions import CONTRADICTIONS, ControlError, check_monitor, check_plan, check_reference
from streams.control.plan import Plan, make_plan
from streams.engine.processor import Record

_MESSAGE_CHARS = 500
_NAME = re.compile(NAME_PATTERN)


class _Dated(Protocol):
    @property
    def effective_from(self) -> datetime | None: ...


T = TypeVar("T", bound=_Dated)


class ControlView:
    """What was published on the control topics, and the plans that follow from it.

    Reading is pure: the same records in the same order give the same answers. `revision` grows with each record, so
    that callers can keep what they derived.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.rejected: list[str] = []
        """Records that could not be read, in words; newest last, at most 100."""
        self.n_rejected = 0
        self._specs: dict[str, list[ModelSpec]] = {}
        self._monitors: dict[str, dict[str, list[Monitor]]] = {}
        self._references: dict[str, list[Reference]] = {}
        self._deployments: dict[str, dict[str, DeploymentEvent]] = {}
        self._validations: dict[str, list[ValidationEvent]] = {}
        self._plans: dict[str, Plan] = {}
        self._plan_cache: dict[tuple[str, int], Plan] = {}
        self._listeners: list[Callable[[str, str], None]] = []

    def apply_record(self, topic: str, record: Record) -> None:
        """Fold one record; `topic` is the table's name. A record that cannot be read is kept in `rejected`."""
        if record.value is None:
            return
        try:
            self.apply(topic, record.value)
        except ValueError as error:  # pydantic's ValidationError is one
            self.n_rejected += 1
            self.rejected = [*self.rejected[-99:], f"{topic}, offset {record.offset}: {str(error)[:_MESSAGE_CHARS]}"]

    def apply(self, topic: str, value: bytes) -> None:
        """Fold one event, if every plan that follows from it can be made: what is in force must not stop a worker.

        Raises
        ------
        pydantic.ValidationError
            Where the value is not what the topic carries.
        ControlError
            Where it contradicts itself, or what was published before; then it changes nothing.
        """
        key, history, event = self._place(topic, value)
        if history is None:
            return
        if not _NAME.match(event.environment):
            self._prune()
            msg = f"environment = {event.environment[:60]!r}: expected letters, digits, '.', '_' and '-'"
            raise ControlError(msg)
        history.append(event)
        try:
            plans = [plan for each in self._affected(topic, key) for plan in self._derived(each)]
            for plan in plans:
                check_plan(plan)
            if isinstance(event, Reference):
                check_reference(event)
            elif isinstance(event, Monitor):
                check_monitor(event)
        except CONTRADICTIONS as error:
            history.pop()
            self._prune()
            msg = f"{key}: {type(event).__name__} contradicts itself or what was published before: {error}"
            raise ControlError(msg) from error
        if isinstance(event, DeploymentEvent):
            self._deployments.setdefault(key, {})[event.deployment_id] = event
        self._plans.update({plan.plan_id: plan for plan in plans})
        self.revision += 1
        self._plan_cache.clear()

    def _place(self, topic: str, value: bytes) -> tuple[str, list[Any] | None, Any]:
        """Read an event: its model's key, the history that it continues, and the event; no history for other topics."""
        if topic == topics.MODELS.name:
            spec = ModelSpec.model_validate_json(value)
            key = model_key(spec.environment, spec.model_name)
            return key, self._specs.setdefault(key, []), spec
        if topic == topics.MONITORS.name:
            monitor = Monitor.model_validate_json(value)
            key = model_key(monitor.environment, monitor.model_name)
            return key, self._monitors.setdefault(key, {}).setdefault(monitor.monitor_id, []), monitor
        if topic == topics.REFERENCES.name:
            reference = Reference.model_validate_json(value)
            return _key(reference), self._references.setdefault(_key(reference), []), reference
        if topic == topics.DEPLOYMENTS.name:
            return _key(event := DeploymentEvent.model_validate_json(value)), [], event
        if topic == topics.VALIDATIONS.name:
            validation = ValidationEvent.model_validate_json(value)
            return _key(validation), self._validations.setdefault(_key(validation), []), validation
        return "", None, None

    def _prune(self) -> None:
        """A model that nothing was accepted of is not known."""
        histories: list[dict[str, Any]] = [self._specs, self._references, self._validations]
        for each in [*histories, *self._monitors.values()]:
            for key in [key for key, history in each.items() if not history]:
                del each[key]
        for key in [key for key, by_id in self._monitors.items() if not by_id]:
            del self._monitors[key]

    def _affected(self, topic: str, key: str) -> list[str]:
        """Models whose plans may follow from an event of a topic."""
        if topic not in {topics.MODELS.name, topics.MONITORS.name, topics.REFERENCES.name}:
            return []
        environment, model_name = split_model_key(key)
        if model_name != ANY_MODEL:
            return [key]
        known = {each for each in (*self._specs, *self._references) if split_model_key(each)[0] == environment}
        # And one that nobody has announced: what is said of all models holds for it too.
        return sorted({model_key(environment, "undeclared"), *known})

    def _derived(self, key: str) -> list[Plan]:
        """Every plan that ever was in force: rows counted under it may still get labels."""
        references: list[Reference | None] = list(self._references.get(key, [])) or [None]
        specs = self._specs.get(key, []) or [self._inferred(key)]
        return [make_plan(spec, reference, self.monitors(key)) for spec in specs for reference in references]

    @staticmethod
    def _inferred(key: str) -> ModelSpec:
        environment, model_name = split_model_key(key)
        return ModelSpec(environment=environment, model_name=model_name, inferred=True)

    def model_keys(self) -> list[str]:
        """Models with a ModelSpec of their own, by `environment/model`."""
        return sorted(key for key in self._specs if not key.endswith("/" + ANY_MODEL))

    def spec(self, key: str, cell_ms: int | None = None) -> ModelSpec:
        """The ModelSpec in force for a cell (the newest without one); inferred where nobody published it."""
        environment, model_name = split_model_key(key)
        of_model = self._specs.get(key)
        if of_model:
            return _in_force(of_model, cell_ms)
        of_all = self._specs.get(model_key(environment, ANY_MODEL))
        if of_all:
            return _in_force(of_all, cell_ms).model_copy(update={"model_name": model_name})
        return self._inferred(key)

    def monitors(self, key: str, cell_ms: int | None = None) -> tuple[Monitor, ...]:
        """The monitors in force for a cell, sorted by id; those for all models give way to the model's own.

        Of those for all models only what a model of this task has.
        """
        environment, _ = split_model_key(key)
        task = self.spec(key, cell_ms).task
        of_all = self._monitors.get(model_key(environment, ANY_MODEL), {})
        fitting = {name: history for name, history in of_all.items() if has_signal(task, history[-1].signal)}
        by_id = {**fitting, **self._monitors.get(key, {})}
        if not by_id:
            return default_monitors(self.spec(key, cell_ms))
        chosen = (_in_force(history, cell_ms) for _, history in sorted(by_id.items()))
        return tuple(monitor for monitor in chosen if not monitor.retired)

    def reference(self, key: str, cell_ms: int) -> Reference | None:
        """The reference that a cell is held against; None before the first one takes effect."""
        started = [r for r in self._references.get(key, []) if _start(r) <= cell_ms]
        return started[-1] if started else None

    def references(self, key: str) -> list[Reference]:
        """Every reference of a model, in log order."""
        return list(self._references.get(key, []))

    def plan(self, key: str, cell_ms: int) -> Plan:
        """The plan under which a cell's events are counted.

        Before the first reference takes effect its bins are used already: counts are kept, nothing is judged.
        """
        cached = self._plan_cache.get((key, cell_ms))
        if cached is None:
            references = self._references.get(key)
            reference = _in_force(references, cell_ms) if references else None
            made = make_plan(self.spec(key, cell_ms), reference, self.monitors(key, cell_ms))
            cached = self._plans.setdefault(made.plan_id, made)
            self._plan_cache[key, cell_ms] = cached
        return cached

    def plans(self, key: str) -> list[Plan]:
        """Every plan that is in force for some cell: what a decoder must be ready for."""
        of_any = model_key(split_model_key(key)[0], ANY_MODEL)
        dated: list[_Dated] = [*self._specs.get(key, self._specs.get(of_any, [])), *self._references.get(key, [])]
        for owner in (of_any, key):
            dated += [monitor for history in self._monitors.get(owner, {}).values() for monitor in history]
        starts = sorted({int(_start(item)) for item in dated if item.effective_from is not None})
        cells = [starts[0] - 1, *starts] if starts else [0]
        return list({plan.plan_id: plan for plan in (self.plan(key, cell) for cell in cells)}.values())

    def plan_by_id(self, plan_id: str) -> Plan | None:
        """A plan that is or was in force; None where this view never saw it."""
        return self._plans.get(plan_id)

    def deployments(self, key: str) -> list[DeploymentEvent]:
        """Deployments of a model, in order of generation and time."""
        found = self._deployments.get(key, {}).values()
        return sorted(found, key=lambda d: (d.generation, d.deployed_at, d.deployment_id))

    def validations(self, key: str) -> list[ValidationEvent]:
        """What CI said of a model's versions, in log order."""
        return list(self._validations.get(key, []))


def _key(event: Event) -> str:
    fields: dict[str, Any] = dict(event)
    return model_key(fields["environment"], fields["model_name"])


def _start(item: _Dated) -> float:
    return float("-inf") if item.effective_from is None else milliseconds(item.effective_from)


def _in_force(history: Iterable[T], cell_ms: int | None) -> T:
    """The last one published of those that have started; before all of them, the one that starts first."""
    items = list(history)
    if cell_ms is None:
        return items[-1]
    started = [item for item in items if _start(item) <= cell_ms]
    return started[-1] if started else min(items, key=_start)
