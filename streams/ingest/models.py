"""The models that a worker follows: bounded, and named by whoever sends the first event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from schemas.identifiers import model_key
from schemas.models import NAME_PATTERN
from streams.control.view import ControlView
from streams.ingest.columns import Interner
from streams.ingest.rejection import Reason, RejectedError, wrong

_NAME: Final = re.compile(NAME_PATTERN)


class ModelNames:
    """One model's names, as codes."""

    def __init__(self, key: str, *, versions: list[str] | None = None, labels: list[str] | None = None) -> None:
        self.key = key
        self.versions = Interner(versions or [])
        self.labels = Interner(labels or [])


class Models:
    """Every model that is followed, by `environment/model`.

    Parameters
    ----------
    control
        Models that were declared belong to it from the start.
    max_models
        The bound; events of further models are refused.
    """

    def __init__(self, control: ControlView, *, max_models: int) -> None:
        self.control = control
        self._max_models = max_models
        self._names: dict[str, ModelNames] = {}

    def __iter__(self) -> Iterator[ModelNames]:
        return iter(self._names.values())

    def get(self, key: str) -> ModelNames | None:
        """A model that is followed already."""
        return self._names.get(key)

    def add(self, names: ModelNames) -> None:
        """Follow a model whatever the bound, as it was followed before a restart."""
        self._names[names.key] = names

    def follow(self, environment: str, model_name: str) -> ModelNames:
        """Return a model's names; a new model is followed from here.

        Raises
        ------
        RejectedError
            Where a name is none, or the bound is reached.
        """
        key = model_key(environment, model_name)
        names = self._names.get(key)
        if names is None:
            names = self._names[key] = self._admitted(key, environment, model_name)
        return names

    def _admitted(self, key: str, environment: str, model_name: str) -> ModelNames:
        for field, value in (("environment", environment), ("model_name", model_name)):
            if not _NAME.match(value):
                raise wrong(field, value, "up to 128 letters, digits, '.', '_' and '-', the first a letter or digit")
        if len(self._names) >= self._max_models:
            message = f"model_name = {model_name!r}: expected at most {self._max_models} models (ingest.max_models)"
            raise RejectedError(Reason.TOO_MANY_MODELS, message)
        return ModelNames(key)

    def attributed(self, environment: object, model_name: object) -> str | None:
        """Return the key of the model that a broken record was meant for, where that can be told; it is followed."""
        if not isinstance(environment, str) or not isinstance(model_name, str):
            return None
        try:
            return self.follow(environment, model_name).key
        except RejectedError:
            return None
