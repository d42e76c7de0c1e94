"""Which column of a recorded file is what, and the ModelSpec that follows where none was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import ValidationError

from schemas.events import DEFAULT_ENVIRONMENT
from schemas.models import ModelSpec, TaskKind
from streams.control.bins import canonical_text
from streams.control.plan import POSITIVE_BY_DEFAULT
from streams.engine.errors import ConfigurationError

Kind = Literal["numeric", "categorical"]
_BINARY_CLASSES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """Names of columns; empty where a file has none.

    Without `id` a row's number is its id; without `label_timestamp` a label is known when its prediction is made;
    without `features` every column that is nothing else is one.
    """

    timestamp: str
    id: str = ""
    features: tuple[str, ...] = ()
    prediction: str = ""
    score: str = ""
    label: str = ""
    label_timestamp: str = ""
    segments: tuple[str, ...] = ()
    model_version: str = ""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """Columns whose kind is not to be inferred."""
    time_zone: str = "UTC"
    """Of times that name no zone."""

    def named(self) -> dict[str, str]:
        """Options that name a column, and which."""
        single = {
            "--timestamp": self.timestamp,
            "--id": self.id,
            "--prediction": self.prediction,
            "--score": self.score,
            "--label": self.label,
            "--label-timestamp": self.label_timestamp,
            "--model-version": self.model_version,
        }
        return {option: name for option, name in single.items() if name}

    def check(self, columns: Sequence[str], where: str, *, labels_apart: bool) -> ColumnMapping:
        """Hold the names against a file's columns, and fill in the features.

        Raises
        ------
        ConfigurationError
            Naming the option, the column that is not there, and those that are.
        """
        named = self.named()
        if labels_apart:
            named = {option: name for option, name in named.items() if not option.startswith("--label")}
        wanted = [
            *named.items(),
            *(("--features", name) for name in self.features),
            *(("--segment", name) for name in self.segments),
            *(("--kind", name) for name in self.kinds),
        ]
        check_columns(wanted, columns, where)
        if not (self.prediction or self.score):
            msg = f"--prediction and --score are missing: expected one of the columns of {where}: {', '.join(columns)}"
            raise ConfigurationError(msg)
        if self.features:
            return self
        taken = {*named.values(), *self.segments}
        return replace(self, features=tuple(name for name in columns if name not in taken))


def check_columns(wanted: Sequence[tuple[str, str]], columns: Sequence[str], where: str) -> None:
    """Refuse options that name columns which a file does not have."""
    for option, name in wanted:
        if name not in columns:
            msg = f"{option} is {name!r}: expected one of the columns of {where}: {', '.join(columns)}"
            raise ConfigurationError(msg)


def inferred_spec(
    mapping: ColumnMapping,
    predictions: Sequence[Any],
    *,
    model_name: str,
    task: TaskKind | None = None,
    positive_class: str | None = None,
    cell: timedelta | None = None,
) -> ModelSpec:
    """Make the ModelSpec of a recording for which nobody wrote one.

    Parameters
    ----------
    mapping
        Names the segments.
    predictions
        Some values of the prediction column, None left out; empty where there are scores alone.
    model_name, task, positive_class, cell
        What is known; a task that is not known is a regression where a prediction has a fraction, else it follows
        from the number of classes.

    Raises
    ------
    ConfigurationError
        Where what is known contradicts itself.
    """
    if task is None:
        names = {canonical_text(value) for value in predictions}
        fractional = any(isinstance(value, float) and not value.is_integer() for value in predictions)
        few = len(names) <= _BINARY_CLASSES
        task = TaskKind.REGRESSION if fractional else TaskKind.BINARY if few else TaskKind.MULTICLASS
    fields: dict[str, Any] = {
        "environment": DEFAULT_ENVIRONMENT,
        "model_name": model_name,
        "task": task,
        "positive_class": positive_class,
        "segments": mapping.segments,
        "time_zone": mapping.time_zone,
    }
    if cell is not None:
        fields["cell"] = cell
    if not mapping.label_timestamp:
        fields["maturity"] = timedelta(0)
    try:
        return ModelSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        msg = f"--model, --task, --positive-class, --segment or --cell: {first['msg'].removeprefix('Value error, ')}"
        raise ConfigurationError(msg) from error


def check_positive_class(spec: ModelSpec, predictions: Sequence[Any]) -> None:
    """Refuse a binary model of which nobody says which class is the positive one.

    Parameters
    ----------
    spec
        One that names the class, or is not binary, is well.
    predictions
        Some values of the prediction column.

    Raises
    ------
    ConfigurationError
        Where none of them is positive by its name: which one is meant is then for a person to say.
    """
    if spec.task is not TaskKind.BINARY or spec.positive_class is not None or not predictions:
        return
    names = sorted({name for value in predictions if (name := canonical_text(value)) is not None})
    if not POSITIVE_BY_DEFAULT & set(names):
        msg = f"--positive-class is missing: expected one of the predicted classes: {', '.join(names[:10])}"
        raise ConfigurationError(msg)
