"""The terminal: on one, what is said scrolls by once; without one, lines are plain."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from demo.live import View

AT = datetime(2013, 6, 10, 6, tzinfo=UTC)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_every_line_is_there_once_and_in_order(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=60, soft_wrap=True)
    with View(console) as view:
        for number in range(40):
            view.say(f"step-{number}.", AT)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert [text.count(f"step-{number}.") for number in range(40)] == [1] * 40
    assert text.index("step-3.") < text.index("step-39.")
    assert text.count("2013-06-10 06:00") == 40
    assert ("\x1b" in text) is is_terminal


def test_what_does_not_fit_goes_on_under_itself_and_no_word_is_cut() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, no_color=True, width=60, soft_wrap=True)
    with View(console) as view:
        view.say("a long sentence that does not fit into what is left of a line of sixty", AT)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    first = next(i for i, line in enumerate(lines) if "a long sentence" in line)
    assert lines[first].endswith("  a long sentence that does not fit into")
    assert lines[first + 1] == " " * 18 + "what is left of a line of sixty"
