"""Writing what was admitted: attempts, what is left of the stock, and the messages to the wallet, in one transaction.

Everything is checked again under the lock of the sale: the rows are the truth, and Redis may have been wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import IdAllocator
from mesh.messages import NewMessage, Outbox
from order_rpc.flash_sale import messages, refusals, storage
from order_rpc.flash_sale.admission import Admission, Outcome, Settled
from order_rpc.flash_sale.clients import OrderIds
from order_rpc.flash_sale.domain import (
    HOLDING,
    Attempt,
    AttemptStatus,
    FlashSale,
    Refusal,
    Wanted,
    is_same_request,
    refusal_of,
)

Answer: TypeAlias = Attempt | DomainError
RequestName: TypeAlias = tuple[int, int, str]
"""flash_sale_id, user_id, request_id."""

PUBLISH_PACE_SECONDS = 0.1
"""How long the coins of a buyer may wait for those of others, so that what follows leaves room for those who come."""

_OUTCOMES = {Refusal.LIMIT_REACHED: Outcome.LIMIT, Refusal.SOLD_OUT: Outcome.GONE}

log = telemetry.logger(part="flash sales")


class ToWrite(NamedTuple):
    """A request that Redis has admitted, or has seen before: then its row is only looked for."""

    wanted: Wanted
    is_admitted: bool


@dataclass(slots=True)
class _Batch:
    """The requests of one transaction as they are folded: what is known, and what is to be written."""

    sales: dict[int, FlashSale]
    known: dict[RequestName, Attempt]
    ids: Iterator[tuple[int, int]]
    now_ms: int
    left: dict[int, int] = field(init=False)
    held: Counter[tuple[int, int]] = field(init=False)
    failed: Counter[tuple[int, int]] = field(init=False)
    attempts: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = {sale_id: sale.left_number for sale_id, sale in self.sales.items()}
        whose = [(one.status in HOLDING, (one.flash_sale_id, one.user_id)) for one in self.known.values()]
        self.held = Counter(user for is_holding, user in whose if is_holding)
        self.failed = Counter(user for is_holding, user in whose if not is_holding)

    def take(self, wanted: Wanted) -> tuple[Answer, Outcome]:
        """Take one of a sale's stock, or say why it cannot be had, and what Redis is to make of it."""
        known = self.known.get(_name(wanted))
        if known is not None:
            return _repeated(known, wanted), Outcome.KEPT if known.status in HOLDING else Outcome.KNOWN
        sale = self.sales.get(wanted.flash_sale_id)
        user = (wanted.flash_sale_id, wanted.user_id)
        if sale is None or sale.brand_id != wanted.brand_id:
            refusal: Refusal | None = Refusal.NOT_FOUND
        else:
            refusal = refusal_of(
                sale,
                self.left[sale.flash_sale_id],
                held_number=self.held[user],
                failed_number=self.failed[user],
                now_ms=self.now_ms,
            )
        if sale is None or refusal is not None:
            refusal = refusal or Refusal.NOT_FOUND
            return refusals.refused(refusal, wanted.flash_sale_id), _OUTCOMES.get(refusal, Outcome.UNDONE)
        self.left[sale.flash_sale_id] -= 1
        self.held[user] += 1
        attempt = _new_attempt(sale, wanted, next(self.ids), self.now_ms)
        self.known[_name(wanted)] = attempt
        self.attempts.append(attempt)
        return attempt, Outcome.KEPT

    def messages(self) -> list[NewMessage]:
        """Tell what follows: the coins, or at once the order of what costs nothing."""
        return [
            messages.stock_taken(one)
            if one.status is AttemptStatus.IN_PROGRESS
            else messages.sold(self.sales[one.flash_sale_id], one)
            for one in self.attempts
        ]


