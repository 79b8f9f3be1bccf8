"""The words of the SMS service: states, who acts next in each, and the transitions between them.

A record is one message to one phone. A dispatch is the unit of queue work: the consecutive records of one provider
call. Both tables below are applied as compare-and-set: `UPDATE ... WHERE status IN (sources of the event)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

CHUNK_MAX = 1000
"""Recipients of one provider call at most (ChuangLan V1)."""

SCHEDULE_SECONDS_MAX = 30 * 86_400
"""How far ahead a send may be scheduled."""

RECEIPT_SECONDS_MAX = 72 * 3600
"""After this no receipt comes (ChuangLan V1): what still waits is settled without one."""

UNPUBLISHED_MS = 0
"""`look_at_ms` of a report that is known not to be on its queue: the sweep does not look there before it publishes."""


class SmsType(StrEnum):
    VERIFICATION = "VERIFICATION"
    NOTIFICATION = "NOTIFICATION"
    MARKETING = "MARKETING"


class SmsMode(StrEnum):
    SINGLE = "SINGLE"
    BATCH = "BATCH"


USEFUL_SECONDS: Mapping[SmsType, int] = {
    SmsType.VERIFICATION: 600,
    SmsType.NOTIFICATION: 86_400,
    SmsType.MARKETING: 72 * 3600,
}
"""How long after its time a message is still worth sending."""

BLOCKABLE_TYPES = frozenset({SmsType.NOTIFICATION, SmsType.MARKETING})
"""Types that the block list holds back. A verification code was asked for by the recipient a moment ago."""


class RecordStatus(StrEnum):
    """Where a message stands, and who acts next."""

    SCHEDULED = "SCHEDULED"  # next: the sweep at its time, or a cancel
    ACCEPTED = "ACCEPTED"  # next: the sweep publishes it, because the bus was away
    QUEUED = "QUEUED"  # next: sms_rmq claims it
    CHARGED = "CHARGED"  # next: the provider answers
    SUBMITTED = "SUBMITTED"  # next: the receipt, or the settling sweep
    UNKNOWN = "UNKNOWN"  # next: the receipt, or the settling sweep; never sent again
    DELIVERED = "DELIVERED"  # terminal
    FAILED = "FAILED"  # terminal
    CANCELLED = "CANCELLED"  # terminal
    BLOCKED = "BLOCKED"  # terminal
    UNCONFIRMED = "UNCONFIRMED"  # terminal


class RecordEvent(StrEnum):
    """What happens to a message."""

    PUBLISH = "PUBLISH"
    WITHHOLD = "WITHHOLD"  # the bus was away
    CANCEL = "CANCEL"
    CHARGE = "CHARGE"
    REFUSE = "REFUSE"  # not charged: no credit, or no longer of use
    SUBMIT = "SUBMIT"
    REJECT = "REJECT"
    LOSE = "LOSE"  # the provider's answer was lost
    DELIVER = "DELIVER"
    UNDELIVER = "UNDELIVER"
    SETTLE = "SETTLE"  # no receipt came in time


RECORD_TRANSITIONS: Mapping[tuple[RecordStatus, RecordEvent], RecordStatus] = {
    (RecordStatus.SCHEDULED, RecordEvent.PUBLISH): RecordStatus.QUEUED,
    (RecordStatus.ACCEPTED, RecordEvent.PUBLISH): RecordStatus.QUEUED,
    (RecordStatus.QUEUED, RecordEvent.WITHHOLD): RecordStatus.ACCEPTED,
    (RecordStatus.SCHEDULED, RecordEvent.CANCEL): RecordStatus.CANCELLED,
    # A consumer may hold a message whose publishing was withheld: the bus had it all the same.
    (RecordStatus.ACCEPTED, RecordEvent.CHARGE): RecordStatus.CHARGED,
    (RecordStatus.QUEUED, RecordEvent.CHARGE): RecordStatus.CHARGED,
    (RecordStatus.CHARGED, RecordEvent.CHARGE): RecordStatus.CHARGED,
    (RecordStatus.ACCEPTED, RecordEvent.REFUSE): RecordStatus.FAILED,
    (RecordStatus.QUEUED, RecordEvent.REFUSE): RecordStatus.FAILED,
    (RecordStatus.CHARGED, RecordEvent.SUBMIT): RecordStatus.SUBMITTED,
    (RecordStatus.CHARGED, RecordEvent.REJECT): RecordStatus.FAILED,
    (RecordStatus.CHARGED, RecordEvent.LOSE): RecordStatus.UNKNOWN,
    # A receipt may come before the submission's answer is recorded; the answer then finds the message settled.
    (RecordStatus.CHARGED, RecordEvent.DELIVER): RecordStatus.DELIVERED,
    (RecordStatus.CHARGED, RecordEvent.UNDELIVER): RecordStatus.FAILED,
    (RecordStatus.SUBMITTED, RecordEvent.DELIVER): RecordStatus.DELIVERED,
    (RecordStatus.SUBMITTED, RecordEvent.UNDELIVER): RecordStatus.FAILED,
    (RecordStatus.SUBMITTED, RecordEvent.SETTLE): RecordStatus.UNCONFIRMED,
    (RecordStatus.UNKNOWN, RecordEvent.DELIVER): RecordStatus.DELIVERED,
    (RecordStatus.UNKNOWN, RecordEvent.UNDELIVER): RecordStatus.FAILED,
    # Nothing proves that it was sent, so the brand gets its credits back.
    (RecordStatus.UNKNOWN, RecordEvent.SETTLE): RecordStatus.FAILED,
}
"""Every pair that is not here changes nothing: the first final word about a message stands."""


class DispatchState(StrEnum):
    """Where a dispatch stands, and who acts next."""

    LOADING = "LOADING"  # next: the send that writes it, or the sweep removes what a crash left
    WAITING = "WAITING"  # next: the sweep publishes it when it is due
    QUEUED = "QUEUED"  # next: a consumer claims it; the sweep publishes it again if its message was lost
    CLAIMED = "CLAIMED"  # next: its consumer pays; when the lease is over, another claims it
    SUBMITTING = "SUBMITTING"  # next: its consumer records the outcome; when the lease is over, it is unknown
    REPORTING = "REPORTING"  # next: its consumer tells the cost center; when the lease is over, the sweep publishes it
    AWAITING = "AWAITING"  # next: receipts; the sweep settles it when their time is over


class DispatchEvent(StrEnum):
    """What happens to a dispatch."""

    LOAD = "LOAD"
    PUBLISH = "PUBLISH"
    WITHHOLD = "WITHHOLD"  # the bus was away
    CLAIM = "CLAIM"
    CHARGE = "CHARGE"
    RETRY = "RETRY"
    RECORD = "RECORD"  # an outcome that the cost center has to hear of
    LOSE = "LOSE"  # an outcome that is not known
    REPORT = "REPORT"  # the cost center has heard
    SETTLE = "SETTLE"


DISPATCH_TRANSITIONS: Mapping[tuple[DispatchState, DispatchEvent], DispatchState] = {
    (DispatchState.LOADING, DispatchEvent.LOAD): DispatchState.QUEUED,
    (DispatchState.WAITING, DispatchEvent.PUBLISH): DispatchState.QUEUED,
    (DispatchState.QUEUED, DispatchEvent.PUBLISH): DispatchState.QUEUED,
    # Their leases are over: somebody else has to take them up.
    (DispatchState.CLAIMED, DispatchEvent.PUBLISH): DispatchState.QUEUED,
    (DispatchState.REPORTING, DispatchEvent.PUBLISH): DispatchState.REPORTING,
    (DispatchState.QUEUED, DispatchEvent.WITHHOLD): DispatchState.WAITING,
    (DispatchState.WAITING, DispatchEvent.CLAIM): DispatchState.CLAIMED,
    (DispatchState.QUEUED, DispatchEvent.CLAIM): DispatchState.CLAIMED,
    (DispatchState.CLAIMED, DispatchEvent.CLAIM): DispatchState.CLAIMED,
    (DispatchState.REPORTING, DispatchEvent.CLAIM): DispatchState.REPORTING,
    (DispatchState.CLAIMED, DispatchEvent.CHARGE): DispatchState.SUBMITTING,
    # Its consumer asks again, because the first answer was lost: nothing is submitted before one arrives.
    (DispatchState.SUBMITTING, DispatchEvent.CHARGE): DispatchState.SUBMITTING,
    (DispatchState.CLAIMED, DispatchEvent.RETRY): DispatchState.WAITING,
    (DispatchState.SUBMITTING, DispatchEvent.RETRY): DispatchState.WAITING,
    (DispatchState.CLAIMED, DispatchEvent.RECORD): DispatchState.REPORTING,
    (DispatchState.SUBMITTING, DispatchEvent.RECORD): DispatchState.REPORTING,
    (DispatchState.SUBMITTING, DispatchEvent.LOSE): DispatchState.AWAITING,
    (DispatchState.REPORTING, DispatchEvent.REPORT): DispatchState.AWAITING,
    (DispatchState.AWAITING, DispatchEvent.SETTLE): DispatchState.REPORTING,
}
"""Every pair that is not here changes nothing: the message of the queue was a duplicate, or the lease is lost."""


class Outcome(StrEnum):
    """What became of a dispatch."""

    SUBMITTED = "SUBMITTED"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"
    RETRY = "RETRY"
    UNPAID = "UNPAID"
    WITHDRAWN = "WITHDRAWN"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome does to its records and its dispatch; None is nothing."""

    record_event: RecordEvent | None
    dispatch_event: DispatchEvent


