"""The audit on doctored books: each rule is broken by a row, and finds it. Pure; what reads the rows is tested last."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from order_rpc.wallet import audit_rows, tables
from order_rpc.wallet.audit import RULES, Violation, prove_orders, prove_recharges, prove_wallets
from order_rpc.wallet.domain import Debit, DebitState, MoneyLog, MoneyLogType, Recharge, RechargeStatus, Wallet
from tests.order.wallet.harness import OTHER_USER, USER, Till

BRAND = 7
ENTRIES = 20
PAY, REFUND, RECHARGE, EARN = MoneyLogType


@dataclasses.dataclass
class Books:
    """Sound books of two users, until a test doctors them."""

    wallets: list[Wallet]
    logs: list[MoneyLog]
    debits: list[Debit]
    recharges: list[Recharge]

    def prove(self) -> list[Violation]:
        by_wallet = sorted(self.logs, key=lambda log: (log.wallet_key, log.seq))
        by_order = sorted(self.logs, key=lambda log: log.name)
        return [
            *prove_wallets(sorted(self.wallets, key=lambda wallet: wallet.key), by_wallet),
            *prove_orders(sorted(self.debits, key=lambda debit: debit.order_id), by_order),
            *prove_recharges(sorted(self.recharges, key=lambda one: one.recharge_id), by_order),
        ]

    def broken(self) -> set[str]:
        return {violation.rule for violation in self.prove()}

    def change(self, rows: list[Any], place: int, **values: object) -> None:
        rows[place] = dataclasses.replace(rows[place], **values)


def log(
    place: tuple[int, int], kind: MoneyLogType, order_id: int, amounts: tuple[int, int], request: str = ""
) -> MoneyLog:
    """Make an entry: (user_id, seq), (what came, the balance after it)."""
    user_id, seq = place
    return MoneyLog(user_id, BRAND, seq, kind, order_id, request, *amounts, 1)


def recharge(recharge_id: int, status: RechargeStatus) -> Recharge:
    return Recharge(recharge_id, 1, BRAND, f"r-{recharge_id}", "", 1_000, status, "url", 1, 2)


@pytest.fixture
def books() -> Books:
    return Books(
        wallets=[Wallet(1, BRAND, 700, 4), Wallet(2, BRAND, 50, 1)],
        logs=[
            log((1, 1), RECHARGE, 101, (1_000, 1_000)),
            log((1, 2), PAY, 11, (-400, 600)),
            log((1, 3), REFUND, 11, (150, 750), "one"),
            log((1, 4), PAY, 12, (-50, 700)),
            log((2, 1), EARN, 12, (50, 50)),
        ],
        debits=[
            Debit(11, DebitState.TAKEN, 1, BRAND, 400, 150),
            Debit(12, DebitState.TAKEN, 1, BRAND, 50),
            Debit(13, DebitState.RELEASED),
        ],
        recharges=[recharge(101, RechargeStatus.PAID), recharge(102, RechargeStatus.EXPIRED)],
    )


def test_sound_books_break_no_rule(books: Books) -> None:
    assert books.prove() == []


def test_empty_books_break_no_rule() -> None:
    assert Books([], [], [], []).prove() == []


DOCTORED: dict[str, tuple[list[Callable[[Books], object]], set[str]]] = {
    "a coin in a wallet that no entry brought": ([lambda b: b.change(b.wallets, 0, user_money_fen=701)], {"balance"}),
    "a wallet that counts an entry more": ([lambda b: b.change(b.wallets, 0, seq=5)], {"gapless"}),
    "a wallet without its log": ([lambda b: b.wallets.append(Wallet(3, BRAND, 1, 1))], {"gapless", "balance"}),
    "a log without its wallet": ([lambda b: b.wallets.pop()], {"gapless", "balance"}),
    "an entry that is gone": ([lambda b: b.logs.pop(1)], {"gapless", "balance", "debit"}),
    "the last entry gone": ([lambda b: b.logs.pop(3)], {"gapless", "balance", "debit"}),
    "an entry that is added": (
        [lambda b: b.logs.append(log((2, 2), EARN, 14, (5, 55)))],
        {"gapless", "balance"},
    ),
    "an entry of another amount": (
        [lambda b: b.change(b.logs, 1, use_money_fen=-399)],
        {"balance", "debit"},
    ),
    "an entry with another balance after it": ([lambda b: b.change(b.logs, 1, user_money_fen=601)], {"balance"}),
    "a balance below zero": (
        [
            lambda b: b.change(b.logs, 3, use_money_fen=-751, user_money_fen=-1),
            lambda b: b.change(b.wallets, 0, user_money_fen=-1),
            lambda b: b.change(b.debits, 1, use_money_fen=751),
        ],
        {"below zero"},
    ),
    "a sale that takes": (
        [
            lambda b: b.change(b.logs, 4, use_money_fen=-50, user_money_fen=-50),
            lambda b: b.change(b.wallets, 1, user_money_fen=-50),
        ],
        {"sign", "below zero"},
    ),
    "an entry of nothing": (
        [lambda b: b.logs.append(log((2, 2), EARN, 14, (0, 50))), lambda b: b.change(b.wallets, 1, seq=2)],
        {"sign"},
    ),
    "a sale that pays twice": (
        [
            lambda b: b.logs.append(log((2, 2), EARN, 12, (50, 100))),
            lambda b: b.change(b.wallets, 1, user_money_fen=100, seq=2),
        ],
        {"once"},
    ),
    "an order that pays twice": (
        [
            lambda b: b.logs.append(log((1, 5), PAY, 12, (-50, 650))),
            lambda b: b.change(b.wallets, 0, user_money_fen=650, seq=5),
        ],
        {"once", "debit"},
    ),
    "an order that pays without a debit": ([lambda b: b.debits.pop(1)], {"debit"}),
    "a debit without its entry": ([lambda b: b.debits.append(Debit(14, DebitState.TAKEN, 1, BRAND, 5))], {"debit"}),
    "a debit of another user": ([lambda b: b.change(b.debits, 1, user_id=2)], {"debit"}),
    "a debit of another amount": ([lambda b: b.change(b.debits, 1, use_money_fen=51)], {"debit"}),
    "a refund that the debit does not know": ([lambda b: b.change(b.debits, 0, refunded_fen=0)], {"refund"}),
    "a refund to somebody else": (
        [
            lambda b: b.change(b.debits, 1, refunded_fen=50),
            lambda b: b.logs.append(log((2, 2), REFUND, 12, (50, 100))),
            lambda b: b.change(b.wallets, 1, user_money_fen=100, seq=2),
        ],
        {"refund"},
    ),
    "more given back than taken": (
        [
            lambda b: b.change(b.debits, 1, refunded_fen=60),
            lambda b: b.logs.append(log((1, 5), REFUND, 12, (60, 760))),
            lambda b: b.change(b.wallets, 0, user_money_fen=760, seq=5),
        ],
        {"refund"},
    ),
    "a refund of a tombstone": (
        [
            lambda b: b.logs.append(log((1, 5), REFUND, 13, (60, 760))),
            lambda b: b.change(b.wallets, 0, user_money_fen=760, seq=5),
        ],
        {"refund"},
    ),
    "released, and not given back": ([lambda b: b.change(b.debits, 1, state=DebitState.RELEASED)], {"released"}),
    "a paid recharge without coins": (
        [lambda b: b.recharges.append(recharge(103, RechargeStatus.PAID))],
        {"recharge"},
    ),
    "coins of an expired recharge": (
        [lambda b: b.change(b.recharges, 0, status=RechargeStatus.EXPIRED)],
        {"recharge"},
    ),
    "coins of a recharge that is not there": ([lambda b: b.recharges.pop(0)], {"recharge"}),
    "coins of a recharge for somebody else": ([lambda b: b.change(b.recharges, 0, user_id=2)], {"recharge"}),
    "coins of another amount than the recharge's": (
        [lambda b: b.change(b.recharges, 0, amount_fen=1_001)],
        {"recharge"},
    ),
}


@pytest.mark.parametrize("what", DOCTORED)
def test_doctored_books_break_just_the_rules_that_they_break(books: Books, what: str) -> None:
    doctors, rules = DOCTORED[what]
    for doctor in doctors:
        doctor(books)
    assert books.broken() == rules


def test_each_rule_is_broken_by_some_books() -> None:
    broken: Iterable[set[str]] = (rules for _, rules in DOCTORED.values())
    assert set().union(*broken) == RULES.keys()


def test_a_violation_says_what_and_how(books: Books) -> None:
    books.change(books.wallets, 0, user_money_fen=701)
    (violation,) = books.prove()
    assert str(violation) == (
        "the entries add up to each balance in the log, and to the wallet's: wallet of user 1, brand 7: "
        "user_money_fen=701, added_up=700"
    )


# Reading the rows.


async def test_rows_are_read_in_pages_of_any_size(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    for user_id in (USER, OTHER_USER):
        await till.fund(1_000, user_id=user_id)
        for order_id in range(10):
            await till.debit(user_id * 100 + order_id, 10, user_id=user_id)
    await till.tell(till.cancelled(101), till.refunded(102, 5), till.cancelled(999))
    recharge = await till.recharge()
    await till.tell(till.paid(recharge, 5_000))
    for rows in (1, 2, 3, 5_000):
        monkeypatch.setattr(audit_rows, "PAGE_ROWS", rows)
        await till.is_sound()


async def test_violations_are_told_up_to_a_bound(till: Till) -> None:
    for user_id in range(1, 6):
        await till.fund(1_000, user_id=user_id)
    raised = sa.update(tables.account).values(user_money_fen=tables.account.c.user_money_fen + 1)
    lowered = sa.update(tables.account).values(user_money_fen=tables.account.c.user_money_fen - 1)
    await till.running.execute(raised)
    assert [len(await audit_rows.audit(till.running.database, bound)) for bound in (3, 100)] == [3, 5]
    await till.running.execute(lowered)


async def test_wallets_are_proven_while_they_are_worked_on(till: Till) -> None:
    """Entries come in while pages are read: the audit sees one moment."""
    await till.fund(100_000)
    stop = asyncio.Event()

    async def work() -> None:
        order_id = 0
        while not stop.is_set():
            order_id += 1
            await till.debit(order_id, 1)

    working = asyncio.create_task(work())
    while (await till.wallet()).seq < ENTRIES:
        await till.is_sound()
    stop.set()
    await working
