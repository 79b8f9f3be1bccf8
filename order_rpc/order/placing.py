"""Placing an order: check it, write it, take stock, coupon and coins, confirm it, or give back what was taken.

Each step may be made again: a request that is repeated, after a crash too, goes on where the first one stopped. An
order that nobody goes on with is cancelled when its time is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import sqlalchemy.exc

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.messages import Outbox
from order_rpc.order import messages, refusals, storage
from order_rpc.order.cancelling import Cancelling
from order_rpc.order.checking import Checking
from order_rpc.order.clients import Coupons, Goods, Wallets
from order_rpc.order.domain import Amounts, Order, OrderEvent, OrderLine, OrderRequest, OrderStatus, PayStatus, Policy

BATCH_MAX = 200
PENDING_MAX = 10_000

Made = tuple[Order, Sequence[OrderLine]]


class Placing:
    """Places orders. Rows of many are written together."""

    def __init__(
        self,
        database: Database,
        *,
        ids: IdAllocator,
        checking: Checking,
        goods: Goods,
        coupons: Coupons,
        wallets: Wallets,
        cancelling: Cancelling,
        outbox: Outbox,
        policy: Policy,
    ) -> None:
        self._database = database
        self._ids = ids
        self._checking = checking
        self._goods = goods
        self._coupons = coupons
        self._wallets = wallets
        self._cancelling = cancelling
        self._outbox = outbox
        self._policy = policy
        self._writing: Coalescer[Made, None] = Coalescer(
            self._write_all,
            name="the order book",
            batch_max=BATCH_MAX,
            pending_max=PENDING_MAX,
            poison=(sqlalchemy.exc.IntegrityError,),
        )
        self._confirming: Coalescer[Made, None] = Coalescer(
            self._confirm_all, name="the confirmations", batch_max=BATCH_MAX, pending_max=PENDING_MAX
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._writing.close()
        await self._confirming.close()

    async def place(self, request: OrderRequest) -> int:
        """Place an order; answer its id. The same request gets the order that it made, or the refusal that it got.

        Raises what `Checking.check` raises, and KEY_REUSED. After UNAVAILABLE the same request goes on.
        """
        found = await self._find(request)
        made = found if found is not None else await self._write(request)
        if made[0].order_status is OrderStatus.UNCONFIRMED:
            await self._take(*made)
            await self._confirming.submit(made)
            made = (await self._read(made[0].order_id), made[1])
        if made[0].is_refused:
            raise refusals.order_refused(made[0])
        return made[0].order_id

    async def _find(self, request: OrderRequest) -> Made | None:
        async with self._database.read() as connection:
            order = await storage.read_order_of_request(
                connection, request.brand_id, request.user_id, request.request_id
            )
            if order is None:
                return None
            if order.body_hash != request.body_hash():
                raise refusals.key_reused(request.request_id)
            return order, (await storage.read_lines(connection, [order.order_id]))[order.order_id]

    async def _write(self, request: OrderRequest) -> Made:
        """Check the order and write it. When the same request was just written by another, that one counts."""
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
        lines, amounts = await self._checking.check(request, now_ms)
        order = self._order(request, await self._ids.allocate(1), amounts, now_ms)
        try:
            await self._writing.submit((order, lines))
        except sqlalchemy.exc.IntegrityError:
            found = await self._find(request)
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

    async def _write_all(self, made: Sequence[Made]) -> Sequence[None]:
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.insert_orders(connection, made)
            await storage.insert_steps(connection, [(order.order_id, "CREATE", "") for order, _ in made], now_ms)
        return [None] * len(made)

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

    async def _confirm_all(self, made: Sequence[Made]) -> Sequence[None]:
        """Confirm those that are not cancelled."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            locked = await storage.lock_orders(connection, [order.order_id for order, _ in made])
            open_ids = {order_id for order_id, one in locked.items() if one.order_status is OrderStatus.UNCONFIRMED}
            fresh = [(order, lines) for order, lines in {one[0].order_id: one for one in made}.values()]
            fresh = [(order, lines) for order, lines in fresh if order.order_id in open_ids]
            unpaid = [order.order_id for order, _ in fresh if order.confirm_event is OrderEvent.CONFIRM]
            paid = [order.order_id for order, _ in fresh if order.confirm_event is OrderEvent.CONFIRM_PAID]
            times = {"confirm_time_ms": now_ms, "expire_time_ms": now_ms + self._policy.lifetime_ms}
            if unpaid:
                await storage.move_orders(connection, unpaid, OrderEvent.CONFIRM, **times)
            if paid:
                await storage.move_orders(connection, paid, OrderEvent.CONFIRM_PAID, **times, pay_time_ms=now_ms)
            steps = [(order.order_id, order.confirm_event.value, "") for order, _ in fresh]
            await storage.insert_steps(connection, steps, now_ms)
            lifetime_seconds = self._policy.lifetime_ms / 1000
            told = [one for order, lines in fresh for one in messages.confirmed(order, lines, lifetime_seconds)]
            await self._outbox.add(connection, told)
        if told:
            await self._outbox.publish()
        return [None] * len(made)

    async def _read(self, order_id: int) -> Order:
        async with self._database.read() as connection:
            order = await storage.read_order(connection, order_id)
        if order is None:
            raise refusals.order_not_found(order_id)
        return order