VERDICTS: Mapping[Outcome, Verdict] = {
    Outcome.SUBMITTED: Verdict(RecordEvent.SUBMIT, DispatchEvent.RECORD),
    Outcome.REJECTED: Verdict(RecordEvent.REJECT, DispatchEvent.RECORD),
    Outcome.UNKNOWN: Verdict(RecordEvent.LOSE, DispatchEvent.LOSE),
    Outcome.RETRY: Verdict(None, DispatchEvent.RETRY),
    Outcome.UNPAID: Verdict(RecordEvent.REFUSE, DispatchEvent.RECORD),
    Outcome.WITHDRAWN: Verdict(RecordEvent.REFUSE, DispatchEvent.RECORD),
}


def record_sources(event: RecordEvent) -> tuple[RecordStatus, ...]:
    """Name the statuses in which a record takes this event."""
    return tuple(status for status, known in RECORD_TRANSITIONS if known is event)


def record_targets(event: RecordEvent) -> Mapping[RecordStatus, RecordStatus]:
    """Say where this event takes a record from each status that takes it."""
    return {status: target for (status, known), target in RECORD_TRANSITIONS.items() if known is event}


def dispatch_sources(event: DispatchEvent) -> tuple[DispatchState, ...]:
    """Name the states in which a dispatch takes this event."""
    return tuple(state for state, known in DISPATCH_TRANSITIONS if known is event)


