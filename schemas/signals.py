"""Signals: everything that a monitor can watch, and what kinds of them there are."""

from __future__ import annotations

from enum import StrEnum


class Signal(StrEnum):
    """Everything that a monitor can watch."""

    FEATURE_DRIFT = "feature_drift"
    PREDICTION_DRIFT = "prediction_drift"
    MISSING_RATIO = "missing_ratio"
    UNSEEN_RATIO = "unseen_ratio"
    OUT_OF_RANGE_RATIO = "out_of_range_ratio"
    TYPE_VIOLATION_RATIO = "type_violation_ratio"
    SCHEMA_VIOLATION_RATIO = "schema_violation_ratio"
    RULE_VIOLATION_RATIO = "rule_violation_ratio"
    SERVING_ERROR_RATIO = "serving_error_ratio"
    LATENCY_P50 = "latency_p50"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    COST_P95 = "cost_p95"
    COST_MEAN = "cost_mean"
    VOLUME = "volume"
    SELECTION_RATE_DIFFERENCE = "selection_rate_difference"
    SELECTION_RATE_RATIO = "selection_rate_ratio"
    ERROR_RATE = "error_rate"
    ACCURACY = "accuracy"
    MISS_RATE = "miss_rate"
    RECALL = "recall"
    PRECISION = "precision"
    FALSE_DISCOVERY_RATE = "false_discovery_rate"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    F1 = "f1"
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    AUC = "auc"
    ECE = "ece"
    MAE = "mae"
    RMSE = "rmse"
    TRUE_POSITIVE_RATE_DIFFERENCE = "true_positive_rate_difference"
    FALSE_POSITIVE_RATE_DIFFERENCE = "false_positive_rate_difference"
    EQUALISED_ODDS_DIFFERENCE = "equalised_odds_difference"
    PREDICTIVE_PARITY_DIFFERENCE = "predictive_parity_difference"
    LABEL_COVERAGE = "label_coverage"
    LABEL_DELAY_P95 = "label_delay_p95"
    ESTIMATED_ACCURACY = "estimated_accuracy"
    ESTIMATED_PRECISION = "estimated_precision"
    ESTIMATED_RECALL = "estimated_recall"
    ESTIMATED_F1 = "estimated_f1"
    ESTIMATED_SPECIFICITY = "estimated_specificity"
    ESTIMATED_AUC = "estimated_auc"
    ESTIMATED_BRIER = "estimated_brier"
    ESTIMATED_BUSINESS_VALUE = "estimated_business_value"
    ESTIMATED_MAE = "estimated_mae"
    ESTIMATED_RMSE = "estimated_rmse"
    ESTIMATED_MAPE = "estimated_mape"
    ESTIMATOR_UNRELIABLE = "estimator_unreliable"
    CANARY_HARM = "canary_harm"
    PROMOTE_RECOMMENDED = "promote_recommended"
    CPU_RATIO = "cpu_ratio"
    GPU_RATIO = "gpu_ratio"
    MEMORY_BYTES = "memory_bytes"
    QUEUE_LENGTH = "queue_length"
    RESOURCE_COST_USD = "resource_cost_usd"


_FAIRNESS_OF_OUTCOMES = frozenset(
    {
        Signal.TRUE_POSITIVE_RATE_DIFFERENCE, Signal.FALSE_POSITIVE_RATE_DIFFERENCE, Signal.EQUALISED_ODDS_DIFFERENCE,
        Signal.PREDICTIVE_PARITY_DIFFERENCE,
    }
)  # fmt: skip
FAIRNESS_SIGNALS = _FAIRNESS_OF_OUTCOMES | {Signal.SELECTION_RATE_DIFFERENCE, Signal.SELECTION_RATE_RATIO}
"""Demographic parity (difference and ratio), equal opportunity, equalised odds, predictive parity."""

OUTCOME_SIGNALS = frozenset(
    {
        Signal.ERROR_RATE, Signal.ACCURACY, Signal.MISS_RATE, Signal.RECALL, Signal.PRECISION,
        Signal.FALSE_DISCOVERY_RATE, Signal.FALSE_POSITIVE_RATE, Signal.F1, Signal.LOG_LOSS, Signal.BRIER,
        Signal.AUC, Signal.ECE, Signal.MAE, Signal.RMSE, *_FAIRNESS_OF_OUTCOMES,
        Signal.LABEL_COVERAGE, Signal.LABEL_DELAY_P95, Signal.ESTIMATOR_UNRELIABLE,
    }
)  # fmt: skip
"""Signals that need labels: fed once a cell has matured."""

