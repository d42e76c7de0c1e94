"""The two contestants that every other one has to beat: it never fires, and it always does."""

from dataclasses import dataclass

import numpy as np

from detectors.evaluate.e_detector import BoolArray
from detectors.evaluate.sample import Sample


@dataclass(frozen=True, slots=True)
class Constant:
    """Fires at every event, or at none.

    Parameters
    ----------
    name
        Shown in the tables.
    fires
        Whether it does.
    """

    name: str
    fires: bool

    def alarms(self, sample: Sample) -> BoolArray:
        """Return booleans of shape (R, watched events), all the same."""
        return np.full((sample.n_runs, sample.n_watched), self.fires)


NEVER = Constant("never fires", False)
ALWAYS = Constant("always fires", True)
