"""Anybody's recorded values and the changes that are known in them."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detectors.arrays import FloatArray
from detectors.evaluate.judge import BUDGET, contestants
from detectors.evaluate.judging import PER, calibrated, fitting
from detectors.evaluate.sample import Kind, Sample

MINIMUM_REFERENCE = 500
N_SHUFFLES = 20


class RecordedError(ValueError):
    """A file that cannot be judged; the message names it, the row, the value and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Values in order, shape (T,), and the rows at which something changes, counted from 0."""

    values: FloatArray
    changes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a contestant made of the values: alarms outside the tolerance, and the delay of each change."""

    name: str
    setting: str
    n_false: int
    delays: tuple[float, ...]
    """Events from each change to the first alarm before the next one; infinite where there is none."""


def read(data: Path, column: str, changepoints: Path) -> Recorded:
    """Read a CSV with a header, and a file with a row number in each line.

    Raises
    ------
    RecordedError
        If a file is missing, has no such column, a value that is no number, or a row number that is none of its rows.
    """
    values = []
    try:
        with data.open(newline="") as file:
            reader = csv.DictReader(file)
            if column not in (reader.fieldnames or ()):
                raise RecordedError(f"{data}: no column {column!r}, expected one of {list(reader.fieldnames or ())}")
            for number, row in enumerate(reader):
                values.append(_number(row[column], f"{data}: row {number}, {column}"))
        lines = [line.strip() for line in changepoints.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RecordedError(f"{error}: expected a CSV and a text file") from error
    changes = tuple(sorted(int(_number(line, f"{changepoints}: line {i + 1}")) for i, line in enumerate(lines)))
    wrong = [change for change in changes if not 0 < change < len(values)]
    if wrong or not changes:
        told = f"row {wrong[0]}" if wrong else "no row"
        raise RecordedError(f"{changepoints}: {told} given, expected rows of {data}, 1 to {len(values) - 1}")
    return Recorded(values=np.array(values), changes=changes)


def _number(text: str | None, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RecordedError(f"{where}: {text!r} given, expected a finite number")
    return number


def judge_recorded(recorded: Recorded, n_reference: int, tolerance: int, seed: int) -> list[Found]:
    """Judge every contestant that can read the values, at its defaults and at equal false alarms.

    The reference is the rows up to `n_reference`; equal false alarms are measured on shuffles of it.

    Raises
    ------
    RecordedError
        If the reference is shorter than 500 rows, or reaches into a change.
    """
    first = recorded.changes[0]
    if not MINIMUM_REFERENCE <= n_reference <= first:
        raise RecordedError(
            f"--reference: {n_reference} given, expected {MINIMUM_REFERENCE} to the first change, {first}"
        )
    kind: Kind = "errors" if np.isin(recorded.values, (0.0, 1.0)).all() else "values"
    rng = np.random.default_rng(seed)
    reference = recorded.values[:n_reference]
    shuffles = np.array([np.concatenate([reference, rng.permutation(reference)]) for _ in range(N_SHUFFLES)])
    cell = max(n_reference // 100, 1)
    null = Sample(name="shuffled", kind=kind, values=shuffles, n_reference=n_reference, cell=cell)
    sample = Sample(
        name="recorded", kind=kind, values=recorded.values[None], n_reference=n_reference, cell=cell
    )  # no `change`: all of it is read
    found = []
    for each in fitting(contestants(), kind):
        setting = calibrated(each, null, BUDGET)
        for chosen, title in ((None, "default"), (setting, f"{each.parameter} {setting:.3g}")):
            alarms = np.flatnonzero(each.on(sample)(chosen)[0]) + n_reference
            found.append(_found(each.name, title, alarms.tolist(), recorded, tolerance))
    return found


def _found(name: str, setting: str, alarms: Sequence[int], recorded: Recorded, tolerance: int) -> Found:
    ends = [*recorded.changes[1:], recorded.values.size]
    delays = []
    for change, end in zip(recorded.changes, ends, strict=True):
        after = [alarm - change + 1.0 for alarm in alarms if change <= alarm < end]
        delays.append(min(after, default=math.inf))
    near = [any(change <= alarm < change + tolerance for change in recorded.changes) for alarm in alarms]
    return Found(name=name, setting=setting, n_false=near.count(False), delays=tuple(delays))


def recorded_table(found: Sequence[Found], n_watched: int) -> str:
    """A row for each contestant and setting."""
    lines = [
        f"| detector | setting | false alarms in {PER:,} | found | median delay |",
        "|---|---|---|---|---|",
    ]
    for each in found:
        median = float(np.median(each.delays))
        n_found = sum(math.isfinite(delay) for delay in each.delays)
        lines.append(
            f"| {each.name} | {each.setting} | {each.n_false / n_watched * PER:.2f} | {n_found} of {len(each.delays)} "
            f"| {'never' if math.isinf(median) else f'{median:g}'} |"
        )
    return "\n".join(lines)
