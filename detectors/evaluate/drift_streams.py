"""Streams in which something changes: the errors of a model that was trained before, on river's generators.

A Hoeffding tree learns the first 1,000 events of a concept and is then frozen, as a deployed model is. The next 10,000
are the reference. Of the watched ones the first 200 still follow the old concept; then `ConceptDriftStream` goes over
to another one, at once or over 1,000 events. Every stream has a twin without a change, with the same model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np
from river import tree
from river.datasets import base, synth

from detectors.arrays import FloatArray
from detectors.evaluate.real_data import delays_of_flights, flights_in_rows
from detectors.evaluate.sample import Sample

N_TRAINING: Final = 1_000
N_REFERENCE: Final = 10_000
CELL: Final = 20
N_BEFORE: Final = 200
"""Watched events before the change."""
ABRUPT: Final = 2
"""Width of an abrupt change, in events; `ConceptDriftStream` overflows at 1."""
GRADUAL: Final = 1_000
"""Events over which a gradual change comes."""
_MINUTES_IN_AN_HOUR: Final = 60.0

FLIGHTS: Final = "flights"

Concept = Callable[[int], base.SyntheticDataset]


@dataclass(frozen=True, slots=True)
class Recipe:
    """A concept, and the one that follows it; both take a seed."""

    name: str
    before: Concept
    after: Concept


RECIPES: Final = (
    Recipe("sea", lambda s: synth.SEA(variant=0, seed=s), lambda s: synth.SEA(variant=3, seed=s)),
    Recipe(
        "agrawal",
        lambda s: synth.Agrawal(classification_function=0, seed=s),
        lambda s: synth.Agrawal(classification_function=3, seed=s),
    ),
    Recipe(
        "stagger",
        lambda s: synth.STAGGER(classification_function=0, seed=s),
        lambda s: synth.STAGGER(classification_function=1, seed=s),
    ),
    Recipe(
        "led",
        lambda s: synth.LEDDrift(seed=s, noise_percentage=0.1, irrelevant_features=True, n_drift_features=0),
        lambda s: synth.LEDDrift(seed=s, noise_percentage=0.1, irrelevant_features=True, n_drift_features=5),
    ),
    Recipe(
        "hyperplane",
        lambda s: synth.Hyperplane(seed=s, n_features=10),
        lambda s: synth.Hyperplane(seed=s + 100_000, n_features=10),
    ),
    Recipe(
        "random_rbf",
        lambda s: synth.RandomRBF(seed_model=s, seed_sample=s, n_classes=2, n_features=10, n_centroids=20),
        lambda s: synth.RandomRBF(seed_model=s + 100_000, seed_sample=s, n_classes=2, n_features=10, n_centroids=20),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCase:
    """A stream that changes, and its twin that does not: the one gives delays, the other false alarms."""

    name: str
    is_abrupt: bool
    changed: Sample
    null: Sample


def drift_names() -> list[str]:
    """Names of the generators, and of the recorded data."""
    return [*(recipe.name for recipe in RECIPES), FLIGHTS]


def drift_cases(name: str, n_runs: int, n_watched: int, seed: int) -> list[DriftCase]:
    """Draw the abrupt and the gradual change of one generator, or the recorded data.

    Parameters
    ----------
    name
        One of `drift_names`.
    n_runs
        Repetitions.
    n_watched
        Events of a repetition after the reference, the 200 before the change among them.
    seed
        First seed of the generators; a repetition takes one of its own.
    """
    if name == FLIGHTS:
        return [_flights(n_runs, n_watched, seed), _units(n_runs, n_watched, seed)]
    recipe = next(each for each in RECIPES if each.name == name)
    runs = [_run(recipe, seed + run, n_watched) for run in range(n_runs)]
    null = _sample(name, [run[0] for run in runs])
    return [
        DriftCase(
            name=f"{name}_{kind}",
            is_abrupt=kind == "abrupt",
            changed=_sample(f"{name}_{kind}", [run[index] for run in runs], change=N_REFERENCE + N_BEFORE),
            null=null,
        )
        for kind, index in (("abrupt", 1), ("gradual", 2))
    ]


class _Later(base.SyntheticDataset):
    """A stream without its first events: the model and the reference have had them."""

    def __init__(self, inner: base.SyntheticDataset, n_skipped: int) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            task=inner.task, n_features=inner.n_features, n_classes=inner.n_classes
        )
        self._inner = inner
        self._n_skipped = n_skipped

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._inner), self._n_skipped, None)


def _run(recipe: Recipe, seed: int, n_watched: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors without a change, with an abrupt and with a gradual one; the reference first."""
    events = iter(recipe.before(seed))
    model: Any = tree.HoeffdingTreeClassifier(grace_period=100)
    for features, label in islice(events, N_TRAINING):
        model.learn_one(features, label)
    null = _errors(model, events, N_REFERENCE + n_watched)
    drifted = []
    for width in (ABRUPT, GRADUAL):
        stream = synth.ConceptDriftStream(
            _Later(recipe.before(seed), N_TRAINING + N_REFERENCE),
            recipe.after(seed + 50_000),
            position=N_BEFORE + width // 2,  # the transition is a logistic curve: half of it lies before its middle
            width=width,
            seed=seed,
        )
        drifted.append(np.concatenate([null[:N_REFERENCE], _errors(model, iter(stream), n_watched)]))
    return null, drifted[0], drifted[1]


