"""What orders have of coupons: many orders in one transaction, each by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.messages import ReceivedMessage
from order_rpc.coupon import refusals, storage, tables
from order_rpc.coupon.domain import USE_TRANSITIONS, Coupon, Use, UseEvent, UseState, Wish, refuse_wish

BATCH_MAX = 500
PENDING_MAX = 20_000


@dataclass(slots=True)
class _Batch:
    """The wishes of one transaction as they are folded: how coupons stand by then, and what is to be written."""

    now_ms: int
    coupons: dict[int, Coupon]
    uses: dict[int, Use]
    used: list[Coupon]
    new_uses: list[Use]

    def use(self, wish: Wish) -> DomainError | None:
        """Have an order use its coupon, or say why it cannot."""
        coupon = self.coupons.get(wish.coupon_id)
        refusal = refuse_wish(wish, coupon, self.uses.get(wish.order_id), self.now_ms)
        if refusal is not None:
            return refusals.coupon_refused(wish.coupon_id, refusal)
        if coupon is not None and not coupon.is_used:
            coupon = coupon.used_by(wish.order_id, self.now_ms)
            use = Use(wish.order_id, wish.coupon_id, USE_TRANSITIONS[None, UseEvent.USE])
            self.coupons[wish.coupon_id], self.uses[wish.order_id] = coupon, use
            self.used.append(coupon)
            self.new_uses.append(use)
        return None


class CouponUsing:
    """Has orders use coupons, and gives these back."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._using: Coalescer[Wish, DomainError | None] = Coalescer(
            self._use_all, name="the use of coupons", batch_max=BATCH_MAX, pending_max=PENDING_MAX,
            poison=(IntegrityError,),
        )  # fmt: skip

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._using.close()

    async def use(self, wish: Wish) -> None:
        """Have an order use a coupon; a repeat changes nothing.

        Raises COUPON_NOT_FOUND, COUPON_USED, COUPON_EXPIRED, COUPON_RELEASED for an order that was cancelled, and
        KEY_REUSED for one that has another coupon.
        """
        refusal = await self._using.submit(wish)
        if refusal is not None:
            raise refusal

    async def _use_all(self, wishes: Sequence[Wish]) -> Sequence[DomainError | None]:
        try:
            return await self._use_in_one(wishes)
        except IntegrityError:
            # Another process was first with one of the orders, and what it wrote is seen now.
            return await self._use_in_one(wishes)

    async def _use_in_one(self, wishes: Sequence[Wish]) -> Sequence[DomainError | None]:
        async with self._database.write() as connection:
            # Uses before coupons, each in the order of their ids, as those who give back do.
            uses = await storage.lock_uses(connection, [wish.order_id for wish in wishes])
            coupons = await storage.lock_coupons(connection, [wish.coupon_id for wish in wishes])
            batch = _Batch(await self._database.now_ms(connection), coupons, uses, [], [])
            answers = [batch.use(wish) for wish in wishes]
            await storage.insert_uses(connection, batch.new_uses)
            if await storage.use_coupons(connection, batch.used) != len(batch.used):
                raise RuntimeError("a coupon was used though its row is locked")
        return answers

    async def release_all(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        """Give back what cancelled orders use, and let them use nothing any more: the effect of order.cancelled."""
        order_ids = {int(message.key) for message in messages}
        uses = await storage.lock_uses(connection, order_ids)
        await _give_back(connection, uses.values())
        unknown = sorted(order_ids - uses.keys())
        if unknown:
            # Written once coupons are held, as by those who use: nobody waits for coupons with a row that is wanted.
            state = USE_TRANSITIONS[None, UseEvent.RELEASE]
            rows = [storage.use_row(Use(order_id, 0, state)) for order_id in unknown]
            await self._database.insert_ignore(connection, tables.coupon_use, rows)
            # Another process may have been first with one of them, and has used a coupon.
            await _give_back(connection, (await storage.lock_uses(connection, unknown)).values())


async def _give_back(connection: AsyncConnection, uses: Iterable[Use]) -> None:
    """Give back the coupons of those of locked uses that have one, and move them on."""
    used = [use for use in uses if use.state is UseState.USED]
    await storage.lock_coupons(connection, [use.coupon_id for use in used])
    await storage.release_uses(connection, used)
    await storage.give_back_coupons(connection, used)
