"""What becomes of records, in the words of messagecenter_rpc: from a check, from the text, from what txim answered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import grpc

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1 import txim_pb2
from mesh.errors import DomainError
from mesh.retry import RetryPolicy

RETRY = RetryPolicy(first_delay_seconds=1, delay_seconds_max=30)
"""Short pauses: a call is of use for minutes."""

_REASON_MAX = 64
_DETAIL_MAX = 128

_OUTCOMES: dict[txim_pb2.SendOutcome.ValueType, pb.ImOutcome.ValueType] = {
    txim_pb2.SEND_OUTCOME_SENT: pb.IM_OUTCOME_SENT,
    txim_pb2.SEND_OUTCOME_REFUSED: pb.IM_OUTCOME_FAILED,
    txim_pb2.SEND_OUTCOME_RETRY: pb.IM_OUTCOME_RETRY,
    txim_pb2.SEND_OUTCOME_UNKNOWN: pb.IM_OUTCOME_UNKNOWN,
}
_TRIED_AGAIN = frozenset({pb.IM_OUTCOME_RETRY, pb.IM_OUTCOME_UNKNOWN})


def outcome(
    recipients: Sequence[pb.ImRecipient],
    kind: pb.ImOutcome.ValueType,
    reason: str,
    detail: str = "",
    retry_after_seconds: float = 0,
) -> pb.ImRecordOutcome:
    """Write one outcome of many records.

    What is tried again waits for the longer of what was asked for and our own growing pause. Its age bounds how often.
    """
    pause_seconds = 0
    if kind in _TRIED_AGAIN:
        attempt = max(recipient.attempt for recipient in recipients)
        pause_seconds = max(RETRY.delay_seconds(attempt + 1), math.ceil(retry_after_seconds))
    return pb.ImRecordOutcome(
        record_ids=[recipient.record_id for recipient in recipients],
        outcome=kind,
        # One that is too long would have the outcomes of a whole call refused.
        reason=reason[:_REASON_MAX],
        detail=detail[:_DETAIL_MAX],
        retry_after_seconds=pause_seconds,
    )


def outcomes_of_results(
    recipients: Sequence[pb.ImRecipient], results: Sequence[txim_pb2.SendResult], text: str
) -> list[pb.ImRecordOutcome]:
    """Put the results of a call, one a recipient in order, in the contract's words; what is alike goes together."""
    alike: dict[tuple[pb.ImOutcome.ValueType, str, str, int], list[pb.ImRecipient]] = {}
    for recipient, result in zip(recipients, results, strict=True):
        # An outcome that this version does not know may be anything.
        kind = _OUTCOMES.get(result.outcome, pb.IM_OUTCOME_UNKNOWN)
        detail = str(result.error_code) if result.error_code else ""
        alike.setdefault((kind, result.reason, detail, result.retry_after_seconds), []).append(recipient)
    outcomes = [outcome(records, *described) for described, records in alike.items()]
    for one in outcomes:
        if one.outcome == pb.IM_OUTCOME_SENT:
            one.text = text
    return outcomes


def outcome_of_error(recipients: Sequence[pb.ImRecipient], error: DomainError) -> pb.ImRecordOutcome:
    """Say what is known when txim_rpc gave no results.

    A refusal for good was made before anything was sent, and so was one for want of room. Anything else may have come
    after Tencent took the message; saying so is always safe, because the same message can be sent again.
    """
    if not error.is_retryable:
        return outcome(recipients, pb.IM_OUTCOME_FAILED, error.reason, error.message)
    was_refused = error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    kind = pb.IM_OUTCOME_RETRY if was_refused else pb.IM_OUTCOME_UNKNOWN
    return outcome(recipients, kind, error.reason, "", error.retry_after_seconds or 0)
