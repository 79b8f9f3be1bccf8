"""The words of the IM calls: who is called and how, where a record stands, and who acts next.

A call goes to channels; a record is one message of it to one account at one time. The numbers of `Event`, `Channel`,
`MsgType` and `SkipReason` are those of the contract. TRANSITIONS is applied as compare-and-set:
`UPDATE ... WHERE status IN (sources of the event)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

RECORDS_MAX = 10_000
"""Records of one call at most."""

EARLY_MS_MAX = 1_000
"""How long before its time a record may be claimed: the clocks of a bus and of a database differ a little."""

LOST_AFTER_MS = 30_000
"""How long after its time a queued record may go unclaimed before the sweep looks whether its queue lost it."""


class Event(IntEnum):
    """What happened in the shop."""

    CATERING_ORDERED = 1
    CATERING_CANCELLED = 2
    CATERING_STARTED = 3
    CATERING_FINISHED = 4
    CATERING_PICKUP = 5
    CATERING_SERVED = 6
    ROOM_SERVICE = 7
    ROOM_CLEANING = 8
    ROOM_CHECKOUT = 9
    TECHNICIAN_CALLED = 10
    TECHNICIAN_ASSIGNED = 11
    TECHNICIAN_ENDING = 12
    TECHNICIAN_EXTENDED = 13
    PAYMENT_REQUESTED = 14
    PAYMENT_RECEIVED = 15
    PAYMENT_FAILED = 16


class Channel(IntEnum):
    """A kind of place where people look or listen."""

    KITCHEN = 1
    CALL_SCREEN = 2
    CASH_DESK = 3
    ROOM_PAD = 4
    TECHNICIAN = 5
    SERVICE_DESK = 6


class MsgType(IntEnum):
    """What a device does with a call."""

    BROADCAST = 1
    REFRESH = 2
    NOTIFICATION = 3
    PAD_CALL = 4


class SkipReason(IntEnum):
    """Why a channel of a call gets nothing."""

    NOT_CONFIGURED = 1
    SWITCHED_OFF = 2
    QUIET_HOURS = 3
    NO_DEVICE = 4


@dataclass(frozen=True, slots=True)
class MsgTypeRule:
    """How a type of message follows the broadcast configuration.

    `is_configured`: sent only where a configuration says so; any type is held back by one that is switched off.
    `is_repeated`: as often and as late as the configuration says, where there is one; otherwise once and at once.
    `useful_seconds`: how long after its time it is still worth sending.
    """

    has_text: bool
    is_configured: bool
    is_repeated: bool
    minds_quiet_hours: bool
    needs_own_template: bool
    useful_seconds: int


RULES: Mapping[MsgType, MsgTypeRule] = {
    MsgType.BROADCAST: MsgTypeRule(
        has_text=True,
        is_configured=True,
        is_repeated=True,
        minds_quiet_hours=True,
        needs_own_template=False,
        useful_seconds=600,
    ),
    MsgType.REFRESH: MsgTypeRule(
        has_text=False,
        is_configured=False,
        is_repeated=False,
        minds_quiet_hours=False,
        needs_own_template=False,
        useful_seconds=600,
    ),
    MsgType.NOTIFICATION: MsgTypeRule(
        has_text=True,
        is_configured=True,
        is_repeated=True,
        minds_quiet_hours=True,
        needs_own_template=False,
        useful_seconds=86_400,
    ),
    MsgType.PAD_CALL: MsgTypeRule(
        has_text=True,
        is_configured=False,
        is_repeated=True,
        minds_quiet_hours=False,
        needs_own_template=True,
        useful_seconds=600,
    ),
}


class RecordStatus(StrEnum):
    """Where a record stands, and who acts next."""

    ACCEPTED = "ACCEPTED"  # next: the sweep publishes it, because the bus was away
    QUEUED = "QUEUED"  # next: a consumer claims it at its time; the sweep publishes it again if its message was lost
    SENDING = "SENDING"  # next: its consumer records the outcome; when the lease is over, another claims it
    SENT = "SENT"  # terminal
    SKIPPED = "SKIPPED"  # terminal
    FAILED = "FAILED"  # terminal
    CANCELLED = "CANCELLED"  # terminal
    UNKNOWN = "UNKNOWN"  # terminal


TERMINAL = frozenset(
    {
        RecordStatus.SENT,
        RecordStatus.SKIPPED,
        RecordStatus.FAILED,
        RecordStatus.CANCELLED,
        RecordStatus.UNKNOWN,
    }
)


class RecordEvent(StrEnum):
    """What happens to a record."""

    WITHHOLD = "WITHHOLD"  # the bus was away
    PUBLISH = "PUBLISH"
    CLAIM = "CLAIM"
    SEND = "SEND"
    SKIP = "SKIP"  # a check said no, and it was never sent
    FAIL = "FAIL"  # it cannot be sent, and it never was
    GIVE_UP = "GIVE_UP"  # a check said no, or it cannot be sent, but an earlier try may have arrived
    RETRY = "RETRY"  # not sent this time
    LOSE = "LOSE"  # the answer was lost, so it may have arrived
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Transition:
    """From which statuses an event takes a record, and where."""

    sources: tuple[RecordStatus, ...]
    target: RecordStatus


_SENDING = (RecordStatus.SENDING,)

TRANSITIONS: Mapping[RecordEvent, Transition] = {
    RecordEvent.WITHHOLD: Transition((RecordStatus.QUEUED,), RecordStatus.ACCEPTED),
    # QUEUED: its message was lost. SENDING: its consumer's lease is over, so an earlier try may have arrived.
    RecordEvent.PUBLISH: Transition(
        (RecordStatus.ACCEPTED, RecordStatus.QUEUED, RecordStatus.SENDING), RecordStatus.QUEUED
    ),
    # ACCEPTED: publishing was withheld, but the bus had it all the same. SENDING: as above.
    RecordEvent.CLAIM: Transition(
        (RecordStatus.ACCEPTED, RecordStatus.QUEUED, RecordStatus.SENDING), RecordStatus.SENDING
    ),
    RecordEvent.SEND: Transition(_SENDING, RecordStatus.SENT),
    RecordEvent.SKIP: Transition(_SENDING, RecordStatus.SKIPPED),
    RecordEvent.FAIL: Transition(_SENDING, RecordStatus.FAILED),
    RecordEvent.GIVE_UP: Transition(_SENDING, RecordStatus.UNKNOWN),
    RecordEvent.RETRY: Transition(_SENDING, RecordStatus.QUEUED),
    RecordEvent.LOSE: Transition(_SENDING, RecordStatus.QUEUED),
    RecordEvent.CANCEL: Transition((RecordStatus.ACCEPTED, RecordStatus.QUEUED), RecordStatus.CANCELLED),
}
"""From every status that is not here an event changes nothing: it was a duplicate, or the lease is lost."""


class Outcome(IntEnum):
    """What a consumer says of a record that it claimed; the contract's numbers."""

    SENT = 1
    SKIPPED = 2
    FAILED = 3
    RETRY = 4
    UNKNOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome does to a record that was never sent, and to one that may have arrived in an earlier try."""

    never_sent: RecordEvent
    may_be_sent: RecordEvent


VERDICTS: Mapping[Outcome, Verdict] = {
    Outcome.SENT: Verdict(RecordEvent.SEND, RecordEvent.SEND),
    # "Not sent" would be a claim that nobody can make of a record whose answer was lost once.
    Outcome.SKIPPED: Verdict(RecordEvent.SKIP, RecordEvent.GIVE_UP),
    Outcome.FAILED: Verdict(RecordEvent.FAIL, RecordEvent.GIVE_UP),
    Outcome.RETRY: Verdict(RecordEvent.RETRY, RecordEvent.RETRY),
    Outcome.UNKNOWN: Verdict(RecordEvent.LOSE, RecordEvent.LOSE),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One accepted call. Its records have the ids that follow its own, in the order of their times."""

    call_id: int
    brand_id: int
    request_id: str
    body_hash: str
    shop_id: int
    event: Event
    channels: tuple[Channel, ...]
    params: Mapping[str, str]
    msg_type: MsgType
    msg_template_id: int
    skipped: tuple[tuple[Channel, SkipReason], ...]
    record_count: int
    created_at_ms: int
    cancelled_at_ms: int

    @property
    def first_record_id(self) -> int:
        return self.call_id + 1

    @property
    def end_record_id(self) -> int:
        """The first id after its records."""
        return self.first_record_id + self.record_count


@dataclass(frozen=True, slots=True)
class Record:
    """One message to one account. `next_at_ms` is when to try it: at its due time, or later after a try."""

    record_id: int
    call_id: int
    brand_id: int
    channel: Channel
    repeat_number: int
    account: str
    location: str
    template_id: int
    msg_random: int
    due_at_ms: int
    next_at_ms: int
    look_at_ms: int
    status: RecordStatus
    reason: str = ""
    detail: str = ""
    text: str = ""
    attempt: int = 0
    may_be_sent: bool = False
    consumer: str = ""
    ended_at_ms: int = 0


QUEUE_PREFIX = "im.call."


def queue_name(brand_id: int) -> str:
    """Name the delayed queue of a brand: `im.call.1001`."""
    return f"{QUEUE_PREFIX}{brand_id}"
