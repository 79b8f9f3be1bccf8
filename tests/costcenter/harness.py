"""The real cost center on a database of its own, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc import tables
from costcenter_rpc.audit import audit
from costcenter_rpc.domain import DAY_MS, Answer, Grant, Operation, Pay, Policy, PrePay
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from costcenter_rpc.service import CostCenter
from costcenter_rpc.wiring import MIGRATIONS
from mesh.bus.memory import MemoryBus
from mesh.bus.port import BusUnavailableError, Message
from mesh.database import Database
from mesh.errors import DomainError
from tests.costcenter.model import Rows
from tests.databases import empty_database

START_MS = 1_800_000_000_000
HOUR_MS = DAY_MS // 24
BRAND = 7
OTHER_BRAND = 8
POLICY = Policy(freeze_lifetime_ms=DAY_MS, grace_ms=7 * DAY_MS)


class Clock:
    """The time that a `ClockedDatabase` tells."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def pass_ms(self, duration_ms: int) -> None:
        self.now_ms += duration_ms


class ClockedDatabase(Database):
    """A database whose clock the test moves, and whose next transactions it can spoil."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url)
        self._clock = clock
        self.transactions = 0
        self.lost_before_commit = 0
        self.lost_replies = 0

    async def now_ms(self, connection: AsyncConnection) -> int:  # noqa: ARG002  # the real one asks the connection
        return self._clock.now_ms

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        self.transactions += 1
        async with super().write(bulk=bulk) as connection:
            yield connection
            if self.lost_before_commit:
                self.lost_before_commit -= 1
                raise connection_lost()
        if self.lost_replies:
            self.lost_replies -= 1
            raise connection_lost()


def connection_lost() -> DomainError:
    """What a caller of the database gets when the connection breaks; whether it committed is not known then."""
    return DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "the connection is lost")


class SwitchedBus(MemoryBus):
    """A bus that can be away for publishers."""

    is_away = False

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        if self.is_away:
            raise BusUnavailableError("switched off")
        await super().publish(queue, messages, delay_seconds)


@dataclass(frozen=True)
class Center:
    """All parts of a cost center, on one database."""

    clock: Clock
    database: ClockedDatabase
    bus: SwitchedBus
    ledger: Ledger
    jobs: Jobs
    cost_center: CostCenter

    async def open(self, *brand_ids: int) -> None:
        for brand_id in brand_ids:
            await self.cost_center.open_account(brand_id)

    async def do(self, operation: Operation) -> Answer | DomainError:
        """Do one operation; answer a refusal as a value."""
        (answer,) = await self.ledger.apply_all([operation])
        assert isinstance(answer, Answer | DomainError), answer
        return answer

    async def grant(self, num: int, *, brand_id: int = BRAND, lifetime_ms: int = 100 * DAY_MS) -> str:
        """Grant a package under a request id of its own; answer its lot id."""
        seq = (await self.cost_center.get_account(brand_id)).seq
        expires_at_ms = self.clock.now_ms + lifetime_ms
        return (await self.ledger.apply(Grant(brand_id, f"grant-{seq}", num, expires_at_ms))).object_id

    async def freeze(self, request_id: str, num: int, *, lifetime_ms: int = 0) -> str:
        """Freeze credits; answer the freeze's id."""
        expires_at_ms = self.clock.now_ms + lifetime_ms if lifetime_ms else 0
        return (await self.ledger.apply(PrePay(BRAND, request_id, num, expires_at_ms))).object_id

    async def pay(self, request_id: str, num: int) -> str:
        """Freeze credits and charge them all; answer the payment's id."""
        freeze_id = await self.freeze(request_id, num)
        return (await self.ledger.apply(Pay(BRAND, request_id, freeze_id))).object_id

    async def rows(self, *names: str) -> Rows:
        """Read whole tables (all, if none is named), each in the order of its primary key."""
        chosen = [table for table in tables.metadata.tables.values() if not names or table.name in names]
        async with self.database.read() as connection:
            return {
                table.name: [
                    dict(row._mapping)
                    for row in await connection.execute(sa.select(table).order_by(*table.primary_key.columns))
                ]
                for table in chosen
            }

    async def is_sound(self) -> None:
        assert await audit(self.database) == []


async def prepare(directory: Path) -> str:
    """Make an empty, migrated database; answer its URL."""
    return await empty_database(directory, "costcenter", (MIGRATIONS, tables.metadata))


@asynccontextmanager
async def running(url: str, policy: Policy = POLICY, clock: Clock | None = None) -> AsyncIterator[Center]:
    """A cost center on the database at `url`."""
    clock = clock or Clock()
    database = ClockedDatabase(url, clock)
    bus = SwitchedBus(lambda: clock.now_ms)
    try:
        async with aclosing(Ledger(database, policy)) as ledger, aclosing(Jobs(database, ledger, bus)) as jobs:
            yield Center(clock, database, bus, ledger, jobs, CostCenter(database, ledger))
    finally:
        await bus.close()
        await database.close()
