"""The words of the wallet service: wallets and their logs, what orders took of them, recharges, and what can be asked.

How an operation changes a wallet is in book.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TypeAlias

WalletKey: TypeAlias = tuple[int, int]
"""user_id, brand_id: the order in which wallets are locked."""


class MoneyLogType(IntEnum):
    """Why coins came or went. 1 and 2 are the numbers of the source of these tables."""

    PAY = 1
    REFUND = 2
    RECHARGE = 3
    EARN = 4


@dataclass(slots=True)
class Wallet:
    """What a user has at one brand, in fen. `seq` is the number of the last entry in its log."""

    user_id: int
    brand_id: int
    user_money_fen: int = 0
    seq: int = 0

    @property
    def key(self) -> WalletKey:
        return self.user_id, self.brand_id


@dataclass(frozen=True, slots=True)
class MoneyLog:
    """One change of a wallet: what came (negative: went), and the balance after it.

    `order_id` is the order, or the recharge, that it was for. `request_id` tells the refunds of one order apart; it is
    empty where there can be one entry of the type alone.
    """

    user_id: int
    brand_id: int
    seq: int
    money_log_type: MoneyLogType
    order_id: int
    request_id: str
    use_money_fen: int
    user_money_fen: int
    create_time_ms: int

    @property
    def wallet_key(self) -> WalletKey:
        return self.user_id, self.brand_id

    @property
    def name(self) -> LogName:
        return self.order_id, self.money_log_type, self.request_id


LogName: TypeAlias = tuple[int, MoneyLogType, str]
"""order_id, money_log_type, request_id: what is done once. The log itself is the memory of what was done."""


class DebitState(StrEnum):
    """Where the coins of an order are, and who acts next."""

    TAKEN = "TAKEN"  # next: nobody, unless the order is refunded or cancelled
    RELEASED = "RELEASED"  # terminal: all given back, or never to be taken


class DebitEvent(StrEnum):
    TAKE = "TAKE"
    REFUND = "REFUND"  # a part of them goes back
    RELEASE = "RELEASE"  # what is left of them goes back


DEBIT_TRANSITIONS: Mapping[tuple[DebitState | None, DebitEvent], DebitState] = {
    (None, DebitEvent.TAKE): DebitState.TAKEN,
    (DebitState.TAKEN, DebitEvent.REFUND): DebitState.TAKEN,
    (DebitState.TAKEN, DebitEvent.RELEASE): DebitState.RELEASED,
    # The news that an order is cancelled may be faster than its wish for coins, which then comes too late.
    (None, DebitEvent.RELEASE): DebitState.RELEASED,
    # Both are told more than once.
    (DebitState.TAKEN, DebitEvent.TAKE): DebitState.TAKEN,
    (DebitState.RELEASED, DebitEvent.RELEASE): DebitState.RELEASED,
    # A refund that the release overtook: its coins are back already.
    (DebitState.RELEASED, DebitEvent.REFUND): DebitState.RELEASED,
}
"""None: the order is not known. A pair that is not there is refused."""


@dataclass(slots=True)
class Debit:
    """What an order took. A tombstone, of an order that took nothing and never will, names nobody and nothing."""

    order_id: int
    state: DebitState
    user_id: int = 0
    brand_id: int = 0
    use_money_fen: int = 0
    refunded_fen: int = 0

    @property
    def wallet_key(self) -> WalletKey:
        return self.user_id, self.brand_id

    @property
    def left_fen(self) -> int:
        """What can still be given back."""
        return self.use_money_fen - self.refunded_fen


class RechargeStatus(IntEnum):
    """Where a recharge stands, and who acts next."""

    CREATED = 1  # next: the user pays, or its time runs out
    PAID = 2  # terminal: the coins are in the wallet
    EXPIRED = 3  # terminal: money that comes all the same is paid back


class RechargeEvent(StrEnum):
    PAY = "PAY"  # money came, paid within its time
    PAY_LATE = "PAY_LATE"  # money came, paid after its time
    EXPIRE = "EXPIRE"


RECHARGE_TRANSITIONS: Mapping[tuple[RechargeStatus, RechargeEvent], RechargeStatus] = {
    (RechargeStatus.CREATED, RechargeEvent.PAY): RechargeStatus.PAID,
    (RechargeStatus.CREATED, RechargeEvent.EXPIRE): RechargeStatus.EXPIRED,
    # The money may be faster than the sweep that looks for recharges whose time is over.
    (RechargeStatus.CREATED, RechargeEvent.PAY_LATE): RechargeStatus.EXPIRED,
    # Money is told of more than once. What was paid stays paid, whatever the clocks say of it later.
    (RechargeStatus.PAID, RechargeEvent.PAY): RechargeStatus.PAID,
    (RechargeStatus.PAID, RechargeEvent.PAY_LATE): RechargeStatus.PAID,
    # Money does not bring an expired recharge back: it is paid back.
    (RechargeStatus.EXPIRED, RechargeEvent.PAY): RechargeStatus.EXPIRED,
    (RechargeStatus.EXPIRED, RechargeEvent.PAY_LATE): RechargeStatus.EXPIRED,
}
"""A pair that is not there happens to nothing: only what is CREATED is looked for to expire."""


@dataclass(frozen=True, slots=True)
class Recharge:
    """Coins that a user buys. `pay_url` is empty until its payment is open."""

    recharge_id: int
    user_id: int
    brand_id: int
    request_id: str
    channel: str
    amount_fen: int
    status: RechargeStatus
    pay_url: str
    create_time_ms: int
    expire_time_ms: int
    pay_time_ms: int = 0

    def is_in_time(self, paid_at_ms: int) -> bool:
        """Whether money that was paid then is credited."""
        return paid_at_ms < self.expire_time_ms

    def is_over(self, now_ms: int) -> bool:
        """Whether nobody is to pay for it any more. One that is past its time may wait for the sweep."""
        is_late = self.status is RechargeStatus.CREATED and self.expire_time_ms <= now_ms
        return is_late or self.status is RechargeStatus.EXPIRED


# Operations: all that ever changes a wallet.


@dataclass(frozen=True, slots=True)
class TakeCoins:
    """Take coins for an order, once."""

    user_id: int
    brand_id: int
    order_id: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class ReleaseCoins:
    """Give back what is left of what an order took, and let it take nothing any more."""

    order_id: int


@dataclass(frozen=True, slots=True)
class RefundCoins:
    """Give back a part of what an order took, once a `request_id`."""

    user_id: int
    brand_id: int
    order_id: int
    request_id: str
    amount_fen: int


@dataclass(frozen=True, slots=True)
class CreditCoins:
    """Add coins that a recharge bought or a sale earned, once."""

    user_id: int
    brand_id: int
    money_log_type: MoneyLogType
    order_id: int
    amount_fen: int


Operation: TypeAlias = TakeCoins | ReleaseCoins | RefundCoins | CreditCoins


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation left in the wallet; 0 where it touched none. A repeat answers what the first one answered."""

    user_money_fen: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation changed nothing."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


Outcome: TypeAlias = Answer | Refusal