class Writing:
    """Writes attempts, many in one transaction, and tells Redis what became of each."""

    def __init__(
        self, database: Database, admission: Admission, outbox: Outbox, ids: IdAllocator, order_ids: OrderIds
    ) -> None:
        self._database = database
        self._admission = admission
        self._outbox = outbox
        self._ids = ids
        self._order_ids = order_ids
        self._has_unpublished = False
        self._publishing: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        if self._publishing is not None:
            await self._publishing

    async def write_all(self, requests: Sequence[ToWrite]) -> Sequence[Answer]:
        """Write up to 1,000 requests; one attempt or refusal each, in order."""
        admitted = [one.wanted for one in requests if one.is_admitted]
        if not admitted:
            return await self._find_all([one.wanted for one in requests])
        try:
            written = await self._write(admitted)
        except Exception:
            # Whether it was committed may not be known. If it was, Redis is now too generous, which the rows correct.
            await self._settle(admitted, [Outcome.UNDONE] * len(admitted))
            raise
        await self._settle(admitted, [outcome for _, outcome in written])
        self._publish()
        answers = iter(written)
        seen = iter(await self._find_all([one.wanted for one in requests if not one.is_admitted]))
        return [next(answers)[0] if one.is_admitted else next(seen) for one in requests]

    async def _write(self, admitted: Sequence[Wanted]) -> list[tuple[Answer, Outcome]]:
        first_id = await self._ids.allocate(len(admitted))
        order_ids = await self._order_ids.take(len(admitted))
        ids = zip(range(first_id, first_id + len(admitted)), order_ids, strict=True)
        async with self._database.write() as connection:
            sales = await storage.lock_sales(connection, {one.flash_sale_id for one in admitted})
            known = await _read_known(connection, admitted)
            batch = _Batch(sales, known, ids, await self._database.now_ms(connection))
            written = [batch.take(one) for one in admitted]
            await storage.insert_attempts(connection, batch.attempts)
            changed = {one.flash_sale_id for one in batch.attempts}
            await storage.write_left(connection, {sale_id: batch.left[sale_id] for sale_id in changed})
            await self._outbox.add(connection, batch.messages())
        return written

    async def _find_all(self, wanted: Sequence[Wanted]) -> list[Answer]:
        """Answer repeats with what their rows say."""
        if not wanted:
            return []
        async with self._database.read() as connection:
            known = await _read_known(connection, wanted)
        found = [(known.get(_name(one)), one) for one in wanted]
        return [_repeated(row, one) if row else refusals.request_under_way(one.request_id) for row, one in found]

    async def _settle(self, admitted: Sequence[Wanted], outcomes: Sequence[Outcome]) -> None:
        """Tell Redis. What it does not hear of, the repair makes up for."""
        by_sale: dict[int, list[Settled]] = defaultdict(list)
        for one, outcome in zip(admitted, outcomes, strict=True):
            by_sale[one.flash_sale_id].append(Settled(one.user_id, one.request_id, outcome))
        try:
            for flash_sale_id, settled in by_sale.items():
                await self._admission.settle(flash_sale_id, settled)
        except DomainError as error:
            log.warning("admissions wait for the repair", error=str(error))

    def _publish(self) -> None:
        """Publish in the background: the answer waits for the transaction alone."""
        self._has_unpublished = True
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish_at_a_pace())

    async def _publish_at_a_pace(self) -> None:
        """Publish what several transactions have written together: whatever follows is done for as many at once."""
        while self._has_unpublished:
            await asyncio.sleep(PUBLISH_PACE_SECONDS)
            self._has_unpublished = False
            await self._outbox.publish()


async def _read_known(connection: AsyncConnection, wanted: Collection[Wanted]) -> dict[RequestName, Attempt]:
    """Read all attempts of those users in those sales."""
    users: dict[int, set[int]] = defaultdict(set)
    for one in wanted:
        users[one.flash_sale_id].add(one.user_id)
    return {
        (sale_id, row.user_id, row.request_id): row
        for sale_id in sorted(users)
        for row in await storage.read_attempts_of_users(connection, sale_id, users[sale_id])
    }


def _name(wanted: Wanted) -> RequestName:
    return wanted.flash_sale_id, wanted.user_id, wanted.request_id


def _repeated(known: Attempt, wanted: Wanted) -> Answer:
    return known if is_same_request(known, wanted) else refusals.key_reused(wanted.request_id)


def _new_attempt(sale: FlashSale, wanted: Wanted, ids: tuple[int, int], now_ms: int) -> Attempt:
    """What costs nothing is sold at once."""
    attempt_id, order_id = ids
    return Attempt(
        attempt_id=attempt_id,
        order_id=order_id,
        flash_sale_id=sale.flash_sale_id,
        brand_id=sale.brand_id,
        user_id=wanted.user_id,
        request_id=wanted.request_id,
        address=wanted.address,
        consignee=wanted.consignee,
        price_fen=sale.price_fen,
        status=AttemptStatus.IN_PROGRESS if sale.price_fen else AttemptStatus.SOLD,
        add_time_ms=now_ms,
        finish_time_ms=0 if sale.price_fen else now_ms,
    )
