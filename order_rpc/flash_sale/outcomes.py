"""What becomes of attempts: the wallet's answers, the time that runs out, and stock that goes back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.messages import NewMessage, Outbox, ReceivedMessage
from order_rpc.flash_sale import messages, storage
from order_rpc.flash_sale.admission import Admission, Outcome, Settled
from order_rpc.flash_sale.domain import (
    ATTEMPT_TRANSITIONS,
    HOLDING,
    Attempt,
    AttemptEvent,
    AttemptStatus,
    FlashSale,
)

OUTCOMES_CHANNEL = "flash_sale:outcomes"
"""Where the ids of attempts that came to their end are told. It is a hint: the row is the truth."""

log = telemetry.logger(part="flash sales")


class Outcomes:
    """Moves attempts to their end. What is told twice, or too late, changes nothing."""

    def __init__(
        self, database: Database, admission: Admission, outbox: Outbox, redis: Redis, *, attempt_lifetime_ms: int
    ) -> None:
        self._database = database
        self._admission = admission
        self._outbox = outbox
        self._redis = redis
        self._attempt_lifetime_ms = attempt_lifetime_ms

    async def debited(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """The coins are taken: the effect of wallet.debited."""
        await self._apply(connection, received, AttemptEvent.DEBITED)

    async def debit_refused(self, connection: AsyncConnection, received: Sequence[ReceivedMessage]) -> None:
        """The coins were short: the effect of wallet.debit_refused."""
        await self._apply(connection, received, AttemptEvent.DEBIT_REFUSED)

    async def cancel_overdue(self, attempts_max: int) -> int:
        """Give up attempts whose coins were not heard of in time; answer how many."""
        async with self._database.write() as connection:
            made_before_ms = await self._database.now_ms(connection) - self._attempt_lifetime_ms
            overdue = await storage.list_overdue(connection, made_before_ms, attempts_max)
            moved = await self._move(connection, overdue, AttemptEvent.TIME_OUT)
            await self._outbox.add(connection, [messages.cancelled(one) for one in moved])
        if moved:
            log.warning("attempts given up: nothing was heard of their coins", attempts=len(moved))
            await self._outbox.publish()
            await self.tell([one.order_id for one in moved])
        return len(moved)

    async def _apply(
        self, connection: AsyncConnection, received: Sequence[ReceivedMessage], event: AttemptEvent
    ) -> None:
        order_ids = {int(message.key) for message in received}
        attempts = await storage.read_attempts_of_orders(connection, order_ids)
        unknown = order_ids - {one.order_id for one in attempts}
        if unknown:
            raise ValueError(f"no attempt has order {min(unknown)}")
        await self._move(connection, attempts, event)

    async def _move(
        self, connection: AsyncConnection, attempts: Sequence[Attempt], event: AttemptEvent
    ) -> Sequence[Attempt]:
        """Move attempts on, with their stock and their orders; answer those that moved."""
        sales = await storage.lock_sales(connection, {one.flash_sale_id for one in attempts})
        # Read again under the locks of their sales, which all who move attempts hold.
        current = await storage.read_attempts(connection, [one.attempt_id for one in attempts])
        moving: dict[AttemptStatus, list[Attempt]] = defaultdict(list)
        for one in current.values():
            target = ATTEMPT_TRANSITIONS.get((one.status, event))
            if target is None:
                raise ValueError(f"attempt {one.attempt_id} is {one.status.name} and cannot be {event}")
            if target is not one.status:
                moving[target].append(one)
        now_ms = await self._database.now_ms(connection)
        for target, some in moving.items():
            ids = [one.attempt_id for one in some]
            await storage.move_attempts(connection, ids, AttemptStatus.IN_PROGRESS, target, now_ms)
            if target not in HOLDING:
                await _give_back(connection, sales, some)
        await self._outbox.add(connection, _sold(sales, moving[AttemptStatus.SOLD]))
        return [one for some in moving.values() for one in some]

    async def tell(self, order_ids: Collection[int]) -> None:
        """Tell Redis what became of attempts. What it does not hear of, the repair makes up for."""
        async with self._database.read() as connection:
            attempts = await storage.read_attempts_of_orders(connection, order_ids)
        by_sale: dict[int, list[Settled]] = defaultdict(list)
        for one in attempts:
            if one.status not in HOLDING:
                by_sale[one.flash_sale_id].append(Settled(one.user_id, one.request_id, Outcome.KNOWN))
        try:
            for flash_sale_id, settled in by_sale.items():
                await self._admission.settle(flash_sale_id, settled)
            ended = [str(one.attempt_id) for one in attempts if one.status is not AttemptStatus.IN_PROGRESS]
            if ended:
                await self._redis.publish(OUTCOMES_CHANNEL, " ".join(ended))
        except (DomainError, RedisError) as error:
            log.warning("outcomes wait for the repair", error=str(error))


async def _give_back(connection: AsyncConnection, sales: dict[int, FlashSale], attempts: Sequence[Attempt]) -> None:
    counts = Counter(one.flash_sale_id for one in attempts)
    left = {sale_id: sales[sale_id].left_number + count for sale_id, count in counts.items()}
    await storage.write_left(connection, left)


def _sold(sales: dict[int, FlashSale], attempts: Sequence[Attempt]) -> list[NewMessage]:
    return [messages.sold(sales[one.flash_sale_id], one) for one in attempts]