def dispatch_target(state: DispatchState, event: DispatchEvent) -> DispatchState:
    """Say where this event takes a dispatch. Raises KeyError for a pair that the table does not have."""
    return DISPATCH_TRANSITIONS[state, event]


def queue_name(brand_id: int, sms_type: SmsType, mode: SmsMode) -> str:
    """Name the queue of one brand, type and mode: `sms.send.1001.verification.single`."""
    return f"{QUEUE_PREFIX}{brand_id}.{sms_type.lower()}.{mode.lower()}"


QUEUE_PREFIX = "sms.send."


class Task(NamedTuple):
    """One accepted request: what was asked, and the freeze that pays for it. Its id is its first record's.

    A tuple in the order of its table's columns, as are the two below: there are many of them.
    """

    task_id: int
    brand_id: int
    request_id: str
    body_hash: str
    sms_type: SmsType
    mode: SmsMode
    content: str
    signature: str
    variable: bool
    accepted_count: int
    blocked_count: int
    frozen: int
    freeze_id: str
    freeze_request_id: str
    schedule_at_ms: int
    created_at_ms: int


class Record(NamedTuple):
    """One message to one phone. Times are 0 until they happen."""

    record_id: int
    task_id: int
    brand_id: int
    phone: str
    params: tuple[str, ...]
    segments: int
    status: RecordStatus
    accepted_at_ms: int
    queued_at_ms: int = 0
    charged_at_ms: int = 0
    submitted_at_ms: int = 0
    unknown_at_ms: int = 0
    settled_at_ms: int = 0
    failure_reason: str = ""
    provider_code: str = ""
    provider_message_id: str = ""
    payment_id: str = ""


class NewDispatch(NamedTuple):
    """A dispatch as it begins."""

    dispatch_id: int
    record_count: int
    task_id: int
    brand_id: int
    sms_type: str
    mode: str
    state: str
    outcome: str
    payment_id: str
    attempt: int
    wanted_at_ms: int
    look_at_ms: int
    consumer: str


TERMINAL = frozenset(
    {
        RecordStatus.DELIVERED,
        RecordStatus.FAILED,
        RecordStatus.CANCELLED,
        RecordStatus.BLOCKED,
        RecordStatus.UNCONFIRMED,
    }
)


def timeline(record: Record, schedule_at_ms: int) -> list[tuple[RecordStatus, int]]:
    """Tell the way of a message as (status, milliseconds), oldest first."""
    first = RecordStatus.SCHEDULED if schedule_at_ms else RecordStatus.ACCEPTED
    steps = [
        (first, record.accepted_at_ms),
        (RecordStatus.QUEUED, record.queued_at_ms),
        (RecordStatus.CHARGED, record.charged_at_ms),
        (RecordStatus.UNKNOWN, record.unknown_at_ms),
        (RecordStatus.SUBMITTED, record.submitted_at_ms),
    ]
    if record.status in TERMINAL:
        steps.append((record.status, record.settled_at_ms))
    # The steps stand in their logical order, which sorting keeps where two happened in the same millisecond.
    return sorted((step for step in steps if step[1]), key=lambda step: step[1])
