from __future__ import annotations

from decision_samples import MINUTE, NOW, command, status

from schemas.rollbacks import RollbackReason, RollbackState
from streams.responders.rollback_book import RollbackBook


def test_steps_are_kept_in_order_and_repetitions_change_nothing() -> None:
    book = RollbackBook()
    for state in (RollbackState.REQUESTED, RollbackState.APPROVED, RollbackState.APPROVED, RollbackState.SUCCEEDED):
        book.apply_command(command(state))
    assert not book.apply_command(command(RollbackState.APPROVED)), "sent again behind newer ones"
    (booked,) = book.all()
    assert [step.state for step in booked.steps] == ["requested", "approved", "succeeded"]
    assert book.in_state(RollbackState.APPROVED) == []


def test_a_late_success_stands_over_an_expiry() -> None:
    book = RollbackBook()
    for state in (RollbackState.APPROVED, RollbackState.EXPIRED, RollbackState.SUCCEEDED, RollbackState.VERIFIED):
        assert book.apply_command(command(state))


def test_a_new_attempt_begins_again_and_an_old_one_does_not_come_back() -> None:
    book = RollbackBook()
    book.apply_command(command(RollbackState.FAILED))
    assert book.apply_command(command(RollbackState.APPROVED, attempt=2, idempotency_key="key-2"))
    assert not book.apply_command(command(RollbackState.VERIFIED))
    booked = book.get("rollback-1")
    assert booked is not None
    assert booked.answer is None, "answers belong to an attempt"


def test_an_answer_read_before_its_command_is_not_lost() -> None:
    book = RollbackBook()
    assert not book.apply_status(status(RollbackState.SUCCEEDED))
    book.apply_command(command(RollbackState.APPROVED))
    booked = book.get("rollback-1")
    assert booked is not None
    assert booked.answer is not None
    assert booked.answer.state is RollbackState.SUCCEEDED


def test_answers_do_not_go_back() -> None:
    book = RollbackBook()
    book.apply_command(command())
    assert book.apply_status(status(RollbackState.EXECUTING))
    assert not book.apply_status(status(RollbackState.ACCEPTED))
    assert book.apply_status(status(RollbackState.FAILED))


def test_a_refusal_takes_no_command_back() -> None:
    book = RollbackBook()
    book.apply_command(command(RollbackState.REFUSED, reason=RollbackReason(summary="", refusal="cooldown")))
    later = command(RollbackState.REFUSED, decided_at=NOW + MINUTE, reason=RollbackReason(summary="", refusal="frozen"))
    assert book.apply_command(later)
    assert book.apply_command(command(RollbackState.REQUESTED)), "of the same attempt, once the policy allows it"
    assert book.apply_command(command(RollbackState.APPROVED))
    assert not book.apply_command(command(RollbackState.REFUSED, attempt=2, idempotency_key="key-2"))
    assert [each.rollback_id for each in book.in_state(RollbackState.APPROVED)] == ["rollback-1"]
    assert len(book.all()[0].refusals) == 1
