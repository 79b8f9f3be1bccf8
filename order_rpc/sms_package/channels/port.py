"""What the order service asks of a payment channel, in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """A payment that waits for its buyer: the channel's id of it, and where to pay."""

    trade_no: str
    pay_url: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The channel's signed word that money came. `payment_id` is text because nothing has looked for it yet."""

    payment_id: str
    trade_no: str
    amount_fen: int
    currency: str
    paid_at_ms: int


class PaymentChannel(Protocol):
    """The port. Calls are bounded in time; each may be repeated, for the payment's id makes it happen once."""

    async def open(self, payment_id: int, amount_fen: int, subject: str) -> OpenedPayment:
        """Open a payment, or answer the one that the same call opened. Raises ChannelError."""

    async def close(self, payment_id: int) -> Receipt | None:
        """Close a payment, one that was never opened too. Answers its receipt if it was paid. Raises ChannelError."""

    def read_notification(self, fields: Mapping[str, str]) -> Receipt:
        """Read what the channel posted of a payment.

        Raises WrongSignatureError unless the channel signed it, and NoReceiptError if it does not tell of money.
        """


class ChannelError(Exception):
    """The channel is away, answered what cannot be understood, or refused. The text is for the operator."""


class WrongSignatureError(Exception):
    """Not signed by the channel, or not for us: whatever it says, nothing is to be believed."""


class NoReceiptError(Exception):
    """The channel signed it, but it does not tell of money. `field` is what is wrong, the text says how."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description
