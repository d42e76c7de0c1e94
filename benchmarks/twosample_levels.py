"""How often each two-sample test says drift when nothing has changed: `python -m benchmarks.twosample_levels`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from detectors.twosample import CATEGORICAL_TESTS, NUMERIC_TESTS, Outcome, compare

ALPHA: Final = 0.01
SIZES: Final = ((500, 50), (2_000, 200), (5_000, 2_000))
_DRAWS: Final[dict[str, Callable[[np.random.Generator, int], Any]]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "ten categories": lambda rng, n: rng.choice(list("abcdefghij"), size=n, p=_SHARES),
}
_SHARES: Final = np.array([0.4, 0.2, 0.1, 0.1, 0.08, 0.05, 0.03, 0.02, 0.01, 0.01])


def measure(repetitions: int, seed: int) -> list[tuple[str, int, int, dict[str, float]]]:
    """Compare samples of the same distribution again and again.

    Returns
    -------
    list of tuple
        Distribution, size of the reference and of the sample, and the share of wrong answers by test.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name, draw in _DRAWS.items():
        for n_reference, n_current in SIZES:
            wrong: Counter[str] = Counter()
            for i in range(repetitions):
                before, now = draw(rng, n_reference), draw(rng, n_current)
                wrong.update(
                    each.test for each in compare(before, now, alpha=ALPHA, seed=i) if each.status is Outcome.DRIFT
                )
            rows.append((name, n_reference, n_current, {test: n / repetitions for test, n in wrong.items()}))
    return rows


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tests = [*NUMERIC_TESTS, *(name for name in CATEGORICAL_TESTS if name != "fisher")]
    print(f"| values | reference, now | {' | '.join(tests)} |")
    print(f"| --- | ---: |{' ---: |' * len(tests)}")
    for name, n_reference, n_current, shares in measure(options.repetitions, options.seed):
        cells = [
            f"{shares.get(test, 0.0):.3f}" if test in CATEGORICAL_TESTS or "categories" not in name else ""
            for test in tests
        ]
        print(f"| {name} | {n_reference:,}, {n_current:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
