from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from demo.options import parse


def test_the_default_deploys_on_the_tenth_of_june() -> None:
    options = parse([])
    assert options.deploy == date(2013, 6, 10)
    assert options.deploy_at == datetime(2013, 6, 10, 6, tzinfo=UTC)
    assert options.start_at < datetime(2013, 1, 1, 10, tzinfo=UTC)
    assert options.until_at > datetime(2014, 1, 1, 6, tzinfo=UTC)


def test_everything_can_be_given() -> None:
    options = parse(
        ["--broker", "kafka", "--deploy", "2013-09-02", "--seed", "3", "--scenario", "placebo", "--holdback", ".1",
         "--from", "2013-07-01", "--until", "2013-10-01", "--step", "12h", "--serve"]
    )  # fmt: skip
    assert (options.broker, options.seed, options.scenario, options.holdback) == ("kafka", 3, "placebo", 0.1)
    assert options.step == timedelta(hours=12)
    assert options.serve


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--deploy", "2013-06-11"], "Monday"),
        (["--deploy", "2013-02-04"], "March"),
        (["--from", "2013-07-01"], "outside"),
        (["--holdback", "1"], "--holdback"),
        (["--broker", "foo"], "expected tansu, kafka, memory, or host:port"),
        (["--step", "5h"], "--step"),
        (["--step", "soon"], "--step"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert word in capsys.readouterr().err
