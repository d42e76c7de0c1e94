"""The mathematics of Plumbline: what is counted, and what may be concluded from the counts.

Everything here is a function of mergeable counts; there is no clock, no input or output and no global
state. `binning`, `latency` and `regression` turn values into slots; `baseline` says what a reference is
worth; `bounded_mean` and `distribution` turn a window's counts into log-bets; `sequential` and `budget`
accumulate them into evidence with a controlled number of false alarms. `MeanMonitor` and `DriftMonitor` put
these together for arrays: reference in, windows in, verdicts out. The other modules are the metrics shown
beside a verdict.
"""

from detectors.baseline import (
    MINIMUM_CELLS,
    Baseline,
    Inflation,
    clopper_pearson_lower,
    clopper_pearson_upper,
    distribution_inflation,
    estimate_baseline,
    variance_inflation,
)
from detectors.binning import CategoricalBins, FeatureBins, NumericBins, bins_from_dict
from detectors.bounded_mean import BoundedMean
from detectors.classification import (
    N_SCORE_BINS,
    classification_metrics,
    encode_scores,
    score_loss_table,
    score_metrics,
)
from detectors.distribution import DistributionBets, shrink
from detectors.divergences import (
    Companion,
    NullQuantiles,
    companions,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    pearson,
    psi,
    simulate_null,
    wasserstein,
)
from detectors.drift_monitor import DriftMonitor, DriftVerdict
from detectors.fairness import (
    BettingPairTest,
    Gap,
    GroupCounts,
    Rate,
    compare_groups,
    equalised_odds_difference,
    group_rates,
    newcombe_difference,
    wilson_interval,
)
from detectors.labels import coverage, delay_quantiles, share_within
from detectors.latency import COST_BINS, DELAY_BINS, LATENCY_BINS, LogBins
from detectors.mean_monitor import MeanMonitor
from detectors.outcomes import OUTCOME_DETECTORS, OutcomeDetector, make_outcome_detector
from detectors.regression import ResidualBins, regression_metrics
from detectors.sequential import (
    DISTRIBUTION_GRID,
    MEAN_GRID,
    EProcess,
    ShiryaevRoberts,
    budget_threshold,
    e_benjamini_hochberg,
    weighted_statistic,
)
from detectors.verdict import Status, Verdict

__all__ = [
    "COST_BINS",
    "DELAY_BINS",
    "DISTRIBUTION_GRID",
    "LATENCY_BINS",
    "MEAN_GRID",
    "MINIMUM_CELLS",
    "N_SCORE_BINS",
    "OUTCOME_DETECTORS",
    "Baseline",
    "BettingPairTest",
    "BoundedMean",
    "CategoricalBins",
    "Companion",
    "DistributionBets",
    "DriftMonitor",
    "DriftVerdict",
    "EProcess",
    "FeatureBins",
    "Gap",
    "GroupCounts",
    "Inflation",
    "LogBins",
    "MeanMonitor",
    "NullQuantiles",
    "NumericBins",
    "OutcomeDetector",
    "Rate",
    "ResidualBins",
    "ShiryaevRoberts",
    "Status",
    "Verdict",
    "bins_from_dict",
    "budget_threshold",
    "classification_metrics",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "companions",
    "compare_groups",
    "coverage",
    "delay_quantiles",
    "distribution_inflation",
    "e_benjamini_hochberg",
    "encode_scores",
    "equalised_odds_difference",
    "estimate_baseline",
    "group_rates",
    "hellinger",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "make_outcome_detector",
    "newcombe_difference",
    "pearson",
    "psi",
    "regression_metrics",
    "score_loss_table",
    "score_metrics",
    "share_within",
    "shrink",
    "simulate_null",
    "variance_inflation",
    "wasserstein",
    "weighted_statistic",
    "wilson_interval",
]