RESOURCE_SIGNALS = frozenset(
    {Signal.CPU_RATIO, Signal.GPU_RATIO, Signal.MEMORY_BYTES, Signal.QUEUE_LENGTH, Signal.RESOURCE_COST_USD}
)
"""Signals from `ml.resources.v1`."""

INPUT_DRIFT_SIGNALS = frozenset({Signal.FEATURE_DRIFT, Signal.PREDICTION_DRIFT})

ESTIMATE_SIGNALS = frozenset(signal for signal in Signal if signal.value.startswith("estimated_"))
"""Performance without labels: known when a cell's inputs are complete."""

NO_GROUND_TO_ACT = ESTIMATE_SIGNALS | {Signal.ESTIMATOR_UNRELIABLE}
"""They raise tickets, and never a page or a rollback."""

_REGRESSION_ESTIMATES = frozenset({Signal.ESTIMATED_MAE, Signal.ESTIMATED_RMSE, Signal.ESTIMATED_MAPE})
BINARY_ESTIMATES = ESTIMATE_SIGNALS - _REGRESSION_ESTIMATES - {Signal.ESTIMATED_ACCURACY}
"""Estimates that need a positive class."""

CANARY_SIGNALS = frozenset({Signal.CANARY_HARM, Signal.PROMOTE_RECOMMENDED})
"""Of a version beside another one: the lower bound of its harm; 1 once that is surely tolerable, else 0."""

THRESHOLD_ONLY_SIGNALS = frozenset(
    {
        Signal.F1, Signal.AUC, Signal.ECE, Signal.RMSE, Signal.COST_MEAN, Signal.VOLUME,
        *FAIRNESS_SIGNALS, *RESOURCE_SIGNALS,
        *ESTIMATE_SIGNALS, *CANARY_SIGNALS,
    }
)  # fmt: skip
"""Signals that are no mean of bounded events, so that no e-detector can bet on them."""

FEATURE_SIGNALS = frozenset(
    {
        Signal.FEATURE_DRIFT, Signal.MISSING_RATIO, Signal.UNSEEN_RATIO, Signal.OUT_OF_RANGE_RATIO,
        Signal.TYPE_VIOLATION_RATIO,
    }
)  # fmt: skip
"""Signals that every feature has for itself."""

REGRESSION_SIGNALS = frozenset({Signal.MAE, Signal.RMSE, *_REGRESSION_ESTIMATES})
"""Signals that only models with a value have."""

CLASS_SIGNALS = frozenset(
    {
        Signal.ERROR_RATE, Signal.ACCURACY, Signal.MISS_RATE, Signal.RECALL, Signal.PRECISION,
        Signal.FALSE_DISCOVERY_RATE, Signal.FALSE_POSITIVE_RATE, Signal.F1, Signal.LOG_LOSS, Signal.BRIER,
        Signal.AUC, Signal.ECE, *FAIRNESS_SIGNALS, Signal.ESTIMATED_ACCURACY, *BINARY_ESTIMATES,
        Signal.ESTIMATOR_UNRELIABLE,
    }
)  # fmt: skip
"""Signals that only models with classes have."""

BURN_SIGNALS = frozenset(
    {
        Signal.MISSING_RATIO, Signal.UNSEEN_RATIO, Signal.OUT_OF_RANGE_RATIO, Signal.TYPE_VIOLATION_RATIO,
        Signal.SCHEMA_VIOLATION_RATIO, Signal.RULE_VIOLATION_RATIO, Signal.SERVING_ERROR_RATIO, Signal.ERROR_RATE,
        Signal.ACCURACY, Signal.MISS_RATE, Signal.RECALL, Signal.PRECISION, Signal.FALSE_DISCOVERY_RATE,
        Signal.FALSE_POSITIVE_RATE, Signal.LABEL_COVERAGE,
    }
)  # fmt: skip
"""Ratios: signals that are bad events over events, which can have an error budget."""
