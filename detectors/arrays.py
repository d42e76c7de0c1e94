"""Array types of this package, and the checks that every table of counts goes through."""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
CodeArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def as_counts(counts: npt.ArrayLike, *, name: str, ndim: int = 1) -> FloatArray:
    """Return counts as a float64 array, checked.

    Real values are allowed: effective counts and shrunk probabilities are counts as well.

    Parameters
    ----------
    counts
        Array-like with `ndim` axes.
    name
        The argument's name, for the error.
    ndim
        Axes expected.

    Returns
    -------
    numpy.ndarray
        The same shape, float64.

    Raises
    ------
    ValueError
        If the number of axes differs, or a count is negative, NaN or infinite.
    """
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{name}: shape {array.shape} given, expected {ndim} axes")
    if array.size and not (array.min() >= 0.0 and array.max() < np.inf):
        raise ValueError(f"{name}: {array.min()} to {array.max()} given, expected finite counts of at least 0")
    return array


def check_between(name: str, value: float, lower: float, upper: float) -> None:
    """Raise unless a setting lies strictly between two bounds (NaN never does).

    Parameters
    ----------
    name
        The setting's name, for the error.
    value
        Its value.
    lower, upper
        Open bounds.

    Raises
    ------
    ValueError
        Naming the setting, its value and the bounds.
    """
    if not lower < value < upper:
        raise ValueError(f"{name}: {value!r} given, expected a number above {lower} and below {upper}")


def check_at_least(name: str, value: float, lower: float) -> None:
    """Raise unless a setting is finite and at least a bound.

    Parameters
    ----------
    name
        The setting's name, for the error.
    value
        Its value.
    lower
        Closed lower bound.

    Raises
    ------
    ValueError
        Naming the setting, its value and the bound.
    """
    if not lower <= value < float("inf"):
        raise ValueError(f"{name}: {value!r} given, expected a finite number of at least {lower}")


def code_dtype(n_slots: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest unsigned type that holds the codes of `n_slots` slots.

    Parameters
    ----------
    n_slots
        Number of slots; codes run from 0 to `n_slots - 1`.

    Returns
    -------
    type
        `numpy.uint8` up to 256 slots, else `numpy.uint16`.

    Raises
    ------
    ValueError
        If there are more slots than uint16 can number.
    """
    if n_slots > 1 << 16:
        raise ValueError(f"n_slots: {n_slots} given, expected at most {1 << 16}")
    return np.uint8 if n_slots <= 1 << 8 else np.uint16
