"""The words of the ledger: its states and their transitions, what it keeps, and what can be asked of it.

How an operation changes an account is in book.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

DAY_MS = 86_400_000
TIME_MAX_MS = 253_402_300_799_999
"""The end of the year 9999: the last time that google.protobuf.Timestamp can tell."""


class FreezeState(StrEnum):
    """Where a freeze stands, and who acts next."""

    FROZEN = "FROZEN"  # next: the sender pays or releases, or its time runs out
    PAID = "PAID"  # terminal
    RELEASED = "RELEASED"  # terminal
    EXPIRED = "EXPIRED"  # terminal, though a late pay may charge from what is available


class FreezeEvent(StrEnum):
    CAPTURE_PART = "CAPTURE_PART"
    CAPTURE_REST = "CAPTURE_REST"
    RELEASE_PART = "RELEASE_PART"
    RELEASE_REST = "RELEASE_REST"
    EXPIRE = "EXPIRE"


FREEZE_TRANSITIONS: dict[tuple[FreezeState, FreezeEvent], FreezeState] = {
    (FreezeState.FROZEN, FreezeEvent.CAPTURE_PART): FreezeState.FROZEN,
    (FreezeState.FROZEN, FreezeEvent.CAPTURE_REST): FreezeState.PAID,
    (FreezeState.FROZEN, FreezeEvent.RELEASE_PART): FreezeState.FROZEN,
    (FreezeState.FROZEN, FreezeEvent.RELEASE_REST): FreezeState.RELEASED,
    (FreezeState.FROZEN, FreezeEvent.EXPIRE): FreezeState.EXPIRED,
    # A late pay charges from what is available; the freeze itself stays over.
    (FreezeState.EXPIRED, FreezeEvent.CAPTURE_PART): FreezeState.EXPIRED,
    (FreezeState.EXPIRED, FreezeEvent.CAPTURE_REST): FreezeState.EXPIRED,
    # Releasing what is already back is a success that changes nothing.
    (FreezeState.EXPIRED, FreezeEvent.RELEASE_PART): FreezeState.EXPIRED,
    (FreezeState.EXPIRED, FreezeEvent.RELEASE_REST): FreezeState.EXPIRED,
    (FreezeState.RELEASED, FreezeEvent.RELEASE_PART): FreezeState.RELEASED,
    (FreezeState.RELEASED, FreezeEvent.RELEASE_REST): FreezeState.RELEASED,
}
"""Every pair that is not here is refused, for the reason that `FREEZE_REFUSALS` gives its state."""

FREEZE_REFUSALS: dict[FreezeState, str] = {
    FreezeState.PAID: "FREEZE_ALREADY_PAID",
    FreezeState.RELEASED: "FREEZE_RELEASED",
    FreezeState.EXPIRED: "FREEZE_EXPIRED",
}


class PaymentState(StrEnum):
    """Where a payment stands, and who acts next."""

    CHARGED = "CHARGED"  # next: the provider's answer
    SENT = "SENT"  # next: receipts, which may still refund or settle single messages
    FAILED = "FAILED"  # terminal, refunded


class SendStatus(StrEnum):
    SENT = "SENT"
    FAILED = "FAILED"


PAYMENT_TRANSITIONS: dict[tuple[PaymentState, SendStatus], PaymentState] = {
    (PaymentState.CHARGED, SendStatus.SENT): PaymentState.SENT,
    (PaymentState.CHARGED, SendStatus.FAILED): PaymentState.FAILED,
    (PaymentState.SENT, SendStatus.SENT): PaymentState.SENT,
    (PaymentState.FAILED, SendStatus.FAILED): PaymentState.FAILED,
}
"""The first report decides. A contradicting one is refused, for the reason that `PAYMENT_REFUSALS` gives its state."""

PAYMENT_REFUSALS: dict[PaymentState, str] = {
    PaymentState.SENT: "PAYMENT_ALREADY_SENT",
    PaymentState.FAILED: "PAYMENT_ALREADY_FAILED",
}


class EntryKind(StrEnum):
    """Why a balance changed."""

    GRANT = "GRANT"
    FREEZE = "FREEZE"
    PAY = "PAY"
    PAY_AVAILABLE = "PAY_AVAILABLE"
    RELEASE = "RELEASE"
    FREEZE_EXPIRE = "FREEZE_EXPIRE"
    REFUND = "REFUND"
    REFUND_GRACE = "REFUND_GRACE"
    LOT_EXPIRE = "LOT_EXPIRE"


@dataclass(slots=True)
class Account:
    """The balance of one brand, in credits. `seq` is the number of its last entry."""

    brand_id: int
    available: int = 0
    frozen: int = 0
    spent: int = 0
    expired: int = 0
    granted: int = 0
    seq: int = 0


@dataclass(slots=True)
class Lot:
    """One package. Consumed by expiry, then age (`seq` is the entry that made it)."""

    lot_id: str
    brand_id: int
    seq: int
    granted: int
    remaining: int
    expires_at_ms: int
    created_at_ms: int
    grace: bool = False
    reference: str = ""

    @property
    def order(self) -> tuple[int, int]:
        """Sorts lots into the order in which they are consumed."""
        return (self.expires_at_ms, self.seq)


@dataclass(slots=True)
class Freeze:
    """Credits held for one send. `num = captured + released + left`; `released` is what was given back by request."""

    freeze_id: str
    brand_id: int
    request_id: str
    num: int
    expires_at_ms: int
    created_at_ms: int
    captured: int = 0
    released: int = 0
    state: FreezeState = FreezeState.FROZEN

    @property
    def left(self) -> int:
        """Credits still held; of an expired freeze, those that went back by themselves and may be charged late."""
        return self.num - self.captured - self.released


@dataclass(slots=True)
class Payment:
    """One charge."""

    payment_id: str
    brand_id: int
    freeze_id: str
    charged: int
    created_at_ms: int
    refunded: int = 0
    state: PaymentState = PaymentState.CHARGED


@dataclass(slots=True)
class Allocation:
    """What one payment took from one lot. Refunds walk the positions backwards."""

    payment_id: str
    position: int
    lot_id: str
    num: int
    refunded: int = 0


@dataclass(slots=True)
class Settlement:
    """What one message of a payment gave back, or cost besides. `shortfall` was billed and could not be charged."""

    brand_id: int
    payment_id: str
    message_id: int
    refunded: int = 0
    extra: int = 0
    shortfall: int = 0


class Entry(NamedTuple):
    """One change of a balance, as deltas.

    A tuple, as all that is made of every operation: a frozen dataclass takes three times as long.
    """

    brand_id: int
    seq: int
    kind: EntryKind
    request_id: str
    available: int
    frozen: int
    spent: int
    expired: int
    granted: int
    created_at_ms: int


class Balance(NamedTuple):
    """The balance that an answer carries."""

    available: int
    frozen: int
    spent: int
    expired: int
    granted: int
    seq: int


class Answer(NamedTuple):
    """What an operation did: the object it made or changed, and how many credits it moved."""

    object_id: str
    num: int
    balance: Balance


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation changed nothing. The same request gets the same refusal again."""

    reason: str
    message: str
    metadata: dict[str, str] = field(default_factory=dict)


