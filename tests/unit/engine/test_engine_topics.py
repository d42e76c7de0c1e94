"""Names in use, and dead letters on the wire."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from schemas import topics
from schemas.topics import Spread
from streams.engine.dead_letters import to_output, to_redrive, why
from streams.engine.errors import RedriveError, TopicLayoutError
from streams.engine.processor import DeadLetter, ListRecord, Output
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName


def make_names(**group: object) -> TopicNames:
    return TopicNames(Settings.model_validate({"topics": group}))


NAMES = make_names(prefix="acme.", overrides={"ml.labels.v1": "truth"}, events_partitions=3, models_partitions=2)


def test_names_take_the_prefix_or_their_override_and_come_back() -> None:
    assert NAMES.in_use("ml.predictions.v1") == "acme.ml.predictions.v1"
    assert NAMES.in_use("ml.labels.v1") == "truth"
    for topic in topics.TOPICS:
        assert NAMES.table(NAMES.in_use(topic.name)) == topic.name
    assert NAMES.table("somebody.elses") == "somebody.elses"


def test_counts_and_ids_follow_the_settings() -> None:
    assert [NAMES.n_partitions(spread) for spread in (Spread.EVENTS, Spread.MODELS, Spread.ONE)] == [3, 2, 1]
    assert NAMES.changelog(StageName.PROFILER) == "plumbline-profiler-changelog"
    assert NAMES.transactional_id(StageName.EVALUATOR, 1) == "plumbline-evaluator-1"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"ml.label.v1": "x"}, r"'ml\.label\.v1' \(for 'x'\) is no topic: expected one of ml\.predictions\.v1, "),
        ({"ml.labels.v1": "x", "ml.models.v1": "x"}, r"ml\.labels\.v1 and ml\.models\.v1 are both 'x'"),
        ({"ml.labels.v1": "acme.ml.models.v1"}, r"are both 'acme\.ml\.models\.v1'"),
        ({"ml.labels.v1": "the truth"}, r"ml\.labels\.v1 is to be 'the truth': expected a name of letters"),
    ],
)
def test_overrides_that_cannot_be_meant_are_refused(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        make_names(prefix="acme.", overrides=overrides)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(TopicLayoutError, match=r"'ml\.nothing\.v1'"):
        NAMES.in_use("ml.nothing.v1")


def make_letter(value: bytes | None, **more: object) -> DeadLetter:
    record = ListRecord(
        topic="truth", partition=2, offset=41, timestamp=99, key=more.pop("key", b"id"), value=value, **more
    )
    return DeadLetter(record=record, reason="malformed", message="value is not JSON: expected an object")


def as_record(output: Output) -> ListRecord:
    return ListRecord(topic=output.topic, key=output.key, value=output.value, headers=output.headers)


def test_a_dead_letter_keeps_the_record_and_goes_back_where_it_came_from() -> None:
    headers = (("ce_id", b"1"), ("traceparent", b"00-1"))
    output = to_output(make_letter(b"{", headers=headers), stage=StageName.PROFILER, names=NAMES)
    assert (output.topic, output.key, output.value) == ("ml.dead-letters.v1", b"id", b"{")
    assert output.headers[:2] == headers
    assert why(as_record(output)) == {
        "reason": "malformed",
        "message": "value is not JSON: expected an object",
        "topic": "ml.labels.v1",
        "partition": "2",
        "offset": "41",
        "timestamp": "99",
        "stage": "profiler",
    }
    assert to_redrive(as_record(output)) == Output(topic="ml.labels.v1", key=b"id", value=b"{", headers=headers)


def test_a_value_that_does_not_fit_leaves_its_head_its_hash_and_where_it_is() -> None:
    value = b"x" * topics.DEAD_LETTERS.max_message_bytes
    output = to_output(make_letter(value), stage=StageName.PROFILER, names=NAMES)
    assert output.value is not None
    assert len(output.value) == 4_096
    assert why(as_record(output))["value_sha256"] == hashlib.sha256(value).hexdigest()
    with pytest.raises(RedriveError, match=r"ml\.labels\.v1, partition 2, offset 41"):
        to_redrive(as_record(output))


def test_headers_that_do_not_fit_are_dropped_and_counted() -> None:
    headers = [("h", b"x" * 3_000_000)]
    output = to_output(make_letter(b"v", headers=headers), stage=StageName.PROFILER, names=NAMES)
    assert why(as_record(output))["dropped_headers"] == "1"
    assert output.value == b"v"


def test_a_record_of_nothing_still_makes_a_record() -> None:
    assert to_output(make_letter(None, key=None), stage=StageName.PROFILER, names=NAMES).value == b""


def test_what_is_no_dead_letter_cannot_go_back() -> None:
    with pytest.raises(RedriveError, match="plumbline_dlq_topic"):
        to_redrive(ListRecord(topic="ml.dead-letters.v1", value=b"v"))
