"""ModelState: everything the evaluator remembers of one model, in a form that goes to the changelog."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.profiles import Sample
from streams.engine.errors import ChangelogFormatError

FORMAT: Final = 2
"""1 held the series in the state itself, their evidence as lists."""
SERIES_IN_PARCEL: Final = 4_000
"""Series in one entry of the changelog: of 64 bets each about two and a half megabytes."""


class SourceState(msgspec.Struct):
    """A source partition, as this model knows it."""

    seq: int = 0
    parcel: int = 0
    """The last parcel of that commit which was merged."""
    predictions_ms: int | None = None
    labels_ms: int | None = None
    idle_since_ms: int | None = None
    """The source's wall clock when it first said that it was caught up with nothing new; None while it moves."""
    heard_ms: int = 0


class SeriesState(msgspec.Struct):
    """One series: its Shiryaev-Roberts evidence, and the mirrored test that clears an alarm."""

    evidence: bytes | list[float] = b""
    """The number of windows, then the log-components, as little-endian doubles; empty after a reset."""
    n_since_reset: int = 0
    clearing: list[float] | None = None
    """State of the mirrored e-process while an alarm of this series is in force."""
    statistic: float = 0.0
    value: float | None = None
    listing: bytes = b""
    """A second Shiryaev-Roberts state, zeroed once in a budget's period: what the list inside an alert rests on."""


class AlertState(msgspec.Struct):
    """An alert under way; times are event time in milliseconds."""

    alert_id: str
    fingerprint: str
    monitor_id: str
    model_version: str
    status: str
    since_ms: int
    """When the condition began."""
    sequence: int
    starts_at_ms: int
    updated_ms: int
    last_alarm_ms: int
    last_data_ms: int
    labels: dict[str, str]
    series: list[str] = []
    """Keys of the series that carry it."""
    severity: str = "ticket"
    body: bytes = b""
    """The last published alert, as JSON."""
    needs_labels: bool = False
    """Its monitor is fed by outcomes."""


class CellRecord(msgspec.Struct, array_like=True):
    """What stays of a matured cell of a version for the next deployments' baselines."""

    cell_ms: int
    n_predictions: int
    n: int
    n_bad: int
    drift: bool = False
    critical: bool = False
    n_labelled: int | None = None


class ArmState(msgspec.Struct):
    """A concurrent control of a deployment."""

    kind: str
    process: list[float] = []
    n: int = 0
    held: list[float] = []
    """Mirrored test: its rate is below what the version under test does at best."""


class DeploymentState(msgspec.Struct):
    """The evidence of one deployment since it began."""

    deployment_id: str
    generation: int
    model_version: str
    deployed_ms: int
    previous_version: str
    previous_deployment_id: str
    signal: str
    m0: float
    previous_upper: float
    previous_n: int
    previous_n_bad: int
    inflation: float
    process: list[float] = []
    fed_cells: list[int] = []
    n: int = 0
    n_bad: int = 0
    n_predictions: int = 0
    n_labelled: int = 0
    arms: dict[str, ArmState] = {}


class RecoveryState(msgspec.Struct):
    """What is seen after a rollback was executed."""

    rollback_id: str
    deployment_id: str
    failed_version: str
    target_version: str
    deployed_ms: int
    m0: float
    inflation: float
    n_failed_relevant: int
    """Events of the failed version that count, while it served."""
    n_failed_bad: int
    process: list[float] = []
    n_target: int = 0
    n_failed: int = 0
    n: int = 0
    n_bad: int = 0
    finished: bool = False


class ResourceCell(msgspec.Struct):
    """Resource events of one cell of one version."""

    cell_ms: int
    n: int = 0
    sums: dict[str, float] = {}


class Moves(msgspec.Struct, frozen=True, array_like=True):
    """How far features have moved further than usual: their sum, and the first few with the bin in words."""

    total: float = 0.0
    top: tuple[tuple[str, float, str], ...] = ()


class InputsSeen(msgspec.Struct, frozen=True, array_like=True):
    """What the inputs said when a cell's closed."""

    moves: Moves = Moves()
    raised: tuple[tuple[str, str, str], ...] = ()
    """Alerts on inputs: version, monitor, fingerprint."""


class BurnHistory(msgspec.Struct):
    """What a monitor's error budget was spent on: start in milliseconds, bad events, all events."""

    cells: list[tuple[int, int, int]] = []
    """Every cell of the longest window that is asked for."""
    folded: list[tuple[int, int, int]] = []
    """Older ones of the period, summed up."""


