"""What the apps asked for and were told: what the audit holds the mesh to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from chaos.shop_told import ShopTold


@dataclass(frozen=True, slots=True)
class Sent:
    """A send that was acknowledged. `message_ids` are the first 1,000 of its messages."""

    brand_id: int
    request_id: str
    task_id: str
    message_ids: tuple[str, ...]
    accepted_count: int
    frozen: int


@dataclass(frozen=True, slots=True)
class CancelledSms:
    """A cancel of one message that was acknowledged."""

    brand_id: int
    message_id: str


@dataclass(frozen=True, slots=True)
class CancelledTask:
    """A cancel of a whole send that was acknowledged, with the number of messages that it is for."""

    brand_id: int
    task_id: str
    cancelled_count: int


@dataclass(frozen=True, slots=True)
class Called:
    """An IM call that was acknowledged. `name` stands in the text of each of its messages and in no other's."""

    brand_id: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that was acknowledged, and whether the buyer's money was taken for it."""

    brand_id: int
    order_id: str
    credits: int
    is_paid: bool
    is_late: bool = False
    """Whether that took so long that the order may have been cancelled, and the money gone back."""


@dataclass(slots=True)
class Told:
    """Everything that was acknowledged, and what else there was of answers."""

    sends: list[Sent] = field(default_factory=list)
    cancelled_sms: list[CancelledSms] = field(default_factory=list)
    cancelled_tasks: list[CancelledTask] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)
    orders: list[Ordered] = field(default_factory=list)
    shop: ShopTold = field(default_factory=ShopTold)
    refusals: list[str] = field(default_factory=list)
    """Definite refusals that no app expects."""
    expected_refusals: Counter[str] = field(default_factory=Counter)
    """Those that an app has to expect, by their reason."""
    unanswered: list[str] = field(default_factory=list)
    """Requests that got no definite answer although the mesh was healed."""
    tries: Counter[str] = field(default_factory=Counter)
    """All answers, by their status; "none" for connections that broke."""
