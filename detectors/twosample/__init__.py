"""Two samples compared once, for notebooks and gates: a reference, and what came now.

Every test has a threshold that knows the sizes of both samples. A test that is asked again and again as data arrives
needs an e-detector instead (`detectors.sequential`): at a level of .001 one look in a thousand is wrong, not one year.

>>> import numpy as np
>>> rng = np.random.default_rng(1)
>>> before, now = rng.normal(0.0, 1.0, 2_000), rng.normal(0.4, 1.0, 500)
>>> for found in compare(before, now, tests=("ks", "wasserstein", "psi")):
...     print(found.test, found.status, round(found.statistic, 2))
ks drift 0.18
wasserstein drift 0.39
psi drift 0.19
>>> compare(before, [None, None], tests=("ks",))[0].why
'0 values now: expected at least 2'
"""

from detectors.twosample.comparing import CATEGORICAL_TESTS, NUMERIC_TESTS, compare
from detectors.twosample.result import Comparison, Outcome

__all__ = ["CATEGORICAL_TESTS", "NUMERIC_TESTS", "Comparison", "Outcome", "compare"]
