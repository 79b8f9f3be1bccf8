"""Everything there is to see of a mesh when a run has ended: the books, the records, and what the outside world got."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.shop_world import OrderServices
from chaos.told import Told


@dataclass(frozen=True, slots=True)
class Account:
    """A brand's balance, in credits."""

    available: int
    frozen: int
    spent: int
    granted: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a brand's statement: the deltas that a request made."""

    kind: str
    request_id: str
    frozen: int = 0
    spent: int = 0
    granted: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """An SMS as its brand sees it. `phone` is a mainland number of 11 digits."""

    message_id: str
    task_id: str
    phone: str
    segments: int
    status: str
    payment_id: str
    failure_reason: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """An SMS as the provider has it. `receipt` is its status, and empty where a fault has dropped it."""

    phone: str
    uid: str
    segments: int
    receipt: str


@dataclass(frozen=True, slots=True)
class ImRecord:
    """One repeat of an IM call to one account, as its brand sees it."""

    call_id: str
    account: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """An IM message that a device got."""

    account: str
    text: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its brand sees it."""

    order_id: str
    status: str
    lot_id: str
    amount_fen: int = 0


@dataclass(frozen=True, slots=True)
class Brand:
    """What there is of one brand. `before` is its account before the load."""

    brand_id: int
    before: Account
    account: Account
    entries: Sequence[Entry] = ()
    messages: Sequence[Message] = ()
    im_records: Sequence[ImRecord] = ()
    orders: Sequence[Order] = ()


@dataclass(frozen=True, slots=True)
class World:
    """What the audit judges."""

    told: Told
    brands: Sequence[Brand]
    submissions: Sequence[Submission] = ()
    heard: Sequence[Heard] = ()
    ledger: Sequence[str] = ()
    """What the ledger's own audit found, a line each."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Messages and items that wait, by queue, inbox or table; only where there are some."""
    lost_receipts: Collection[str] = ()
    """Phones whose receipts the mesh took, and a fault from it: their messages wait as if none had come."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by queue; only where there are some."""
    order_services: OrderServices = field(default_factory=OrderServices)
    died: Mapping[str, int] = field(default_factory=dict)
    """Exit codes of processes that ended although nobody ended them."""
    errors: Sequence[str] = ()
    """Lines of level error, or of no level, that the scenario does not expect."""