class CanaryState(msgspec.Struct):
    """Two arms that serve at the same time, since the share of traffic last changed."""

    name: str
    candidate: str
    baseline: str
    deployment_id: str
    since_ms: int
    traffic_ratio: float | None
    """Announced; None for a shadow, which sees everything."""
    pairs: tuple[int, int, int] = (0, 0, 0)
    """Pairs in which the candidate was worse, equal, better."""
    n_predictions: int = 0
    n_labelled: int = 0
    other_predictions: int = 0
    other_labelled: int = 0


class ModelState(msgspec.Struct):
    """One model, without the counts of its cells."""

    format: int = FORMAT
    n_sources: int = 0
    sources: dict[int, SourceState] = {}
    totals: dict[int, dict[str, int]] = {}
    inputs_closed_ms: int | None = None
    """End of the last cell whose inputs were closed."""
    outcomes_closed_ms: int | None = None
    series: dict[str, SeriesState] = {}
    alerts: dict[str, AlertState] = {}
    n_alerts: dict[str, int] = {}
    """Per fingerprint, how many alerts there have been: part of the alert's id."""
    history: dict[str, list[CellRecord]] = {}
    first_seen_ms: dict[str, int] = {}
    last_seen_ms: dict[str, int] = {}
    deployments: dict[str, DeploymentState] = {}
    recovery: RecoveryState | None = None
    samples: list[Sample] = []
    feature_kinds: dict[str, str] = {}
    resources: dict[str, ResourceCell] = {}
    river: dict[str, bytes] = {}
    """Per series, the state of a detector that reads sequences."""
    burns: dict[str, BurnHistory] = {}
    """Per `version|monitor`, what was spent of its error budget."""
    outcomes: dict[str, list[bytes]] = {}
    """Per `version@cell`, matured outcomes that wait for their window, as they came."""
    outcome_sources: dict[str, list[int]] = {}
    """By the same key, which source partition each of them is from."""
    moves: dict[str, str] = {}
    """Per feature, the bin that moved most, in words."""
    moved: dict[str, float] = {}
    """Per feature, the last window's population stability index, less what is usual: for explanations."""
    usual: dict[str, float] = {}
    """Per feature, the running mean of that index: a season that came slowly explains no sudden harm."""
    inputs_seen: dict[int, InputsSeen] = {}
    """By start of the cell, until its outcomes close."""
    marks: dict[str, list[bool]] = {}
    """Per `version@cell`, whether a drift and whether a page was raised there, until the cell has its record."""
    restated: dict[str, int] = {}
    """Per `version@plan@cell`, the revision that its published metrics have."""
    dirty: list[str] = []
    """Matured cells that changed since they were last published, by the same key."""
    first_reference: int = 0
    """Revision of the first reference that this evaluator published; 0 before."""
    config_revision: str = ""
    canary: CanaryState | None = None


def encode_state(state: ModelState) -> bytes:
    """Write the state as msgpack, without its series."""
    return msgspec.msgpack.encode(msgspec.structs.replace(state, format=FORMAT, series={}))


def encode_series(state: ModelState) -> list[bytes]:
    """Write the series as msgpack, in parcels that a record takes: a model may have tens of thousands."""
    names = sorted(state.series)
    chunks = [names[i : i + SERIES_IN_PARCEL] for i in range(0, len(names), SERIES_IN_PARCEL)]
    return [msgspec.msgpack.encode({name: state.series[name] for name in chunk}) for chunk in chunks]


def decode_state(data: bytes, parcels: Iterable[bytes] = ()) -> ModelState:
    """Read what `encode_state` and `encode_series` wrote; also a state of format 1.

    Raises
    ------
    ChangelogFormatError
        Where a newer version wrote it.
    msgspec.ValidationError
        Where it is not what they wrote.
    """
    state = _state_decoder.decode(data)
    if state.format > FORMAT:
        msg = (
            f"the state of a model has format {state.format}: expected at most {FORMAT}; a newer version has written"
            " this changelog, so run that one, or start with an application_id of its own"
        )
        raise ChangelogFormatError(msg)
    for parcel in parcels:
        state.series.update(_series_decoder.decode(parcel))
    return state


_state_decoder: Final = msgspec.msgpack.Decoder(ModelState)
_series_decoder: Final = msgspec.msgpack.Decoder(dict[str, SeriesState])
