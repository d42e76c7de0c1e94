"""Brownian bridges, drawn once: what the gap of two distribution functions looks like when nothing has changed.

References
----------
Billingsley, "Convergence of Probability Measures" (1968).
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

N_BRIDGES: Final = 4_000
N_STEPS: Final = 1_024
_SEED: Final = 19_680_101


@cache
def absolute_bridges() -> npt.NDArray[np.float32]:
    """Return absolute values of bridges at the ranks 0, 1 / N_STEPS, ..., 1: shape (N_STEPS + 1, N_BRIDGES)."""
    walk = np.random.default_rng(_SEED).standard_normal((N_STEPS, N_BRIDGES)).cumsum(axis=0) / np.sqrt(N_STEPS)
    bridge = np.zeros((N_STEPS + 1, N_BRIDGES), dtype=np.float32)
    bridge[1:] = np.abs(walk - np.arange(1, N_STEPS + 1)[:, None] / N_STEPS * walk[-1])
    return bridge
