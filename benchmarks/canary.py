"""Harmless candidates that are called harmful: a confidence sequence and a t-test, both looked at after every event.

    python -m benchmarks.canary

Two versions with the same error rate, pair by pair; and a ramp from 5 to 50 % of the traffic while the rate rises,
where the counts of each arm are pooled over time, as dashboards do. Ends with 1 where the sequence is wrong more often
than it may be.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import special, stats

from detectors.arms import STAKES

ALPHA = 0.05
RATE = 0.2


def wrong_at_once(n_runs: int, n_pairs: int, seed: int) -> dict[str, float]:
    """Share of harmless candidates that were ever called harmful, at `ALPHA`.

    Parameters
    ----------
    n_runs, n_pairs
        Candidates, and pairs of each; it is looked at after every pair from the 20th on.
    seed
        Of the events.
    """
    rng = np.random.default_rng(seed)
    sequence = t_test = 0
    limit = float(stats.norm.ppf(1 - ALPHA))
    for _ in range(n_runs):
        z = (rng.random(n_pairs) < RATE).astype(np.float64) - (rng.random(n_pairs) < RATE)
        log_capital = special.logsumexp(np.cumsum(np.log1p(np.multiply.outer(STAKES, z)), axis=1), axis=0)
        sequence += bool((log_capital - np.log(len(STAKES)) >= np.log(2 / ALPHA)).any())
        n = np.arange(1, n_pairs + 1)
        mean = np.cumsum(z) / n
        spread = np.sqrt(np.maximum(np.cumsum(z**2) / n - mean**2, 1e-12) / n)
        t_test += bool((mean / spread > limit)[19:].any())
    return {"confidence_sequence": sequence / n_runs, "repeated_t_test": t_test / n_runs}


def wrong_on_a_ramp(n_runs: int, n_cells: int, seed: int) -> dict[str, float]:
    """The same of a ramp from 5 to 50 % under a rate that rises from .1 to .5: pairs within cells, and pooled counts.

    Parameters
    ----------
    n_runs, n_cells
        Candidates, and cells of 400 events of each.
    seed
        Of the events.
    """
    rng = np.random.default_rng([seed, 1])
    rates, shares = np.linspace(0.1, 0.5, n_cells), np.linspace(0.05, 0.5, n_cells)
    limit = float(stats.norm.ppf(1 - ALPHA))
    sequence = pooled = 0
    for _ in range(n_runs):
        own = np.round(400 * shares).astype(int)
        other = 400 - own
        bad, other_bad = rng.binomial(own, rates), rng.binomial(other, rates)
        size = np.minimum(own, other)
        mine = rng.hypergeometric(bad, own - bad, size)
        theirs = rng.hypergeometric(other_bad, other - other_bad, size)
        both = rng.hypergeometric(mine, size - mine, theirs)
        worse, better = np.cumsum(mine - both), np.cumsum(theirs - both)
        logs = np.multiply.outer(np.log1p(STAKES), worse) + np.multiply.outer(np.log1p(-STAKES), better)
        sequence += bool((special.logsumexp(logs, axis=0) - np.log(len(STAKES)) >= np.log(2 / ALPHA)).any())
        p, q = np.cumsum(bad) / np.cumsum(own), np.cumsum(other_bad) / np.cumsum(other)
        spread = np.sqrt(p * (1 - p) / np.cumsum(own) + q * (1 - q) / np.cumsum(other))
        pooled += bool(((p - q) / np.maximum(spread, 1e-12) > limit)[2:].any())
    return {"confidence_sequence": sequence / n_runs, "pooled_z_test": pooled / n_runs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and a JSON line; 1 where the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    found = {
        "calm": wrong_at_once(given.runs, given.pairs, given.seed),
        "ramp": wrong_on_a_ramp(given.runs, 60, given.seed),
    }
    table = Table("stream", "test", "called harmful", title=f"harmless candidates, alpha = {ALPHA:g}")
    for stream, shares in found.items():
        for name, share in shares.items():
            table.add_row(stream, name.replace("_", " "), f"{share:.1%}")
    Console().print(table)
    print(json.dumps({"alpha": ALPHA, "runs": given.runs, **found}))
    allowed = ALPHA + 2 * (ALPHA * (1 - ALPHA) / given.runs) ** 0.5
    return int(any(shares["confidence_sequence"] > allowed for shares in found.values()))


if __name__ == "__main__":
    sys.exit(main())
