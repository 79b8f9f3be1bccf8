"""The audit finds each kind of damage, and only damage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from costcenter_rpc import tables
from costcenter_rpc.audit import RULES, VIOLATIONS_MAX, audit
from costcenter_rpc.domain import DAY_MS, ExpireFreeze, Pay, Release, ReportReceipt, ReportStatus, SendStatus
from tests.costcenter.harness import BRAND, HOUR_MS, OTHER_BRAND, Center, prepare, running
from tests.databases import SERVER_URL

on_sqlite = pytest.mark.skipif(bool(SERVER_URL), reason="only SQLite lets a test write what its checks forbid")

DAMAGE: dict[str, list[str]] = {
    "I1, I3: granted = available + frozen + spent + expired, none below zero": [
        "UPDATE account SET granted = granted + 1 WHERE brand_id = 7",
        "UPDATE account SET available = -1, spent = spent + available + 1 WHERE brand_id = 7",
    ],
    "I2: packages hold what is available and what is frozen": [
        "UPDATE account SET available = available - 1, spent = spent + 1 WHERE brand_id = 7",
        "DELETE FROM lot WHERE is_open",
    ],
    "I4: open freezes hold what is frozen": [
        "UPDATE account SET available = available - 1, frozen = frozen + 1 WHERE brand_id = 7",
        "UPDATE freeze SET captured = captured + 1 WHERE state = 'FROZEN'",
        "DELETE FROM freeze WHERE state = 'FROZEN'",
    ],
    "payments hold what is spent": ["UPDATE payment SET refunded = refunded - 1 WHERE refunded > 0"],
    "bought packages hold what was granted": ["UPDATE lot SET granted = granted + 1 WHERE NOT grace"],
    "grace packages hold what was refunded to them": ["UPDATE lot SET granted = granted + 1 WHERE grace"],
    "I5: a freeze's amounts are those of its state": [
        "UPDATE freeze SET state = 'FROZEN' WHERE state = 'PAID'",
        "UPDATE freeze SET state = 'PAID' WHERE state = 'FROZEN'",
        "UPDATE freeze SET state = 'RELEASED' WHERE state = 'PAID'",
        "UPDATE freeze SET state = 'LOST'",
    ],
    "I9: a freeze has the request that made it": ["DELETE FROM remembered_request WHERE key = '7/prepay/open'"],
    "I9: a request is done once": ["UPDATE entry SET request_id = 'open' WHERE kind = 'FREEZE'"],
    "a freeze has captured what its payments charged": ["UPDATE payment SET charged = charged + 1"],
    "I6: allocations are what was charged and refunded": [
        "DELETE FROM allocation WHERE position = 0",
        "UPDATE allocation SET num = num + 1",
        "UPDATE allocation SET refunded = refunded - 1 WHERE refunded > 0",
        "UPDATE allocation SET position = position + 1000",
    ],
    "I6: no allocation gives back more than it took, nor to another brand": [
        "UPDATE allocation SET refunded = num + 1",
        "UPDATE allocation SET num = 0, refunded = 0",
        "UPDATE allocation SET lot_id = '8-1'",
        "DELETE FROM payment",
    ],
    "no settlement is beyond its payment": [
        "UPDATE settlement SET refunded = 1000",
        "UPDATE settlement SET extra = 1000",
        "UPDATE settlement SET brand_id = 8",
    ],
    "every credit of a package is somewhere": [
        "UPDATE lot SET remaining = remaining + 1",
        "UPDATE lot SET is_open = NOT is_open",
        "UPDATE entry SET expired = expired + 100 WHERE kind = 'LOT_EXPIRE'",
    ],
    "I10: the statement is gapless and adds up to the balance": [
        "DELETE FROM entry WHERE brand_id = 7 AND seq = 2",
        "UPDATE entry SET seq = 1000 WHERE brand_id = 7 AND seq = 2",
        "UPDATE account SET seq = seq + 1",
        "DELETE FROM entry WHERE brand_id = 8",
    ],
    "I10: an entry moves credits as its kind says": [
        "UPDATE entry SET kind = 'RELEASE' WHERE kind = 'FREEZE'",
        "UPDATE entry SET kind = 'GIFT' WHERE kind = 'GRANT'",
        "UPDATE entry SET available = 0, granted = 0 WHERE kind = 'GRANT'",
        "UPDATE entry SET expired = 1 WHERE kind = 'PAY'",
    ],
    "I3, I10: the statement is never below zero": ["UPDATE entry SET available = available - 100 WHERE seq = 2"],
    "I12: an applied job has its request": [
        "DELETE FROM remembered_request WHERE key = '7/release/job'",
        "UPDATE remembered_request SET body_hash = 'x' WHERE key = '7/release/job'",
    ],
    "every lot has its account": ["UPDATE lot SET brand_id = 99 WHERE brand_id = 7"],
    "every freeze has its account": ["UPDATE freeze SET brand_id = 99 WHERE brand_id = 7"],
    "every payment has its account": ["UPDATE payment SET brand_id = 99 WHERE brand_id = 7"],
    "every entry has its account": ["DELETE FROM account WHERE brand_id = 7"],
}


@pytest_asyncio.fixture
async def history(tmp_path: Path) -> AsyncIterator[Center]:
    """A ledger in which everything has happened."""
    async with running(await prepare(tmp_path)) as center:
        await center.open(BRAND, OTHER_BRAND)
        await center.grant(10, brand_id=OTHER_BRAND)
        await center.grant(20, lifetime_ms=DAY_MS)
        await center.grant(30)
        await center.freeze("open", 4, lifetime_ms=30 * DAY_MS)
        paid = await center.pay("paid", 18)
        await center.ledger.apply(ReportReceipt(BRAND, "less", paid, 1, delivered=False, charged_num=1))
        await center.ledger.apply(ReportReceipt(BRAND, "more", paid, 2, delivered=True, charged_num=1, billed_num=2))
        late = await center.freeze("late", 3, lifetime_ms=HOUR_MS)
        (job_id,) = await center.jobs.store_all([Release(BRAND, "job", "open", 1)])
        assert isinstance(job_id, int)
        await center.jobs.apply([job_id])
        center.clock.pass_ms(2 * DAY_MS)
        await center.ledger.apply(ExpireFreeze(BRAND, late))
        await center.ledger.apply(Pay(BRAND, "late", late))
        await center.ledger.apply(ReportStatus(BRAND, "failed", paid, SendStatus.FAILED))
        yield center


async def test_a_full_history_is_sound(history: Center) -> None:
    assert await audit(history.database) == []
    kinds = {row["kind"] for row in (await history.rows("entry"))["entry"]}
    assert len(kinds) == 9, kinds


def test_each_rule_is_tested() -> None:
    assert set(DAMAGE) == set(RULES)


@on_sqlite
@pytest.mark.parametrize(("rule", "statement"), [(rule, one) for rule, some in DAMAGE.items() for one in some])
async def test_damage_is_found(history: Center, rule: str, statement: str) -> None:
    async with history.database.write() as connection:
        await connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        changed = await connection.exec_driver_sql(statement)
        assert changed.rowcount > 0
    found = [violation for violation in await audit(history.database) if violation.rule == rule]
    assert found
    assert str(found[0]).startswith(f"{rule}: ")


async def test_a_flood_of_violations_is_cut(history: Center) -> None:
    async with history.database.write() as connection:
        without_entries = {"available": 1, "frozen": 0, "spent": 0, "expired": 0, "granted": 1, "seq": 0}
        rows = [{"brand_id": 1000 + number, **without_entries} for number in range(VIOLATIONS_MAX + 50)]
        await connection.execute(sa.insert(tables.account), rows)
    found = [violation.rule for violation in await audit(history.database)]
    assert max(found.count(rule) for rule in RULES) == VIOLATIONS_MAX
