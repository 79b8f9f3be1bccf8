"""Sorting out a delivery before anything is sent: which of its records go, with what, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.txim.v1.txim_pb2 import ImMessage
from messagecenter_rmq.checks import reason_to_skip
from messagecenter_rmq.outcomes import outcome
from messagecenter_rmq.rendering import RenderError, render


@dataclass(frozen=True, slots=True)
class Send:
    """One message for records whose accounts get it in one call."""

    delivery: pb.ImDelivery
    message: ImMessage
    recipients: Sequence[pb.ImRecipient]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent, in order, and what is decided already. Each record of the delivery is in one of them."""

    sends: list[Send] = field(default_factory=list)
    outcomes: list[pb.ImRecordOutcome] = field(default_factory=list)


def plan(delivery: pb.ImDelivery, now_ms: int, recipients_max: int) -> Plan:
    """Check each record of a delivery, and make the message for those that go, `recipients_max` a call."""
    skipped: dict[str, list[pb.ImRecipient]] = {}
    going: list[pb.ImRecipient] = []
    for recipient in delivery.recipients:
        reason = reason_to_skip(delivery, recipient, now_ms)
        (going if reason is None else skipped.setdefault(reason, [])).append(recipient)
    outcomes = [outcome(records, pb.IM_OUTCOME_SKIPPED, reason) for reason, records in skipped.items()]
    if not going:
        return Plan(outcomes=outcomes)
    try:
        message = render(delivery)
    except RenderError as error:
        return Plan(outcomes=[*outcomes, outcome(going, pb.IM_OUTCOME_FAILED, error.reason, error.detail)])
    chunks = (going[start : start + recipients_max] for start in range(0, len(going), recipients_max))
    return Plan([Send(delivery, message, chunk) for chunk in chunks], outcomes)
