"""What becomes of each record of a delivery before, and instead of, a call."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1 import txim_pb2
from mesh.errors import DomainError, overloaded
from messagecenter_rmq.outcomes import outcome, outcome_of_error, outcomes_of_results
from messagecenter_rmq.planning import plan
from tests.messagecenter_rmq.deliveries import NOW_MS, TEXT, delivery, recipient

SENT, SKIPPED, FAILED = pb.IM_OUTCOME_SENT, pb.IM_OUTCOME_SKIPPED, pb.IM_OUTCOME_FAILED
RETRY, UNKNOWN = pb.IM_OUTCOME_RETRY, pb.IM_OUTCOME_UNKNOWN


def told(outcomes: list[pb.ImRecordOutcome]) -> list[tuple[int, str, str, list[int]]]:
    return [(one.outcome, one.reason, one.detail, list(one.record_ids)) for one in outcomes]


# Plans.


def test_one_message_goes_to_all_accounts_that_nothing_speaks_against() -> None:
    recipients = [
        recipient(1),
        recipient(2, technician_clocked_off=True),
        recipient(3),
        recipient(4, device_gone=True),
        recipient(5, technician_clocked_off=True),
    ]
    planned = plan(delivery(recipients), NOW_MS, 500)
    (send,) = planned.sends
    assert [one.record_id for one in send.recipients] == [101, 103]
    assert send.message.text == TEXT
    assert told(planned.outcomes) == [
        (SKIPPED, "TECHNICIAN_CLOCKED_OFF", "", [102, 105]),
        (SKIPPED, "DEVICE_GONE", "", [104]),
    ]


def test_a_text_that_cannot_be_made_fails_those_that_would_have_got_it() -> None:
    planned = plan(delivery([recipient(1), recipient(2, device_gone=True)], params={}), NOW_MS, 500)
    assert planned.sends == []
    assert told(planned.outcomes) == [
        (SKIPPED, "DEVICE_GONE", "", [102]),
        (FAILED, "MISSING_PARAMETER", "roomName", [101]),
    ]


def test_nothing_is_rendered_for_nobody() -> None:
    planned = plan(delivery(call_cancelled=True, params={}), NOW_MS, 500)
    assert told(planned.outcomes) == [(SKIPPED, "CALL_CANCELLED", "", [101])]


@given(
    st.lists(st.sampled_from([{}, {"device_gone": True}, {"device_moved": True}]), min_size=1, max_size=30),
    st.integers(1, 12),
    st.booleans(),
)
def test_each_record_is_planned_once_and_in_order(
    changes: list[dict[str, bool]], recipients_max: int, renders: bool
) -> None:
    recipients = [recipient(number, **change) for number, change in enumerate(changes)]
    planned = plan(delivery(recipients, template_content=TEXT if renders else None), NOW_MS, recipients_max)
    sent = [one.record_id for send in planned.sends for one in send.recipients]
    decided = [record_id for one in planned.outcomes for record_id in one.record_ids]
    assert sorted(sent + decided) == [one.record_id for one in recipients]
    assert sent == sorted(sent)
    assert all(1 <= len(send.recipients) <= recipients_max for send in planned.sends)
    assert all(len(send.recipients) == recipients_max for send in planned.sends[:-1])
    assert bool(sent) == (renders and {} in changes)


# What txim_rpc answered.


def result(
    kind: txim_pb2.SendOutcome.ValueType, reason: str = "", error_code: int = 0, after: int = 0
) -> txim_pb2.SendResult:
    return txim_pb2.SendResult(outcome=kind, reason=reason, error_code=error_code, retry_after_seconds=after)


def test_each_account_has_its_own_outcome_and_what_is_alike_goes_together() -> None:
    outcomes = outcomes_of_results(
        [recipient(number) for number in range(6)],
        [
            result(txim_pb2.SEND_OUTCOME_SENT),
            result(txim_pb2.SEND_OUTCOME_REFUSED, "IM_RECIPIENT_REFUSES", 20007),
            result(txim_pb2.SEND_OUTCOME_SENT),
            result(txim_pb2.SEND_OUTCOME_RETRY, "IM_INTERNAL_ERROR", 90995, 60),
            result(txim_pb2.SEND_OUTCOME_UNKNOWN, "IM_ANSWER_LOST", 0, 60),
            result(txim_pb2.SEND_OUTCOME_UNSPECIFIED, "A_LATER_VERSIONS"),
        ],
        TEXT,
    )
    assert told(outcomes) == [
        (SENT, "", "", [100, 102]),
        (FAILED, "IM_RECIPIENT_REFUSES", "20007", [101]),
        (RETRY, "IM_INTERNAL_ERROR", "90995", [103]),
        (UNKNOWN, "IM_ANSWER_LOST", "", [104]),
        (UNKNOWN, "A_LATER_VERSIONS", "", [105]),
    ]
    assert [one.text for one in outcomes] == [TEXT, "", "", "", ""]
    assert [one.retry_after_seconds for one in outcomes[:4]] == [0, 0, 60, 60]


def test_results_that_do_not_fit_their_accounts_are_a_defect() -> None:
    with pytest.raises(ValueError, match="zip"):
        outcomes_of_results([recipient(1), recipient(2)], [result(txim_pb2.SEND_OUTCOME_SENT)], TEXT)


@given(st.integers(0, 10_000), st.floats(0, 86_000), st.sampled_from([RETRY, UNKNOWN]))
def test_the_pause_is_the_longer_of_what_was_asked_and_our_own(
    attempt: int, asked: float, kind: pb.ImOutcome.ValueType
) -> None:
    pause = outcome([recipient(attempt=attempt)], kind, "X", retry_after_seconds=asked).retry_after_seconds
    assert asked <= pause <= max(asked + 1, 30)
    assert pause >= 1


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (overloaded("sending"), RETRY, "OVERLOADED"),
        (DomainError(grpc.StatusCode.RESOURCE_EXHAUSTED, "IM_OVERLOADED", "full"), RETRY, "IM_OVERLOADED"),
        (DomainError(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "connection reset"), UNKNOWN, "UNAVAILABLE"),
        (DomainError(grpc.StatusCode.UNAVAILABLE, "IM_UNAVAILABLE", "away"), UNKNOWN, "IM_UNAVAILABLE"),
        (DomainError(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "late"), UNKNOWN, "DEADLINE_EXCEEDED"),
        (DomainError(grpc.StatusCode.CANCELLED, "CANCELLED", "drained"), UNKNOWN, "CANCELLED"),
        (DomainError(grpc.StatusCode.INTERNAL, "INTERNAL", "a defect"), UNKNOWN, "INTERNAL"),
        (DomainError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "to.account"), FAILED, "INVALID_REQUEST"),
        (DomainError(grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED", "no such method"), FAILED, "UNIMPLEMENTED"),
    ],
)
def test_an_error_says_whether_a_message_may_have_left(
    error: DomainError, kind: pb.ImOutcome.ValueType, reason: str
) -> None:
    one = outcome_of_error([recipient(1), recipient(2)], error)
    assert (one.outcome, one.reason, list(one.record_ids)) == (kind, reason, [101, 102])
    assert (one.retry_after_seconds > 0) == (kind in {RETRY, UNKNOWN})


def test_what_is_told_fits_the_contract() -> None:
    error = DomainError(grpc.StatusCode.INVALID_ARGUMENT, "R" * 100, "m" * 500)
    one = outcome_of_error([recipient()], error)
    assert (len(one.reason), len(one.detail)) == (64, 128)
