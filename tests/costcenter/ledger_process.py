"""A cost center in a process of its own: one that stops where it is told, to be killed there, or one of two that race.

    ledger_process.py stop <database url> ledger|jobs <point>
    ledger_process.py race <database url> <credits of each freeze>

What was acknowledged is written as one JSON line each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from costcenter_rpc.domain import Answer, Grant, Operation, Pay, Policy, PrePay, Release, ReportStatus, SendStatus
from costcenter_rpc.jobs import Jobs
from costcenter_rpc.ledger import Ledger
from mesh.bus.memory import MemoryBus
from mesh.database import Database
from mesh.errors import DomainError

BRAND = 7
FAR_MS = 4_000_000_000_000
POINTS = ("before the lock", "under the lock", "after the writes", "after the commit")

ACKNOWLEDGED: Sequence[Operation] = (Grant(BRAND, "g1", 100, FAR_MS), PrePay(BRAND, "f1", 10), PrePay(BRAND, "f2", 10))
"""What is done and answered before the fatal transaction."""

FATAL: Sequence[Operation] = (
    Grant(BRAND, "g2", 50, FAR_MS),
    PrePay(BRAND, "f3", 10),
    PrePay(BRAND, "too-much", 1000),
    Pay(BRAND, "p1", f"{BRAND}-2", 4),
    ReportStatus(BRAND, "s1", f"{BRAND}-6", SendStatus.FAILED, 1, 1),
    Release(BRAND, "r1", "f2"),
)
"""What the transaction holds in which the process is killed."""

FATAL_JOBS = (Release(BRAND, "j1", "f1", 3), Release(BRAND, "j2", "f2"))

RACES = 100
RACERS_AT_ONCE = 20


class StoppingDatabase(Database):
    """Stops for ever at a point of the transaction that comes after `stop_at` is set."""

    stop_at = ""

    async def _pass(self, point: str) -> None:
        if point == self.stop_at:
            say({"stopped": point})
            await asyncio.Event().wait()

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        await self._pass("before the lock")
        async with super().write(bulk=bulk) as connection:
            await self._pass("under the lock")
            yield connection
            await self._pass("after the writes")
        await self._pass("after the commit")


def say(line: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def told(answer: Answer | BaseException) -> str:
    """An answer in one word: the object, or the reason of the refusal."""
    if isinstance(answer, DomainError):
        return answer.reason
    if isinstance(answer, BaseException):
        raise answer
    return answer.object_id


async def stop(url: str, what: str, point: str) -> None:
    database = StoppingDatabase(url)
    async with aclosing(Ledger(database, Policy())) as ledger, aclosing(Jobs(database, ledger, MemoryBus())) as jobs:
        for operation in ACKNOWLEDGED:
            say({operation.request_id: told(await ledger.apply(operation))})  # type: ignore[union-attr]  # requests all
        database.stop_at = point
        if what == "jobs":
            await jobs.store_all(FATAL_JOBS)
        else:
            await ledger.apply_all(FATAL)


async def race(url: str, num: str) -> None:
    database = Database(url)
    async with aclosing(Ledger(database, Policy())) as ledger:
        say({"ready": ""})
        await asyncio.to_thread(sys.stdin.readline)
        for start in range(0, RACES, RACERS_AT_ONCE):
            operations = [PrePay(BRAND, f"r{number}", int(num)) for number in range(start, start + RACERS_AT_ONCE)]
            answers = await asyncio.gather(*(ledger.apply_all([one, one]) for one in operations))
            for operation, (first, second) in zip(operations, answers, strict=True):
                assert told(first) == told(second)
                say({operation.request_id: told(first)})
    await database.close()


if __name__ == "__main__":
    main = stop if sys.argv[1] == "stop" else race
    asyncio.run(main(*sys.argv[2:]))
