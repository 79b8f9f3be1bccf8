"""The parts of the ledger's rows, on SQLite and in small: what is measured has to do what it is named after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench import full_records, naive, raw_commits
from bench.engine_choice import DatabaseEngine, DatabaseName
from bench.new_records import NewRecords
from bench.settled import NotDeliveredError
from mesh import migrations
from mesh.database import Database
from sms_rpc.tables import record

SQLITE = DatabaseEngine(DatabaseName.SQLITE)
SMS_MIGRATIONS = Path(full_records.__file__).parents[1] / "sms_rpc" / "migrations"


async def test_the_naive_ledger_loses_nothing_between_callers() -> None:
    async with naive.running_naive(SQLITE) as ledger:
        await asyncio.gather(*(naive.pair(ledger) for _ in range(20)))
        balance = await ledger.balance(naive.BRAND_ID)
    assert (balance.frozen, balance.spent) == (0, 20)


async def test_the_naive_ledger_refuses_what_is_not_there() -> None:
    async with naive.running_naive(SQLITE) as ledger:
        await ledger.open_brand(2, 5)
        with pytest.raises(naive.RefusedError, match="6 credits are more than the 5 available"):
            await ledger.freeze(2, "a", 6)
        await ledger.freeze(2, "b", 5)
        await ledger.pay(2, "b")
        with pytest.raises(naive.RefusedError, match="freeze b is PAID"):
            await ledger.pay(2, "b")
        assert (await ledger.balance(2)).spent == 5


async def test_commits_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_commits, "COMMITS", 50)
    (found,) = (await raw_commits.commits_rates(SQLITE)).values()
    assert found > 0


async def test_a_full_table_is_older_than_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_records, "_CHUNK", 400)
    url = f"sqlite:///{tmp_path}/sms.db"
    database = Database(url)
    await migrations.upgrade(database, SMS_MIGRATIONS)
    await full_records.fill(url, first_brand_id=100, brands=10, records=1000)
    records = NewRecords(database)
    assert await records.last_id() == 1000
    await records.until_delivered(501, 500)
    async with database.write() as connection:
        await connection.execute(sa.update(record).where(record.c.record_id == 600).values(status="FAILED"))
        brands = (await connection.execute(sa.select(sa.func.count(record.c.brand_id.distinct())))).scalar_one()
    assert brands == 10
    with pytest.raises(NotDeliveredError, match="499 of 500"):
        await records.until_delivered(501, 500)
    await database.close()
