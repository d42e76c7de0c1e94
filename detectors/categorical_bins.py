"""Bins of a categorical feature: from a text to a small code."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

import numpy as np

from detectors.arrays import CodeArray, check_at_least, code_dtype

MAXIMUM_KNOWN_REST: Final = 1000
"""Known categories beyond the top ones that are told from unseen ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalBins:
    """Slots of a categorical feature: the categories, other (known, but not a top one), missing, unseen.

    Parameters
    ----------
    name
        The feature's name.
    categories
        Those with a slot of their own, most frequent first.
    known_rest
        At most 1,000 others that the reference saw; what lies beyond counts as unseen, in the reference as
        well.

    Raises
    ------
    ValueError
        If a category occurs twice or `known_rest` is too long.
    """

    name: str
    categories: tuple[str, ...]
    known_rest: tuple[str, ...] = ()
    _slots: dict[str | None, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.known_rest) > MAXIMUM_KNOWN_REST:
            raise ValueError(
                f"known_rest: {len(self.known_rest)} categories given, expected at most {MAXIMUM_KNOWN_REST}"
            )
        slots: dict[str | None, int] = {value: slot for slot, value in enumerate(self.categories)}
        slots |= dict.fromkeys(self.known_rest, self.other_slot)
        if len(slots) != len(self.categories) + len(self.known_rest):
            raise ValueError(f"categories: a category of {self.name!r} given twice, expected each once")
        slots[None] = self.missing_slot
        object.__setattr__(self, "_slots", slots)

    @property
    def other_slot(self) -> int:
        """The slot of categories that the reference knows but that are not among its top ones."""
        return len(self.categories)

    @property
    def missing_slot(self) -> int:
        """The slot of None."""
        return len(self.categories) + 1

    @property
    def unseen_slot(self) -> int:
        """The slot of categories that the reference never saw."""
        return len(self.categories) + 2

    @property
    def n_slots(self) -> int:
        """All slots."""
        return len(self.categories) + 3

    @property
    def indicators(self) -> tuple[str, ...]:
        """Names of the slots after the categories, in their order."""
        return ("other", "missing", "unseen")

    @property
    def vocabulary(self) -> dict[str, int]:
        """The slot of every known category; a fresh dictionary."""
        return {value: slot for value, slot in self._slots.items() if value is not None}

    def labels(self) -> list[str]:
        """Return a readable name for every slot, in their order; a category follows "= "."""
        return [*(f"= {category}" for category in self.categories), *self.indicators]

    def encode(self, values: Sequence[str | None]) -> CodeArray:
        """Return the slot of each value.

        Parameters
        ----------
        values
            Length n; None is missing, an unknown text is unseen.

        Returns
        -------
        numpy.ndarray
            Shape (n,), uint8, or uint16 with more than 256 slots.
        """
        codes = map(self._slots.get, values, repeat(self.unseen_slot))
        return np.fromiter(codes, dtype=code_dtype(self.n_slots), count=len(values))

    def encode_known(self, values: Sequence[object]) -> CodeArray:
        """Return the slot of each value, all of which are known categories or None: the quick way.

        Parameters
        ----------
        values
            Length n.

        Returns
        -------
        numpy.ndarray
            Shape (n,), uint8, or uint16 with more than 256 slots.

        Raises
        ------
        KeyError
            If a value is none of them.
        """
        codes = map(self._slots.__getitem__, values)  # type: ignore[arg-type]
        return np.fromiter(codes, dtype=code_dtype(self.n_slots), count=len(values))

    @classmethod
    def from_sample(cls, name: str, values: Sequence[str | None], *, top: int = 30) -> "CategoricalBins":
        """Take the most frequent categories of a reference; equal counts in alphabetical order.

        Parameters
        ----------
        name
            The feature's name.
        values
            Length n; None is left out.
        top
            Categories with a slot of their own, at least 1.

        Returns
        -------
        CategoricalBins
            Without categories if there is no value.

        Raises
        ------
        ValueError
            If `top` is below 1.
        """
        check_at_least("top", top, 1)
        counts = Counter(value for value in values if value is not None)
        ranked = sorted(counts, key=lambda value: (-counts[value], value))
        return cls(
            name=name,
            categories=tuple(ranked[:top]),
            known_rest=tuple(ranked[top : top + MAXIMUM_KNOWN_REST]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the bins as JSON-safe values."""
        return {
            "kind": "categorical",
            "name": self.name,
            "categories": list(self.categories),
            "known_rest": list(self.known_rest),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CategoricalBins":
        """Return the bins that `to_dict` described.

        Parameters
        ----------
        data
            With "name", "categories" and "known_rest".

        Returns
        -------
        CategoricalBins
            Equal to the original.

        Raises
        ------
        ValueError
            If a category occurs twice.
        """
        return cls(
            name=data["name"],
            categories=tuple(data["categories"]),
            known_rest=tuple(data.get("known_rest", ())),
        )
