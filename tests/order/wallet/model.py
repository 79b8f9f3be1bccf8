"""What wallets should hold, written as plainly as can be: sums over what happened, and no tables, locks or batches."""

from __future__ import annotations

from dataclasses import dataclass, field

Key = tuple[int, int]
"""user_id, brand_id"""


@dataclass
class ModelOrder:
    """What one order took and got back. `key` None: it was cancelled before it took anything."""

    key: Key | None
    taken_fen: int = 0
    left_then_fen: int = 0
    refunds: dict[str, int] = field(default_factory=dict)
    is_cancelled: bool = False

    @property
    def left_fen(self) -> int:
        return 0 if self.is_cancelled else self.taken_fen - sum(self.refunds.values())


@dataclass
class ModelRecharge:
    key: Key
    amount_fen: int
    status: str = "CREATED"
    is_paid_back: bool = False


@dataclass
class Model:
    """Everybody's coins. Each operation answers what the service should."""

    moved: dict[Key, list[int]] = field(default_factory=dict)
    """What came and went, in order."""
    orders: dict[int, ModelOrder] = field(default_factory=dict)
    sales: dict[int, tuple[Key, int]] = field(default_factory=dict)
    recharges: dict[str, ModelRecharge] = field(default_factory=dict)

    def balance(self, key: Key) -> int:
        return sum(self.moved.get(key, []))

    def _move(self, key: Key, fen: int) -> None:
        self.moved.setdefault(key, []).append(fen)

    def debit(self, key: Key, order_id: int, amount_fen: int) -> int | str:
        """Answer what is left, or the reason of the refusal."""
        order = self.orders.get(order_id)
        if order is not None and order.is_cancelled:
            return "DEBIT_RELEASED"
        if order is not None:
            return order.left_then_fen if (order.key, order.taken_fen) == (key, amount_fen) else "KEY_REUSED"
        if self.balance(key) < amount_fen:
            return "WALLET_SHORT"
        self._move(key, -amount_fen)
        self.orders[order_id] = ModelOrder(key, amount_fen, self.balance(key))
        return self.balance(key)

    def cancel(self, order_id: int) -> str:
        order = self.orders.setdefault(order_id, ModelOrder(None))
        if order.key is not None and order.left_fen:
            self._move(order.key, order.left_fen)
        order.is_cancelled = True
        return "SUCCEEDED"

    def refund(self, key: Key, order_id: int, request_id: str, amount_fen: int) -> str:
        order = self.orders.get(order_id)
        if order is None:
            return "DEBIT_NOT_FOUND"
        if request_id in order.refunds:
            return "SUCCEEDED" if order.refunds[request_id] == amount_fen else "KEY_REUSED"
        if order.is_cancelled:
            return "SUCCEEDED"
        if order.key != key:
            return "DEBIT_NOT_FOUND"
        if amount_fen > order.left_fen:
            return "REFUND_TOO_HIGH"
        order.refunds[request_id] = amount_fen
        self._move(key, amount_fen)
        return "SUCCEEDED"

    def sell(self, key: Key, order_id: int, amount_fen: int) -> str:
        if order_id in self.sales:
            return "SUCCEEDED" if self.sales[order_id] == (key, amount_fen) else "KEY_REUSED"
        self.sales[order_id] = (key, amount_fen)
        self._move(key, amount_fen)
        return "SUCCEEDED"

    def pay(self, recharge_id: str, *, is_late: bool) -> str:
        recharge = self.recharges[recharge_id]
        if recharge.status == "CREATED" and not is_late:
            recharge.status = "PAID"
            self._move(recharge.key, recharge.amount_fen)
        elif recharge.status != "PAID":
            recharge.status = "EXPIRED"
            recharge.is_paid_back = True
        return "SUCCEEDED"

    def expire(self, recharge_id: str) -> None:
        recharge = self.recharges[recharge_id]
        if recharge.status == "CREATED":
            recharge.status = "EXPIRED"
