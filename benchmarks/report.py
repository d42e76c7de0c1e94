"""Tables of a summary, as Markdown: printed, or written between the markers of a page.

`python -m benchmarks.report --write docs/performance.md` replaces what stands between `<!-- bench:NAME:begin -->` and
`<!-- bench:NAME:end -->` for every table that the summary has; without a section its table says so.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import capacity

Sections = dict[str, Any]
_MEGA: Final = 1e6


def tables(summary: dict[str, Any]) -> dict[str, str]:
    """Make every table for which there are figures, by its name."""
    sections = summary.get("sections", {})
    made = {"machine": _machine(summary)}
    made |= {name: make(sections) for name, (needed, make) in _TABLES.items() if needed <= sections.keys()}
    return made


def write(page: str, made: dict[str, str]) -> str:
    """Put tables between a page's markers.

    Raises
    ------
    ValueError
        Where the page has a marker that no table is known for.
    """
    known = {"machine", *_TABLES}

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in known:
            msg = f"marker bench:{name}: expected one of {sorted(known)}"
            raise ValueError(msg)
        text = made.get(name, "Not measured yet.")
        return f"<!-- bench:{name}:begin -->\n{text}\n<!-- bench:{name}:end -->"

    return re.sub(r"<!-- bench:(?P<name>[a-z]+):begin -->.*?<!-- bench:(?P=name):end -->", replaced, page, flags=re.S)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _spread(spread: dict[str, float]) -> str:
    return f"{_number(spread['median'])} ({_number(spread['least'])} to {_number(spread['most'])})"


def _machine(summary: dict[str, Any]) -> str:
    machine = summary["machine"]
    taken = [f"{name} {each['taken']['commit']}" for name, each in summary.get("sections", {}).items()]
    return (
        f"{machine['n_cores']} cores ({machine['cpu']}), which broker and load share; Python {machine['python']}, "
        f"Apache Kafka {machine['kafka']}, one node. Sections and the commit they were taken at: {', '.join(taken)}."
    )


def _contest(sections: Sections) -> str:
    held = sections["contest"]
    rows = [
        [row["title"], row["guarantee"], f"{row['n_events']:,}", _spread(row["rate"]), _spread(row["cpu_us"]),
         _times(held["ratios"].get(row["key"])), _times(held["cpu_ratios"].get(row["key"])),
         f"{row['resident_megabytes']:,.0f}"]
        for row in held["rows"]
    ]  # fmt: skip
    text = _table(
        [
            "",
            "After a crash",
            "Events",
            "Events/s",
            "CPU us/event",
            "Ours / theirs, events/s",
            "CPU, theirs / ours",
            "MB",
        ],
        rows,
    )
    notes = [f"- {row['title']}: {row['differs']}." for row in held["rows"] if row["differs"]]
    notes += [f"- {name}: not measured; {why}." for name, why in held["missing"].items()]
    return "\n".join([text, "", *notes])


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{_number(ratio)}x"


def _targets(sections: Sections) -> str:
    rows: list[tuple[str, str, str]] = []
    held = sections["contest"]["ratios"]
    for key, title, target in (
        ("naive_faust", "Faust + river, events/s", ">= 60x"),
        ("quix", "Quix Streams + river, events/s", ">= 10x"),
        ("bytewax", "Bytewax + river, events/s", "none set"),
        ("ceiling", "Of the ceiling, CPU per event", ">= 0.6x"),
    ):
        rows.append((title, target, _times(held.get(key)) or "not measured"))
    optional: dict[str, Callable[[Sections], tuple[str, str, str]]] = {
        "arrow": lambda s: ("Arrow batches beside JSON, rows/s of CPU time", ">= 3x", _times(s["arrow_vs_json"])),
        "closing": lambda s: (
            f"Close of a window of {s['rows'][-1]['n_series']:,} series",
            "<= 100 ms", f"{_number(s['rows'][-1]['median_ms'])} ms",
        ),
        "alerting": lambda s: (
            f"Window complete to alert, p99 at {_number(s['events_per_second'])} events/s",
            "< 1 s", f"{_number(s['p99_seconds'])} s",
        ),
        "processes": lambda s: ("Two processes beside one, two cores", ">= 1.7x", _times(s["speedup"])),
        "idle": lambda s: ("Idle worker, of one core", "< 2 %", f"{100 * s['cpu_ratio']:.1f} %"),
        "pending": lambda s: (
            f"Resident memory, {s['n_rows']:,} pending beside a tenth of them",
            "+-10 %", f"{100 * (s['written']['resident_ratio'] - 1):+.0f} %",
        ),
    }  # fmt: skip
    rows += [make(sections[name]) for name, make in optional.items() if name in sections]
    return _table(["", "Target", "Measured"], rows)


def _processes(sections: Sections) -> str:
    rows = [[str(r["n_processes"]), _spread(r["rate"]), _spread(r["cpu_us"])] for r in sections["processes"]["rows"]]
    return _table(["Processes", "Events/s", "CPU us/event"], rows)


def _profile(sections: Sections) -> str:
    steps = sections["profile"]["steps"]
    return _table(
        ["Step", "us/event", "Share"],
        [[s["step"], f"{s['us_per_event']:.2f}", f"{100 * s['share_ratio']:.0f} %"] for s in steps],
    )


def _alerting(sections: Sections) -> str:
    s = sections["alerting"]
    row = [_number(s["events_per_second"]), _number(s["full_events_per_second"]), str(s["n_alerts"]),
           *(f"{s[name]:.3f}" for name in ("p50_seconds", "p99_seconds", "max_seconds"))]  # fmt: skip
    return _table(["Events/s", "At full load", "Alerts", "p50 s", "p99 s", "Slowest s"], [row])


def _idle(sections: Sections) -> str:
    s = sections["idle"]
    row = [f"{100 * s['cpu_ratio']:.1f} %", f"{s['resident_megabytes']:.0f}", f"{s['seconds']:.0f}"]
    return _table(["CPU of a core", "MB", "Watched for, s"], [row])


def _closing(sections: Sections) -> str:
    rows = [
        [f"{r['n_series']:,}", f"{r['n_features']} x {r['n_segments']}", _number(r["median_ms"]), _number(r["max_ms"]),
         _number(r["us_per_series"]), _number(r["merge_ms"]), f"{r['metrics_bytes'] / 1000:,.0f}"]
        for r in sections["closing"]["rows"]
    ]  # fmt: skip
    head = [
        "Series",
        "Features x segments",
        "Median ms",
        "Slowest ms",
        "us/series",
        "Merging a delta, ms",
        "Record, kB",
    ]
    hot = [[f"`{s['function']}`", f"{100 * s['share_ratio']:.0f} %", _number(s["n_calls_per_window"])]
           for s in sections["closing"]["hot"]]  # fmt: skip
    return _table(head, rows) + "\n\n" + _table(["Function, at the largest", "Own time", "Calls a window"], hot)


def _growth(sections: Sections) -> str:
    rows = [
        [r["grows"], f"{r['size']:,}", f"{r['us_per_event']:.2f}", _number(r["changelog_bytes"]),
         _number(r["deltas_bytes"])]
        for r in sections["growth"]["rows"]
    ]  # fmt: skip
    return _table(["Grows", "To", "us/event", "Changelog, bytes/prediction", "Deltas, bytes/event"], rows)


def _pending(sections: Sections) -> str:
    s = sections["pending"]
    tenths = s["written"]["resident_megabytes"]
    memory = _table(
        ["Pending", *(f"{s['n_rows'] * n // len(tenths) / _MEGA:g} million" for n in range(1, len(tenths) + 1))],
        [["MB resident", *(f"{each:.0f}" for each in tenths)]],
    )
    starts = _table(
        ["Start with", "Seconds", "MB after", "MB at most"],
        [[name, f"{s[name]['seconds']:.1f}", f"{s[name]['resident_megabytes']:.0f}", f"{s[name]['peak_megabytes']:.0f}"]
         for name in ("files intact", "files lost", "no folder")],
    )  # fmt: skip
    per_row = (
        f"A pending prediction takes {s['written']['bytes_per_row_in_files']:.0f} bytes in local files and "
        f"{s['bytes_per_row_in_log']:.0f} in the changelog."
    )
    return "\n\n".join([memory, per_row, starts])


def _arrow(sections: Sections) -> str:
    rows = [
        [r["name"], _number(r["n_events"] / r["wall_seconds"]), _number(1e6 * r["cpu_seconds"] / r["n_events"])]
        for r in sections["arrow"]["rows"]
    ]
    return _table(["Stage 1 alone", "Rows/s", "CPU us/row"], rows)


def _units(sections: Sections) -> str:
    unit = capacity.units(sections)
    rows = [
        ["CPU of a worker", f"{unit.cpu_us_per_event:.2f} us an event"],
        ["A prediction on its topic", f"{unit.prediction_bytes:.0f} bytes"],
        ["A label on its topic", f"{unit.label_bytes:.0f} bytes"],
        ["Changelog, written", f"{unit.changelog_bytes:.0f} bytes a prediction with its label"],
        ["Profile deltas", f"{unit.deltas_bytes:.2f} bytes an event"],
        ["A row in local files, in the changelog",
         f"{unit.disk_bytes_per_row:.0f}, {unit.changelog_bytes_per_row:.0f} bytes"],
        ["Restoring from the changelog", f"{unit.restored_rows_per_second:,.0f} rows/s a worker"],
        ["Merging one delta in stage 2", f"{unit.merge_ms_per_delta:.2f} ms"],
    ]  # fmt: skip
    return _table(["Unit", "Measured"], rows)


def _capacity(sections: Sections) -> str:
    rows = [
        [n.level, _number(n.cores), str(n.n_workers), str(n.n_partitions),
         f"{_number(n.written_bytes_per_second / _MEGA)} / {_number(n.read_bytes_per_second / _MEGA)}",
         str(n.n_brokers), _number(n.n_rows / _MEGA), f"{_number(n.disk_bytes / 1e9)}", f"{_number(n.restore_seconds)}",
         f"{100 * n.evaluator_ratio:.0f} %", "; ".join(n.breaks) or "nothing"]
        for n in capacity.needs(sections)
    ]  # fmt: skip
    head = ["Predictions", "Cores busy", "Workers", "Partitions", "Brokers: MB/s written / read", "Brokers",
            "Rows held, millions", "Local files, GB", "Restore of a worker, s", "Evaluator of one model",
            "What gives way"]  # fmt: skip
    return _table(head, rows)


_CAPACITY: Final = frozenset({"contest", "processes", "pending", "closing"})
_TABLES: Final[dict[str, tuple[frozenset[str], Callable[[Sections], str]]]] = {
    "targets": (frozenset({"contest"}), _targets),
    "contest": (frozenset({"contest"}), _contest),
    "profile": (frozenset({"profile"}), _profile),
    "processes": (frozenset({"processes"}), _processes),
    "alerting": (frozenset({"alerting"}), _alerting),
    "idle": (frozenset({"idle"}), _idle),
    "closing": (frozenset({"closing"}), _closing),
    "growth": (frozenset({"growth"}), _growth),
    "pending": (frozenset({"pending"}), _pending),
    "arrow": (frozenset({"arrow"}), _arrow),
    "units": (_CAPACITY, _units),
    "capacity": (_CAPACITY, _capacity),
}


def main() -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, default=Path("build/bench/summary.json"))
    parser.add_argument("--write", type=Path, help="a page with markers; without it the tables are printed")
    options = parser.parse_args()
    made = tables(json.loads(options.summary.read_text()))
    if options.write is None:
        print("\n\n".join(made.values()))
    else:
        options.write.write_text(write(options.write.read_text(), made))


if __name__ == "__main__":
    main()
