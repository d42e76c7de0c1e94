"""Tables go between their markers; the capacity page multiplies what was measured."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity, report

SPREAD = {"median": 100_000.0, "least": 90_000.0, "most": 110_000.0}


def summary() -> dict[str, Any]:
    """Rooms that the capacity page needs, in round numbers."""
    row = {
        "key": "plumbline", "title": "Plumbline", "guarantee": "exactly once", "differs": "", "n_events": 1_000,
        "rate": SPREAD, "cpu_us": {"median": 10.0, "least": 9.0, "most": 11.0}, "resident_megabytes": 200.0,
    }  # fmt: skip
    contest = {
        "rows": [row], "ratios": {}, "cpu_ratios": {}, "missing": {}, "prediction_bytes": 500.0, "label_bytes": 100.0,
        "delta_bytes": 3_000.0,
    }  # fmt: skip
    pending = {
        "n_rows": 10_000_000, "bytes_per_row_in_log": 40.0, "files lost": {"seconds": 20.0},
        "written": {"bytes_per_row_in_files": 30.0},
    }  # fmt: skip
    closing = {"rows": [{"merge_ms": 2.0}], "hot": []}
    return {"rooms": {"contest": contest, "pending": pending, "closing": closing}, "ratios": {"quix": 12.0}}


def test_a_table_replaces_what_stood_between_its_markers_and_nothing_else() -> None:
    page = "before\n<!-- bench:units -->\nold\n<!-- /bench:units -->\nafter\n"
    written = report.write(page, summary())
    assert "old" not in written
    assert "10.00 us" in written
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert report.write(written, summary()) == written


def test_a_table_without_figures_stays_as_it_was() -> None:
    page = "<!-- bench:growth -->\nas it was\n<!-- /bench:growth -->"
    assert report.write(page, summary()) == page


def test_an_unknown_marker_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="marker bench:speed: expected one of machine"):
        report.write("<!-- bench:speed -->\n<!-- /bench:speed -->", summary())


def test_the_page_has_a_marker_for_every_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "performance.md").read_text()
    for name in report.TABLES:
        assert f"<!-- bench:{name} -->" in page, name
        assert f"<!-- /bench:{name} -->" in page, name


def test_what_a_load_needs_follows_from_unit_costs() -> None:
    units = capacity.Units.of(summary())
    need = capacity.need(units, "some", 100_000.0)
    assert need.n_processes == 4  # 200,000 events of 10 us are two cores; each is half filled
    assert need.rows["an hour"] == 360e6
    assert need.restore_seconds["an hour"] == pytest.approx(360e6 / 4 / 500_000)
    assert need.state_bytes_per_process["an hour"] == pytest.approx(360e6 * 30 / 4)
    inputs = 100_000 * (500 + 100)
    assert need.broker_out == pytest.approx(inputs + need.deltas_per_second * 3_000)
    assert need.broker_in == pytest.approx(3 * (need.broker_out + 100_000 * 40))


def test_what_gives_way_grows_with_the_load() -> None:
    units = capacity.Units.of(summary())
    ways = [set(capacity.need(units, load, rate).gives_way) for load, rate in capacity.RATES]
    assert ways[0] == set()
    assert ways[-1]
    assert all(less <= more for less, more in pairwise(ways))


def test_a_summary_without_the_rooms_is_refused() -> None:
    with pytest.raises(KeyError, match="contest"):
        capacity.Units.of({"rooms": {}})