def _errors(model: Any, events: Iterator[Any], n: int) -> FloatArray:
    wrong = (model.predict_one(x) != y for x, y in islice(events, n))
    return np.fromiter(wrong, dtype=np.float64, count=n)


def _sample(name: str, rows: list[FloatArray], *, change: int | None = None) -> Sample:
    return Sample(name=name, kind="errors", values=np.array(rows), n_reference=N_REFERENCE, change=change, cell=CELL)


def _flights(n_runs: int, n_watched: int, seed: int) -> DriftCase:
    """Whether flights are late, by a tree; then their departure delays come in hours where they were minutes."""
    rows = flights_in_rows()
    n = N_REFERENCE + n_watched
    null, changed = [], []
    for run in range(n_runs):
        chosen = np.random.default_rng([seed, run]).choice(len(rows), N_TRAINING + n, replace=False).tolist()
        model: Any = tree.HoeffdingTreeClassifier(grace_period=100)
        for i in chosen[:N_TRAINING]:
            model.learn_one(*rows[i])
        events = [rows[i] for i in chosen[N_TRAINING:]]
        broken = ({**x, "dep_delay": x["dep_delay"] / _MINUTES_IN_AN_HOUR} for x, _ in events)
        sound = _errors(model, iter(events), n)
        late = [y for _, y in events]
        start = N_REFERENCE + N_BEFORE
        after = _errors(model, islice(zip(broken, late, strict=True), start, None), n - start)
        null.append(sound)
        changed.append(np.concatenate([sound[:start], after]))
    name = f"{FLIGHTS}_in_hours_abrupt"
    return DriftCase(
        name=name,
        is_abrupt=True,
        changed=_sample(name, changed, change=N_REFERENCE + N_BEFORE),
        null=_sample(FLIGHTS, null),
    )


def _units(n_runs: int, n_watched: int, seed: int) -> DriftCase:
    """Departure delays in random order, in hours where they were minutes."""
    n = N_REFERENCE + n_watched
    delays = delays_of_flights()
    rows = np.array([np.random.default_rng([seed, run]).choice(delays, n, replace=False) for run in range(n_runs)])
    null = Sample(name="flight_delays", kind="values", values=rows, n_reference=N_REFERENCE, cell=CELL)
    change = N_REFERENCE + N_BEFORE
    broken = np.concatenate([rows[:, :change], rows[:, change:] / _MINUTES_IN_AN_HOUR], axis=1)
    changed = replace(null, name="delays_in_hours_values", values=broken, change=change)
    return DriftCase(name=changed.name, is_abrupt=True, changed=changed, null=null)
