"""What sms_rmq asks of an SMS provider, in words that no vendor owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, Literal, Protocol, TypeAlias, TypeVar

from mesh.provider.circuit import Trouble

RECIPIENTS_MAX = 1000
"""Recipients of one submission at most: what one provider call takes."""

SmsType: TypeAlias = Literal["verification", "notification", "marketing"]
SmsMode: TypeAlias = Literal["single", "batch"]


@dataclass(frozen=True, slots=True)
class Recipient:
    """One phone in E.164, with the values for the `{$var}` places of a variable text, in order."""

    phone_e164: str
    params: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """One provider call: one text to 1 to 1000 phones.

    `text` has the signature in its brackets, and `{$var}` places if it is `variable`. `dispatch_id` goes along as the
    id that receipts come back with.
    """

    dispatch_id: int
    brand_id: int
    sms_type: SmsType
    mode: SmsMode
    text: str
    variable: bool
    recipients: Sequence[Recipient]

    def __post_init__(self) -> None:
        if not 1 <= len(self.recipients) <= RECIPIENTS_MAX:
            message = f"a submission has 1 to {RECIPIENTS_MAX} recipients, not {len(self.recipients)}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has all messages. Final for this submission; receipts follow."""

    provider_message_id: str
    reason: ClassVar[str] = ""
    trouble: ClassVar[Trouble] = Trouble.NONE


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider has none of the messages and will not take them. Final for this submission: refund."""

    code: str
    reason: str
    trouble: ClassVar[Trouble] = Trouble.NONE


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The provider has none of the messages; the same submission may be made again.

    `after_seconds` is the least wait; who retries makes it longer with each attempt.
    """

    after_seconds: float
    code: str
    reason: str
    trouble: Trouble = Trouble.NONE


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may have all, some or none of the messages. Never sent again: receipts or the sweep settle it."""

    reason: str
    provider_message_id: str = ""
    trouble: Trouble = Trouble.NONE


Outcome: TypeAlias = Accepted | Rejected | RetryLater | Unknown


class Verdict(StrEnum):
    """What a receipt says about one message."""

    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    PENDING = "pending"
    """The carrier does not know yet; another receipt may follow."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message, by (dispatch_id, phone). `billed_segments` is 0 where the provider does not say."""

    dispatch_id: int
    phone_e164: str
    provider_message_id: str
    verdict: Verdict
    provider_code: str
    billed_segments: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """A message from a handset, or one part of it: then `part_group` is shared, and parts count from 1.

    `sent_at` is the provider's own spelling, yyMMddHHmm or longer. A whole message has part_group "" and 0 of 0.
    """

    phone_e164: str
    content: str
    destination: str
    sent_at: str
    part_group: str = ""
    part_number: int = 0
    part_count: int = 0


class MalformedCallbackError(ValueError):
    """A receipt or uplink that cannot be read. `field` is the provider's name of what is wrong.

    The caller keeps the callback as it came: the provider hands it over once.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class ProviderCallError(Exception):
    """A pull failed. `reason` is UPPER_SNAKE; `code` is the provider's own, if it gave one."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(f"{reason} {code}".rstrip())
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class MalformedItem:
    """An item of a pull that cannot be read, as it came, with what is wrong."""

    fields: Mapping[str, str]
    error: MalformedCallbackError


PulledT = TypeVar("PulledT", Receipt, Uplink)


@dataclass(frozen=True, slots=True)
class Pulled(Generic[PulledT]):
    """What one pull brought. The provider has deleted all of it: whoever pulls stores it, the malformed too."""

    items: Sequence[PulledT]
    malformed: Sequence[MalformedItem]


class Provider(Protocol):
    """One account of a provider."""

    async def submit(self, submission: Submission) -> Outcome:
        """Make one call. Everything that can happen to it is an outcome; only cancellation raises."""

    async def pull_receipts(self) -> Pulled[Receipt]:
        """Take waiting receipts that were not pushed. Raises `ProviderCallError`."""

    async def pull_uplinks(self) -> Pulled[Uplink]:
        """Take waiting messages from handsets that were not pushed. Raises `ProviderCallError`."""


class Callbacks(Protocol):
    """Reads callbacks of one kind of account: `query` is the parameters of a push, decoded, `row` is one of a pull."""

    def parse_receipt(self, query: Mapping[str, str]) -> Receipt:
        """Read a receipt. Raises `MalformedCallbackError`."""

    def parse_uplink(self, query: Mapping[str, str]) -> Uplink:
        """Read an uplink. Raises `MalformedCallbackError`."""

    def parse_pulled_receipt(self, row: Mapping[str, str]) -> Receipt:
        """Read a receipt. Raises `MalformedCallbackError`."""

    def parse_pulled_uplink(self, row: Mapping[str, str]) -> Uplink:
        """Read an uplink. Raises `MalformedCallbackError`."""
