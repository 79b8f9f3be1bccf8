"""What the payment service asks of a payment channel, in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from order_rpc.payment import refusals
from order_rpc.payment.comparison import Entry

TRADE_NO_CHARACTERS_MAX = 64
PAY_URL_CHARACTERS_MAX = 512
NUMBER_CHARACTERS_MAX = 64
REFUSAL_CHARACTERS_MAX = 200

STATEMENT_BYTES_MAX = 64 << 20
STATEMENT_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """A payment that waits for its buyer: where to pay, and the channel's id if it has one by now."""

    trade_no: str
    pay_url: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The channel's signed word that money came. `pay_id` is text because nothing has looked for it yet."""

    pay_id: str
    trade_no: str
    amount_fen: int
    currency: str
    paid_at_ms: int


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """A refund that a channel is to make, by both sides' numbers of what it is of."""

    refund_id: int
    pay_id: int
    trade_no: str
    amount_fen: int
    pay_amount_fen: int
    remark: str


@dataclass(frozen=True, slots=True)
class MadeRefund:
    """A refund that the channel has made, and its id there."""

    refund_no: str
    refunded_at_ms: int


@dataclass(frozen=True, slots=True)
class Notification:
    """What a channel posted: the fields of a flat body as text, the headers by lower-case name, the body as it came."""

    fields: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class PaymentChannel(Protocol):
    """The port. Calls are bounded in time; each may be repeated, for our number makes it happen once."""

    pay_url_lifetime_ms: int
    """How long money is taken where `open` said; it is called again then. 0: as long as the payment is open."""

    async def open(self, pay_id: int, amount_fen: int, subject: str) -> OpenedPayment:
        """Open a payment, or answer the one that the same call opened. Raises ChannelError."""

    async def close(self, pay_id: int) -> Receipt | None:
        """Close a payment, one that was never opened too. Answers its receipt if it was paid. Raises ChannelError."""

    async def query(self, pay_id: int) -> Receipt | None:
        """Ask whether a payment was paid. Raises ChannelError."""

    async def refund(self, order: RefundOrder) -> MadeRefund | None:
        """Pay back, or say that it was; None while the channel is still at it.

        Raises RefundRefusedError when it will never be made, ChannelError when nobody knows.
        """

    async def statement(self, day: date) -> list[Entry]:
        """Read what the channel has of a day in China: payments paid and refunds made then. Raises ChannelError."""

    def read_notification(self, notification: Notification) -> Receipt:
        """Read what the channel posted of a payment.

        Raises WrongSignatureError unless the channel signed it, and NoReceiptError if it does not tell of money.
        """


class Channels:
    """The channels that are set up, by name; the first one serves those who name none."""

    def __init__(self, by_name: Mapping[str, PaymentChannel]) -> None:
        self._by_name = by_name

    def name_of(self, wanted: str) -> str:
        """Answer the channel that is meant; empty: the first. Raises PAYMENT_CHANNEL_UNKNOWN."""
        name = wanted or next(iter(self._by_name))
        if name not in self._by_name:
            raise refusals.channel_unknown(name, list(self._by_name))
        return name

    def of(self, name: str) -> PaymentChannel:
        """Answer a channel. Raises PAYMENT_CHANNEL_UNKNOWN."""
        return self._by_name[self.name_of(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)


class ChannelError(Exception):
    """The channel is away, answered what cannot be understood, or refused. The text is for the operator."""


class RefundRefusedError(Exception):
    """The channel will never make this refund. The text says why."""


class WrongSignatureError(Exception):
    """Not signed by the channel, or not for us: whatever it says, nothing is to be believed."""


class NoReceiptError(Exception):
    """The channel signed it, but it does not tell of money. `field` is what is wrong, the text says how."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description