Outcome: TypeAlias = Answer | Refusal


# Operations. `kind` is the space in which a request_id is unique; without a request_id, the state makes it idempotent.


@dataclass(frozen=True, slots=True)
class Grant:
    brand_id: int
    request_id: str
    num: int
    expires_at_ms: int
    reference: str = ""
    kind = "grant"


@dataclass(frozen=True, slots=True)
class PrePay:
    """Freeze `num` credits until `expires_at_ms`; 0 is the ledger's default after now.

    The time is left out of `repr`, and so of the body hash: a caller that repeats a request counts it from its own now.
    """

    brand_id: int
    request_id: str
    num: int
    expires_at_ms: int = field(default=0, repr=False)
    reference: str = ""
    kind = "prepay"


@dataclass(frozen=True, slots=True)
class Pay:
    """Charge `num` credits of a freeze; 0 is all that is left of it."""

    brand_id: int
    request_id: str
    freeze_id: str
    num: int = 0
    kind = "pay"


@dataclass(frozen=True, slots=True)
class Release:
    """Give back `num` credits of the freeze made by `freeze_request_id`; 0 is all that is left of it."""

    brand_id: int
    request_id: str
    freeze_request_id: str
    num: int = 0
    kind = "release"


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """What the provider answered. `message_id` 0 is the whole payment; else `num` are that message's credits."""

    brand_id: int
    request_id: str
    payment_id: str
    status: SendStatus
    message_id: int = 0
    num: int = 0
    kind = "status"


@dataclass(frozen=True, slots=True)
class ReportReceipt:
    """What the carrier reported of one message: `charged_num` was paid, `billed_num` was billed (0: not said)."""

    brand_id: int
    request_id: str
    payment_id: str
    message_id: int
    delivered: bool
    charged_num: int
    billed_num: int = 0
    kind = "receipt"

    @property
    def difference(self) -> int:
        """What was billed beyond the charge; 0 confirms it. What is not delivered is not billed."""
        billed_num = (self.billed_num or self.charged_num) if self.delivered else 0
        return billed_num - self.charged_num


@dataclass(frozen=True, slots=True)
class ExpireFreeze:
    brand_id: int
    freeze_id: str


@dataclass(frozen=True, slots=True)
class ExpireLots:
    brand_id: int


Request: TypeAlias = Grant | PrePay | Pay | Release | ReportStatus | ReportReceipt
Operation: TypeAlias = Request | ExpireFreeze | ExpireLots


class RememberedRequest(NamedTuple):
    """The answer that a request id got, and a hash of the request. A tombstone has no hash: it answers any request."""

    key: str
    brand_id: int
    body_hash: str
    outcome: Outcome
    created_at_ms: int


def request_key(kind: str, brand_id: int, request_id: str) -> str:
    """Name a request id uniquely across brands and rpcs."""
    return f"{brand_id}/{kind}/{request_id}"


def body_hash(operation: Request) -> str:
    """Tell two requests with the same id apart. 128 bits."""
    return hashlib.blake2b(repr(operation).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Policy:
    """What the ledger's operator decides. Durations in milliseconds."""

    freeze_lifetime_ms: int = DAY_MS
    grace_ms: int = 7 * DAY_MS
