"""Wallets checked against themselves: every balance proven from its log, every log entry from what it was for.

Pure functions over rows, which they take one after the other: a log of any length is proven in little memory. What
leaves no trace in the rows (that a refusal changes nothing) cannot be a rule here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from order_rpc.wallet.domain import (
    Debit,
    DebitState,
    MoneyLog,
    MoneyLogType,
    Recharge,
    RechargeStatus,
    Wallet,
    WalletKey,
)

Left = TypeVar("Left")
Right = TypeVar("Right")
Key = TypeVar("Key", int, WalletKey)

RULES: Mapping[str, str] = {
    "gapless": "the log of a wallet is numbered from 1 without a gap, up to the wallet's seq",
    "balance": "the entries add up to each balance in the log, and to the wallet's",
    "below zero": "no balance was ever below zero",
    "sign": "PAY takes, REFUND, RECHARGE and EARN give",
    "once": "each of order, type and request is in the log once",
    "debit": "an order took what its one PAY entry says, of the wallet that it names",
    "refund": "what an order gave back is what its REFUND entries say, and never more than it took",
    "released": "an order that is released has given everything back",
    "recharge": "a recharge that is paid, and no other, has its one RECHARGE entry",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that breaks a rule: `subject` names it, `figures` show how."""

    rule: str
    subject: str
    figures: Mapping[str, int | str]

    def __str__(self) -> str:
        figures = ", ".join(f"{name}={value}" for name, value in self.figures.items())
        return f"{RULES[self.rule]}: {self.subject}: {figures}"


def prove_wallets(wallets: Iterable[Wallet], logs: Iterable[MoneyLog]) -> Iterator[Violation]:
    """Replay every log. Both come in the order of user_id and brand_id, the logs then in the order of seq."""
    for _, wallet, entries in _side_by_side(wallets, lambda one: one.key, logs, lambda one: one.wallet_key):
        yield from _replay(wallet, entries)


def prove_orders(debits: Iterable[Debit], logs: Iterable[MoneyLog]) -> Iterator[Violation]:
    """Compare debits with what was entered for their orders. Both come in the order of order_id."""
    for order_id, debit, entries in _side_by_side(debits, lambda one: one.order_id, logs, lambda one: one.order_id):
        of_order = [log for log in entries if log.money_log_type is not MoneyLogType.RECHARGE]
        yield from _check_once(of_order)
        yield from _check_debit(order_id, debit, of_order)


def prove_recharges(recharges: Iterable[Recharge], logs: Iterable[MoneyLog]) -> Iterator[Violation]:
    """Compare recharges with what was entered for them. Both come in the order of recharge_id, order_id of a log."""
    for recharge_id, recharge, entries in _side_by_side(
        recharges, lambda one: one.recharge_id, logs, lambda one: one.order_id
    ):
        credited = [
            (log.user_id, log.brand_id, log.use_money_fen)
            for log in entries
            if log.money_log_type is MoneyLogType.RECHARGE
        ]
        is_paid = recharge is not None and recharge.status is RechargeStatus.PAID
        due = [(recharge.user_id, recharge.brand_id, recharge.amount_fen)] if recharge and is_paid else []
        if credited != due:
            status = recharge.status.name if recharge else "none"
            figures = {"status": status, "due": str(due), "credited": str(credited)}
            yield Violation("recharge", f"recharge {recharge_id}", figures)


def _replay(wallet: Wallet | None, logs: Iterable[MoneyLog]) -> Iterator[Violation]:
    """Add up one log from its beginning."""
    seq = balance_fen = 0
    last: MoneyLog | None = None
    for last in logs:
        subject = f"entry {last.seq} of user {last.user_id}, brand {last.brand_id}"
        if last.seq != seq + 1:
            yield Violation("gapless", subject, {"seq": last.seq, "expected": seq + 1})
        balance_fen += last.use_money_fen
        if last.user_money_fen != balance_fen:
            yield Violation("balance", subject, {"user_money_fen": last.user_money_fen, "added_up": balance_fen})
        if balance_fen < 0:
            yield Violation("below zero", subject, {"added_up": balance_fen})
        if (last.use_money_fen < 0) is not (last.money_log_type is MoneyLogType.PAY) or last.use_money_fen == 0:
            yield Violation("sign", subject, {"type": last.money_log_type.name, "use_money_fen": last.use_money_fen})
        seq = last.seq
    of_wallet = wallet or (Wallet(last.user_id, last.brand_id) if last else Wallet(0, 0))
    subject = f"wallet of user {of_wallet.user_id}, brand {of_wallet.brand_id}"
    if of_wallet.seq != seq:
        yield Violation("gapless", subject, {"seq": of_wallet.seq, "last_entry": seq})
    if of_wallet.user_money_fen != balance_fen:
        yield Violation("balance", subject, {"user_money_fen": of_wallet.user_money_fen, "added_up": balance_fen})


def _check_once(logs: Sequence[MoneyLog]) -> Iterator[Violation]:
    names = sorted(log.name for log in logs)
    for (order_id, money_log_type, request_id), same in groupby(names):
        times = len(list(same))
        if times > 1:
            figures: dict[str, int | str] = {"type": money_log_type.name, "request_id": request_id, "times": times}
            yield Violation("once", f"order {order_id}", figures)


def _check_debit(order_id: int, debit: Debit | None, logs: Sequence[MoneyLog]) -> Iterator[Violation]:
    subject = f"order {order_id}"
    took = debit or Debit(order_id, DebitState.RELEASED)
    paid = [(*log.wallet_key, -log.use_money_fen) for log in logs if log.money_log_type is MoneyLogType.PAY]
    due = [(*took.wallet_key, took.use_money_fen)] if took.use_money_fen else []
    if paid != due:
        yield Violation("debit", subject, {"taken": str(due), "entered": str(paid)})
    refunds = [log for log in logs if log.money_log_type is MoneyLogType.REFUND]
    entered_fen = sum(log.use_money_fen for log in refunds)
    is_elsewhere = any(log.wallet_key != took.wallet_key for log in refunds)
    if entered_fen != took.refunded_fen or not 0 <= took.refunded_fen <= took.use_money_fen or is_elsewhere:
        figures = {"taken": took.use_money_fen, "refunded": took.refunded_fen, "entered": entered_fen}
        yield Violation("refund", subject, figures)
    if took.state is DebitState.RELEASED and took.left_fen:
        yield Violation("released", subject, {"left_fen": took.left_fen})


def _side_by_side(
    lefts: Iterable[Left],
    left_key: Callable[[Left], Key],
    rights: Iterable[Right],
    right_key: Callable[[Right], Key],
) -> Iterator[tuple[Key, Left | None, Iterator[Right]]]:
    """Pair each left, one a key, with the rights of its key; both are sorted, and either may be missing."""
    groups = groupby(rights, right_key)
    waiting = next(groups, None)
    for left in lefts:
        key = left_key(left)
        while waiting is not None and waiting[0] < key:
            yield waiting[0], None, waiting[1]
            waiting = next(groups, None)
        if waiting is not None and waiting[0] == key:
            yield key, left, waiting[1]
            waiting = next(groups, None)
        else:
            yield key, left, iter(())
    while waiting is not None:
        yield waiting[0], None, waiting[1]
        waiting = next(groups, None)
