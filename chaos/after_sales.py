"""What comes after a sale: the goods are sent and received, and parts of the money go back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from random import Random

from chaos.customer import Customer
from chaos.shop_told import PaidBack
from mesh.money import to_fen, to_yuan
from meshctl.app import Json

_LATEST = 50


@dataclass(slots=True)
class AfterSales:
    """Goes on with the paid orders of one user. Nobody else does, so none of it is refused."""

    customer: Customer
    random: Random
    user_id: str
    _number: itertools.count[int] = field(default_factory=itertools.count)

    async def go_on_with_one(self) -> None:
        """Do the next thing with some order that is paid, if there is one."""
        page = await self.customer.insist("GET", f"/users/{self.user_id}/orders?pageSize={_LATEST}")
        paid = [
            order for order in page["orders"] if order["orderStatus"] == "confirmed" and order["payStatus"] == "paid"
        ]
        if not paid:
            return
        order = self.random.choice(paid)
        if self.random.random() < 0.4:  # noqa: PLR2004  # more goods are kept than sent back
            await self._refund(order)
        elif order["shippingStatus"] == "unshipped":
            await self._ship(order)
        elif order["shippingStatus"] == "shipped":
            await self._receive(order)

    async def _ship(self, order: Json) -> None:
        seller_id, order_id = order["sellerId"], order["orderId"]
        whose = f"{seller_id}/sales" if seller_id else f"{self.user_id}/orders"
        await self.customer.insist("POST", f"/users/{whose}/{order_id}:ship", {})

    async def _receive(self, order: Json) -> None:
        await self.customer.insist("POST", f"/users/{self.user_id}/orders/{order['orderId']}:receive", {})
        self.customer.told.shop.received.append(order["orderId"])

    async def _refund(self, order: Json) -> None:
        if order["sellerId"] and order["shippingStatus"] == "received":
            return  # The seller has the money.
        paid_fen = to_fen(order["moneyPaid"], "money_paid") + to_fen(order["payAmount"], "pay_amount")
        left_fen = paid_fen - to_fen(order["refundedAmount"], "refunded_amount")
        if not left_fen:
            return
        amount_fen = self.random.choice((left_fen, self.random.randint(1, left_fen)))
        body = {
            "requestId": f"{self.user_id}-back-{next(self._number)}",
            "refundAmount": to_yuan(amount_fen),
        }
        await self.customer.insist("POST", f"/users/{self.user_id}/orders/{order['orderId']}:refund", body)
        self.customer.told.shop.paid_back.append(PaidBack(order["orderId"], amount_fen))
