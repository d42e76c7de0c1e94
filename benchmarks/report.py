"""The tables of docs/performance.md, from build/bench/summary.json.

`python -m benchmarks.report --write docs/performance.md` puts each between its markers, `<!-- bench:NAME -->` and
`<!-- /bench:NAME -->`, and leaves everything else alone. Without `--write` it prints them.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import capacity

Summary = Mapping[str, Any]
TARGETS: Final = {"naive_faust": 60.0, "quix": 10.0, "bytewax": None, "ceiling": 0.6, "arrow_vs_json": 3.0}
"""What the ratios are to reach; None where nothing was promised."""
_TITLES: Final = {
    "naive_faust": "events/s against Faust + river",
    "quix": "events/s against Quix Streams + river",
    "bytewax": "events/s against Bytewax + river",
    "ceiling": "of the ceiling, in CPU time per event",
    "arrow_vs_json": "rows/s of Arrow batches against JSON",
}


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers unless they end in a blank title."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def _spread(spread: Mapping[str, float], form: str = ",.0f") -> str:
    return f"{spread['median']:{form}} ({spread['least']:{form}} to {spread['most']:{form}})"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1_000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:.1f} TB"


def _contest(summary: Summary) -> str:
    found = summary["rooms"]["contest"]
    ratios, cpu = found["ratios"], found["cpu_ratios"]
    rows = []
    for row in sorted(found["rows"], key=lambda row: -row["rate"]["median"]):
        wall = "" if row["key"] in {"plumbline", "ceiling"} else f"{ratios[row['key']]:.1f}x"
        by_cpu = "" if row["key"] == "plumbline" else f"{cpu[row['key']]:.2f}x"
        rows.append([
            row["title"], _spread(row["rate"]), _spread(row["cpu_us"], ".1f"), wall, by_cpu,
            f"{row['n_events']:,}", f"{row['resident_megabytes']:.0f}",
        ])  # fmt: skip
    rows += [[f"{name}: not run, {why}", "", "", "", "", "", ""] for name, why in found["missing"].items()]
    head = ["", "events/s", "CPU us/event", "Plumbline is, by the clock", "by CPU time", "events", "MB"]
    notes = [f"- **{row['title']}**: {row['guarantee']}. {_sentence(row['differs'])}".rstrip() for row in found["rows"]]
    return _grid(head, rows) + "\n\n" + "\n".join(notes)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _ratios(summary: Summary) -> str:
    rows = []
    for name, title in _TITLES.items():
        value, target = summary["ratios"].get(name), TARGETS[name]
        said = "not measured" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"
        rows.append([title, said, "" if target is None else f"at least {target:g}"])
    rooms = summary["rooms"]
    rows += [[title, said(rooms[name]), target] for name, title, said, target in _OTHERS if rooms.get(name)]
    return _grid(["", "measured", "target"], rows)


_OTHERS: Final[tuple[tuple[str, str, Callable[[Mapping[str, Any]], str], str], ...]] = (
    ("closing", "close of the largest window (10,000 series), ms", lambda r: f"{r['rows'][-1]['median_ms']:,.0f}",
     "at most 100"),
    ("alerting", "a window complete to its alert under load, p99, s", lambda r: f"{r['p99_seconds']:.2f}", "below 1"),
    ("scaling", "two processes against one", lambda r: f"{r['ratio']:.2f}", "at least 1.7"),
    ("idle", "an idle worker, of a core", lambda r: f"{r['cpu_ratio']:.1%}", "below 2%"),
    ("pending", "resident memory, ten times as many pending", lambda r: f"{r['written']['resident_ratio'] - 1:+.0%}",
     "within 10%"),
)  # fmt: skip


def _arrow(summary: Summary) -> str:
    found = summary["rooms"]["arrow"]
    rows = [
        [
            row["name"],
            f"{row['n_events'] / row['wall_seconds']:,.0f}",
            f"{1e6 * row['cpu_seconds'] / row['n_events']:.2f}",
        ]
        for row in found["results"]
    ]
    return _grid(["", "rows/s", "CPU us/row"], [*rows, ["ratio, by CPU time", "", f"{found['arrow_vs_json']:.1f}"]])


def _scaling(summary: Summary) -> str:
    found = summary["rooms"]["scaling"]
    return _grid(
        ["processes", "events/s", "CPU us/event", "ratio"],
        [
            ["one", _spread(found["one"]), _spread(found["one_cpu_us"], ".1f"), ""],
            ["two", _spread(found["two"]), _spread(found["two_cpu_us"], ".1f"), f"{found['ratio']:.2f}"],
        ],
    )


def _profile(summary: Summary) -> str:
    rows = [
        [step["step"], f"{step['us_per_event']:.2f}", f"{step['share_ratio']:.0%}"]
        for step in summary["rooms"]["profile"]["steps"]
    ]
    total = sum(step["us_per_event"] for step in summary["rooms"]["profile"]["steps"])
    return _grid(["step", "us/event", "share"], [*rows, ["all", f"{total:.2f}", ""]])


def _alerting(summary: Summary) -> str:
    found = summary["rooms"]["alerting"]
    head = ["load, events/s", "windows", "alerts", "median ms", "p99 ms", "worst ms"]
    values = [f"{found['events_per_second']:,.0f}", f"{found['n_windows']}", f"{found['n_alerts']}"]
    values += [f"{1e3 * found[name]:.0f}" for name in ("p50_seconds", "p99_seconds", "max_seconds")]
    return _grid(head, [values])


def _idle(summary: Summary) -> str:
    found = summary["rooms"]["idle"]
    return _grid(
        ["all stages, no traffic", "CPU of a core", "MB"],
        [[f"{found['seconds']:.0f} s", f"{found['cpu_ratio']:.1%}", f"{found['resident_megabytes']:.0f}"]],
    )


def _pending(summary: Summary) -> str:
    found = summary["rooms"]["pending"]
    written, n = found["written"], found["n_rows"]
    tenths = written["resident_megabytes"]
    memory = _grid(
        ["pending, millions", *(f"{n * (i + 1) / len(tenths) / 1e6:g}" for i in range(len(tenths)))],
        [["resident MB", *(f"{each:.0f}" for each in tenths)]],
    )
    starts = _grid(
        [f"a start with {n:,} pending", "seconds", "MB after", "MB at most"],
        [
            [
                name, f"{found[name]['seconds']:.1f}", f"{found[name]['resident_megabytes']:.0f}",
                f"{found[name]['peak_megabytes']:.0f}",
            ]
            for name in ("files intact", "files lost", "no folder")
        ],
    )  # fmt: skip
    each = (
        f"Each takes {written['bytes_per_row_in_files']:.0f} bytes in local files and"
        f" {found['bytes_per_row_in_log']:.0f} in the changelog."
    )
    return "\n\n".join((memory, each, starts))


def _closing(summary: Summary) -> str:
    found = summary["rooms"]["closing"]
    sizes = _grid(
        ["series", "close, median ms", "worst ms", "us/series", "first window ms", "merge a delta ms", "published"],
        [
            [
                f"{row['n_series']:,}", f"{row['median_ms']:,.0f}", f"{row['max_ms']:,.0f}",
                f"{row['us_per_series']:.1f}", f"{row['first_ms']:,.0f}", f"{row['merge_ms']:.1f}",
                _bytes(row["metrics_bytes"]),
            ]
            for row in found["rows"]
        ],
    )  # fmt: skip
    hot = [
        [f"`{spot['function']}`", f"{spot['share_ratio']:.0%}", f"{spot['n_calls_per_window']:,.0f}"]
        for spot in found["hot"]
    ]
    return sizes + "\n\n" + _grid(["at the largest, function", "own time", "calls a window"], hot)


def _growth(summary: Summary) -> str:
    return _grid(
        ["grows", "to", "us/event", "deltas, bytes/event", "changelog, bytes/prediction"],
        [
            [
                row["grows"], f"{row['size']:,}", f"{row['us_per_event']:.1f}", f"{row['deltas_bytes']:.1f}",
                f"{row['changelog_bytes']:.0f}",
            ]
            for row in summary["rooms"]["growth"]["rows"]
        ],
    )  # fmt: skip


def _capacity(summary: Summary) -> str:
    rows = [
        [
            each.load, f"{each.n_processes:,}", f"{each.n_partitions:,}", f"{_bytes(each.broker_in)}/s",
            f"{_bytes(each.broker_out)}/s", f"{each.merge_cores:.2f}",
            *(f"{n:.2g}" for n in each.rows.values()),
            *(_bytes(n) for n in each.state_bytes_per_process.values()),
            *(f"{seconds:,.0f}" for seconds in each.restore_seconds.values()),
            "; ".join(each.gives_way) or "nothing",
        ]
        for each in capacity.needs(summary)
    ]  # fmt: skip
    held = list(capacity.HELD_SECONDS)
    head = ["predictions", "processes", "partitions", "brokers write", "are read", "one model's merging, cores"]
    head += [f"rows, held {name}" for name in held] + [f"state a process, {name}" for name in held]
    head += [*(f"its restore, s, {name}" for name in held), "what gives way"]
    return _grid(head, rows)


def _machine(summary: Summary) -> str:
    where = summary["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    rooms = [
        [name, room["taken"]["at"], f"`{room['taken']['commit']}`", f"{room['taken']['seconds']:.0f}",
         f"{room['taken']['load_average']:.1f}"]
        for name, room in summary["rooms"].items() if room
    ]  # fmt: skip
    text = (
        f"{where['cores']} cores ({where['cpu']}), the broker on the same ones; Python {where['python']}, {versions}."
    )
    return text + "\n\n" + _grid(["", "taken at", "commit", "took s", "load average after"], rows=rooms)


def _units(summary: Summary) -> str:
    units = capacity.Units.of(summary)
    rows = [
        ["CPU of an event, both stages", f"{units.cpu_us:.2f} us"],
        ["a prediction, a label on their topics", f"{units.prediction_bytes:.0f}, {units.label_bytes:.0f} bytes"],
        ["a profile delta", f"{units.delta_bytes:,.0f} bytes"],
        ["a row in the changelog, in local files", f"{units.changelog_bytes:.0f}, {units.disk_bytes:.0f} bytes"],
        ["restoring from the changelog", f"{units.restored_rows_per_second:,.0f} rows/s"],
        ["merging a delta in stage 2", f"{1e3 * units.merge_seconds:.2f} ms"],
    ]
    return _grid(["unit", "measured"], rows)


TABLES: Final[dict[str, Callable[[Summary], str]]] = {
    "machine": _machine,
    "ratios": _ratios,
    "contest": _contest,
    "arrow": _arrow,
    "scaling": _scaling,
    "profile": _profile,
    "alerting": _alerting,
    "idle": _idle,
    "pending": _pending,
    "closing": _closing,
    "growth": _growth,
    "units": _units,
    "capacity": _capacity,
}


def table(name: str, summary: Summary) -> str:
    """Return a table; empty where a room that it needs was not run."""
    worked_out = ("contest", "pending", "closing")
    needed = {"capacity": worked_out, "units": worked_out, "machine": (), "ratios": ()}.get(name, (name,))
    if any(not summary["rooms"].get(room) for room in needed):
        return ""
    return TABLES[name](summary)


def write(text: str, summary: Summary) -> str:
    """Return a page with its tables made anew; a table that cannot be made stays as it was.

    Raises
    ------
    ValueError
        Where the page names a table that there is none of.
    """

    def made(found: re.Match[str]) -> str:
        name = found[1]
        if name not in TABLES:
            msg = f"marker bench:{name}: expected one of {', '.join(TABLES)}"
            raise ValueError(msg)
        body = table(name, summary)
        return f"<!-- bench:{name} -->\n{body}\n<!-- /bench:{name} -->" if body else found[0]

    return re.sub(r"<!-- bench:(\w+) -->.*?<!-- /bench:\1 -->", made, text, flags=re.DOTALL)


def main() -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, default=Path("build/bench/summary.json"))
    parser.add_argument("--write", type=Path, help="a page with markers")
    options = parser.parse_args()
    summary = json.loads(options.summary.read_text())
    if options.write is not None:
        options.write.write_text(write(options.write.read_text(), summary))
        return
    for name in TABLES:
        print(f"## {name}\n\n{table(name, summary)}\n")


if __name__ == "__main__":
    main()
