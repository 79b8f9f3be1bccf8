"""How operations change wallets: a fold without a database.

`Book.apply` takes one operation after another and answers each, changing nothing when it refuses. Storage reads a book
under the locks of its debits and wallets and writes what changed, in one transaction.

Invariants, which hold after every operation:
    a wallet's log is numbered from 1 without a gap, and adds up to its balance
    no balance is below zero
    what an order gave back is never more than what it took
    each of (order_id, money_log_type, request_id) is in the log once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from order_rpc.wallet.domain import (
    DEBIT_TRANSITIONS,
    Answer,
    CreditCoins,
    Debit,
    DebitEvent,
    DebitState,
    LogName,
    MoneyLog,
    MoneyLogType,
    Operation,
    Outcome,
    RefundCoins,
    Refusal,
    ReleaseCoins,
    TakeCoins,
    Wallet,
    WalletKey,
)

WALLET_SHORT = "WALLET_SHORT"
"""Why coins are not taken that are not there."""


@dataclass(slots=True)
class Changes:
    """What has to be written, each object once. A new debit that changes again stays new."""

    logs: list[MoneyLog] = field(default_factory=list)
    new_debits: dict[int, Debit] = field(default_factory=dict)
    debits: dict[int, Debit] = field(default_factory=dict)
    wallets: dict[WalletKey, Wallet] = field(default_factory=dict)

    def touch_debit(self, debit: Debit) -> None:
        if debit.order_id not in self.new_debits:
            self.debits[debit.order_id] = debit


class Book:
    """Wallets under their locks: what was read of them, and what operations have changed so far.

    The caller gives the wallets, the debits and the log entries that the operations name. What is not there does not
    exist; but a wallet that is to be given coins has to be there.
    """

    def __init__(
        self,
        wallets: Mapping[WalletKey, Wallet],
        debits: Mapping[int, Debit],
        logs: Mapping[LogName, MoneyLog],
        *,
        now_ms: int,
    ) -> None:
        self._wallets = wallets
        self._debits = dict(debits)
        self._logs = dict(logs)
        self._now_ms = now_ms
        self.seqs_read = {key: wallet.seq for key, wallet in wallets.items()}
        self.debits_read = {debit.order_id: (debit.state, debit.refunded_fen) for debit in debits.values()}
        self.changes = Changes()

    def apply(self, operation: Operation) -> Outcome:
        """Do one operation, or refuse it and change nothing."""
        match operation:
            case TakeCoins():
                return self._take(operation)
            case ReleaseCoins():
                return self._release(operation)
            case RefundCoins():
                return self._refund(operation)
            case CreditCoins():
                return self._credit(operation)

    # Each as it would be refused: by the state, then for other words under the same name, then for the amount.

    def _take(self, wanted: TakeCoins) -> Outcome:
        debit = self._debits.get(wanted.order_id)
        target = DEBIT_TRANSITIONS.get((debit.state if debit else None, DebitEvent.TAKE))
        if target is None:
            return Refusal("DEBIT_RELEASED", f"order {wanted.order_id} was cancelled; its coins are given back")
        if debit is not None:
            if (*debit.wallet_key, debit.use_money_fen) != (wanted.user_id, wanted.brand_id, wanted.amount_fen):
                return _key_reused(f"order {wanted.order_id} took other coins before")
            return Answer(self._logs[wanted.order_id, MoneyLogType.PAY, ""].user_money_fen)
        wallet = self._wallets.get((wanted.user_id, wanted.brand_id))
        available_fen = wallet.user_money_fen if wallet else 0
        if wallet is None or available_fen < wanted.amount_fen:
            return _short(available_fen, wanted.amount_fen)
        self._new_debit(Debit(wanted.order_id, target, wanted.user_id, wanted.brand_id, wanted.amount_fen))
        return self._enter(wallet, MoneyLogType.PAY, wanted.order_id, -wanted.amount_fen)

    def _release(self, wanted: ReleaseCoins) -> Outcome:
        debit = self._debits.get(wanted.order_id)
        target = DEBIT_TRANSITIONS[debit.state if debit else None, DebitEvent.RELEASE]
        if debit is None:
            self._new_debit(Debit(wanted.order_id, target))
            return Answer(0)
        if debit.state is target:
            return Answer(0)
        left_fen, debit.state = debit.left_fen, target
        debit.refunded_fen = debit.use_money_fen
        self.changes.touch_debit(debit)
        wallet = self._wallets[debit.wallet_key]
        if not left_fen:
            return Answer(wallet.user_money_fen)
        return self._enter(wallet, MoneyLogType.REFUND, debit.order_id, left_fen)

    def _refund(self, wanted: RefundCoins) -> Outcome:
        debit = self._debits.get(wanted.order_id)
        target = DEBIT_TRANSITIONS.get((debit.state if debit else None, DebitEvent.REFUND))
        if debit is None or target is None:
            return Refusal("DEBIT_NOT_FOUND", f"order {wanted.order_id} took no coins that could be given back")
        known = self._logs.get((wanted.order_id, MoneyLogType.REFUND, wanted.request_id))
        if known is not None:
            return self._repeat_refund(wanted, known)
        if debit.state is DebitState.RELEASED:
            return Answer(0)
        if debit.wallet_key != (wanted.user_id, wanted.brand_id):
            return Refusal("DEBIT_NOT_FOUND", f"order {wanted.order_id} took no coins of user {wanted.user_id}")
        if wanted.amount_fen > debit.left_fen:
            return _too_high(wanted, debit.left_fen)
        debit.state = target
        debit.refunded_fen += wanted.amount_fen
        self.changes.touch_debit(debit)
        wallet = self._wallets[debit.wallet_key]
        return self._enter(wallet, MoneyLogType.REFUND, wanted.order_id, wanted.amount_fen, wanted.request_id)

    @staticmethod
    def _repeat_refund(wanted: RefundCoins, known: MoneyLog) -> Outcome:
        if known.use_money_fen != wanted.amount_fen:
            return _key_reused(f"refund {wanted.request_id} of order {wanted.order_id} was of another amount")
        return Answer(known.user_money_fen)

    def _credit(self, wanted: CreditCoins) -> Outcome:
        known = self._logs.get((wanted.order_id, wanted.money_log_type, ""))
        if known is not None:
            if (*known.wallet_key, known.use_money_fen) != (wanted.user_id, wanted.brand_id, wanted.amount_fen):
                what = f"{wanted.money_log_type.name} {wanted.order_id}"
                return _key_reused(f"{what} brought other coins before")
            return Answer(known.user_money_fen)
        wallet = self._wallets[wanted.user_id, wanted.brand_id]
        return self._enter(wallet, wanted.money_log_type, wanted.order_id, wanted.amount_fen)

    # What operations are made of.

    def _new_debit(self, debit: Debit) -> None:
        self._debits[debit.order_id] = self.changes.new_debits[debit.order_id] = debit

    def _enter(
        self, wallet: Wallet, money_log_type: MoneyLogType, order_id: int, use_money_fen: int, request_id: str = ""
    ) -> Answer:
        """Change a balance and write it on the log. A wrong balance must not commit: the check stays on."""
        wallet.user_money_fen += use_money_fen
        wallet.seq += 1
        if wallet.user_money_fen < 0:
            raise AssertionError(f"{money_log_type.name} of {order_id} would leave {wallet}")
        log = MoneyLog(
            wallet.user_id, wallet.brand_id, wallet.seq, money_log_type, order_id, request_id,
            use_money_fen, wallet.user_money_fen, self._now_ms,
        )  # fmt: skip
        self._logs[log.name] = log
        self.changes.logs.append(log)
        self.changes.wallets[wallet.key] = wallet
        return Answer(wallet.user_money_fen)


def _key_reused(what: str) -> Refusal:
    return Refusal("KEY_REUSED", f"{what}; what is new needs a new id")


def _short(available_fen: int, required_fen: int) -> Refusal:
    message = f"{required_fen} fen are required and {available_fen} are there; recharge, then order anew"
    return Refusal(WALLET_SHORT, message, {"available_fen": str(available_fen), "required_fen": str(required_fen)})


def _too_high(wanted: RefundCoins, left_fen: int) -> Refusal:
    message = f"{wanted.amount_fen} fen are more than the {left_fen} left of what order {wanted.order_id} took"
    figures = {"left_fen": str(left_fen), "required_fen": str(wanted.amount_fen)}
    return Refusal("REFUND_TOO_HIGH", message, figures)
