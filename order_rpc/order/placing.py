"""Placing an order: check it, write it, take stock, coupon and coins, confirm it, or give back what was taken.

Each step may be made again: a request that is repeated, after a crash too, goes on where the first one stopped. An
order that nobody goes on with is cancelled when its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy.exc

from mesh.errors import DomainError
from mesh.ids import IdAllocator
from order_rpc.order import refusals
from order_rpc.order.book import OrderBook, WholeOrder
from order_rpc.order.cancelling import Cancelling
from order_rpc.order.checking import Checking
from order_rpc.order.clients import Coupons, Goods, Wallets
from order_rpc.order.domain import Amounts, Order, OrderLine, OrderRequest, OrderStatus, PayStatus, Policy


class Placing:
    """Places orders."""

    def __init__(
        self,
        book: OrderBook,
        *,
        ids: IdAllocator,
        checking: Checking,
        goods: Goods,
        coupons: Coupons,
        wallets: Wallets,
        cancelling: Cancelling,
        policy: Policy,
    ) -> None:
        self._book = book
        self._ids = ids
        self._checking = checking
        self._goods = goods
        self._coupons = coupons
        self._wallets = wallets
        self._cancelling = cancelling
        self._policy = policy

    async def place(self, request: OrderRequest) -> WholeOrder:
        """Place an order. The same request gets the order that it made as it is now, or the refusal that it got.

        Raises what `Checking.check` raises, and KEY_REUSED. After UNAVAILABLE the same request goes on.
        """
        look = await self._book.find(request)
        order, lines = look.found or await self._write(request, look.now_ms)
        if order.order_status is OrderStatus.UNCONFIRMED:
            await self._take(order, lines)
            order = await self._book.confirm(order, lines)
        if order.is_refused:
            raise refusals.order_refused(order)
        return order, lines

    async def _write(self, request: OrderRequest, now_ms: int) -> WholeOrder:
        """Check the order and write it. When the same request was just written by another, that one counts.

        What cannot be had may be what that one has taken.
        """
        try:
            lines, amounts = await self._checking.check(request, now_ms)
            order = self._order(request, await self._ids.allocate(1), amounts, now_ms)
            await self._book.write(order, lines)
        except (DomainError, sqlalchemy.exc.IntegrityError):
            found = (await self._book.find(request)).found
            if found is None:
                raise
            return found
        return order, lines

    def _order(self, request: OrderRequest, order_id: int, amounts: Amounts, now_ms: int) -> Order:
        return Order(
            order_id=order_id,
            brand_id=request.brand_id,
            user_id=request.user_id,
            request_id=request.request_id,
            body_hash=request.body_hash(),
            from_cart=request.from_cart,
            order_status=OrderStatus.UNCONFIRMED,
            pay_status=PayStatus.UNPAID,
            address=request.address,
            consignee=request.consignee,
            goods_amount_fen=amounts.goods_amount_fen,
            shipping_fee_fen=amounts.shipping_fee_fen,
            order_amount_fen=amounts.order_amount_fen,
            coupon_id=request.coupon_id,
            coupon_paid_fen=amounts.coupon_paid_fen,
            money_paid_fen=amounts.money_paid_fen,
            pay_amount_fen=amounts.pay_amount_fen,
            add_time_ms=now_ms,
            expire_time_ms=now_ms + self._policy.confirm_ms_max,
        )

    async def _take(self, order: Order, lines: Sequence[OrderLine]) -> None:
        """Take what the order needs. What cannot be had cancels it, and everything is given back."""
        try:
            await self._goods.reserve(order, lines)
            if order.coupon_id:
                await self._coupons.use(order)
            if order.money_paid_fen:
                await self._wallets.debit(order)
        except DomainError as error:
            if error.is_retryable:
                # Whether it was taken is not known: the same request asks again, or the order's time runs out.
                raise
            await self._cancelling.cancel(order.order_id, error.reason, error.message)
