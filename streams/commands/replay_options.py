"""Options of `plumbline replay`, read and held against each other before any file is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import TypeAdapter, ValidationError

from schemas.base import Duration
from streams.commands.console import UsageError, parse_pairs
from streams.commands.replay import Request
from streams.replay.mapping import ColumnMapping, Kind

_KINDS: Final = ("numeric", "categorical")
_NEEDED: Final = ("pyarrow", "matplotlib")


def named_columns(
    timestamp: str | None,
    *,
    id_: str,
    features: str,
    segments: Sequence[str],
    kinds: Sequence[str],
    time_zone: str,
    **names: str,
) -> ColumnMapping | None:
    """Return the mapping; None where no column is named, as for dumps of topics.

    Raises
    ------
    UsageError
        Where one is named without --timestamp, or a kind or zone is none.
    """
    given = {"--id": id_, "--features": features, "--segment": " ".join(segments)}
    given |= {f"--{name.replace('_', '-')}": value for name, value in names.items()}
    if timestamp is None:
        stray = next((option for option, value in given.items() if value), None)
        if stray is not None:
            msg = f"--timestamp is missing: expected the column with the time beside {stray}"
            raise UsageError(msg)
        return None
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"--time-zone is {time_zone!r}: expected an IANA name such as America/New_York"
        raise UsageError(msg) from None
    chosen = parse_pairs(kinds, option="--kind")
    for name, kind in chosen.items():
        if kind not in _KINDS:
            msg = f"--kind is '{name}={kind}': expected {name}=numeric or {name}=categorical"
            raise UsageError(msg)
    return ColumnMapping(
        timestamp=timestamp,
        id=id_,
        features=tuple(name.strip() for name in features.split(",") if name.strip()),
        segments=tuple(segments),
        kinds={name: cast("Kind", kind) for name, kind in chosen.items()},
        time_zone=time_zone,
        **names,
    )


def request(files: Sequence[Path], columns: ColumnMapping | None, *, cell: str | None, **rest: Any) -> Request:
    """Return what is asked for.

    Raises
    ------
    UsageError
        Where options contradict each other, or the extra `replay` is not installed.
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            msg = f"{name} is not installed: expected the extra `replay` of plumbline-monitor"
            raise UsageError(msg)
    if rest["label_files"] and columns is not None and not (columns.id and columns.label and columns.label_timestamp):
        msg = "--labels needs --id, --label and --label-timestamp: expected columns of the file of labels"
        raise UsageError(msg)
    if rest["monitors"] is not None and (cell or rest["task"] or rest["positive_class"]):
        msg = "--cell, --task and --positive-class are given with --monitors: expected them in the file"
        raise UsageError(msg)
    if rest["compare"] is not None and rest["monitors"] is None:
        msg = "--compare is given without --monitors: expected two configurations"
        raise UsageError(msg)
    rest["label_files"] = tuple(rest["label_files"])
    return Request(files=tuple(files), mapping=columns, cell=_duration(cell), **rest)


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        found: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        msg = f"--cell is {text!r}: expected a length that divides a week, such as 15m, 1h or 1d"
        raise UsageError(msg) from None
    return found
