"""The fold and its tables, without a database: each transition that is there, and each that is not."""

from __future__ import annotations

import itertools

import pytest

from mesh.transitions import changes
from order_rpc.wallet.book import Book
from order_rpc.wallet.domain import (
    DEBIT_TRANSITIONS,
    RECHARGE_TRANSITIONS,
    Answer,
    CreditCoins,
    Debit,
    DebitEvent,
    DebitState,
    MoneyLog,
    MoneyLogType,
    Operation,
    RechargeEvent,
    RechargeStatus,
    RefundCoins,
    Refusal,
    ReleaseCoins,
    TakeCoins,
    Wallet,
)

USER, BRAND, ORDER = 1, 7, 11
NOW_MS = 1_000

OPERATIONS: dict[DebitEvent, Operation] = {
    DebitEvent.TAKE: TakeCoins(USER, BRAND, ORDER, 400),
    DebitEvent.REFUND: RefundCoins(USER, BRAND, ORDER, "refund-1", 150),
    DebitEvent.RELEASE: ReleaseCoins(ORDER),
}


def make_book(state: DebitState | None, *, balance_fen: int = 1_000) -> tuple[Book, Wallet]:
    """Make a book of one wallet, whose order stands where it is said to stand."""
    debits, logs = {}, {}
    if state is not None:
        refunded_fen = 400 if state is DebitState.RELEASED else 0
        debits[ORDER] = Debit(ORDER, state, USER, BRAND, 400, refunded_fen)
        paid = MoneyLog(USER, BRAND, 1, MoneyLogType.PAY, ORDER, "", -400, 600, NOW_MS)
        logs[paid.name] = paid
    wallet = Wallet(USER, BRAND, balance_fen, 5)
    return Book({wallet.key: wallet}, debits, logs, now_ms=NOW_MS), wallet


@pytest.mark.parametrize(("state", "event"), list(itertools.product((None, *DebitState), DebitEvent)))
def test_each_pair_of_a_debit_does_what_its_table_says(state: DebitState | None, event: DebitEvent) -> None:
    book, wallet = make_book(state)
    outcome = book.apply(OPERATIONS[event])
    target = DEBIT_TRANSITIONS.get((state, event))
    assert isinstance(outcome, Refusal) is (target is None)
    touched = {**book.changes.new_debits, **book.changes.debits}
    moves = {
        (None, DebitEvent.TAKE): -400,
        (DebitState.TAKEN, DebitEvent.REFUND): 150,
        (DebitState.TAKEN, DebitEvent.RELEASE): 400,
    }
    moved_fen = moves.get((state, event), 0)
    assert wallet.user_money_fen == 1_000 + moved_fen
    assert [log.use_money_fen for log in book.changes.logs] == ([moved_fen] if moved_fen else [])
    is_new = state is None and target is not None
    assert [debit.state for debit in touched.values()] == ([target] if moved_fen or is_new else [])


REASONS = {
    (DebitState.RELEASED, DebitEvent.TAKE): "DEBIT_RELEASED",
    (None, DebitEvent.REFUND): "DEBIT_NOT_FOUND",
}


@pytest.mark.parametrize(("pair", "reason"), list(REASONS.items()))
def test_what_is_not_there_is_refused_with_its_reason(pair: tuple[DebitState | None, DebitEvent], reason: str) -> None:
    outcome = make_book(pair[0])[0].apply(OPERATIONS[pair[1]])
    assert isinstance(outcome, Refusal)
    assert outcome.reason == reason


def test_no_other_pair_is_missing() -> None:
    pairs = set(itertools.product((None, *DebitState), DebitEvent))
    assert pairs - DEBIT_TRANSITIONS.keys() == REASONS.keys()


def test_a_recharge_leaves_created_once_and_nothing_leaves_an_end() -> None:
    for (status, _), target in RECHARGE_TRANSITIONS.items():
        assert status is RechargeStatus.CREATED or target is status
    for event in RechargeEvent:
        assert list(changes(RECHARGE_TRANSITIONS, event).values()) == [[RechargeStatus.CREATED]]
    expiring = [status for status in RechargeStatus if (status, RechargeEvent.EXPIRE) in RECHARGE_TRANSITIONS]
    assert expiring == [RechargeStatus.CREATED]


def test_the_numbers_of_the_source_are_kept() -> None:
    assert (MoneyLogType.PAY, MoneyLogType.REFUND) == (1, 2)


def test_operations_of_one_batch_see_each_other() -> None:
    book, wallet = make_book(None)
    operations: list[Operation] = [
        TakeCoins(USER, BRAND, 21, 900),
        TakeCoins(USER, BRAND, 22, 200),
        ReleaseCoins(21),
        TakeCoins(USER, BRAND, 21, 900),
        TakeCoins(USER, BRAND, 22, 200),
        CreditCoins(USER, BRAND, MoneyLogType.EARN, 23, 50),
        CreditCoins(USER, BRAND, MoneyLogType.EARN, 23, 50),
    ]
    told = [one.reason if isinstance(one, Refusal) else one.user_money_fen for one in map(book.apply, operations)]
    assert told == [100, "WALLET_SHORT", 1_000, "DEBIT_RELEASED", 800, 850, 850]
    assert [(log.seq, log.user_money_fen) for log in book.changes.logs] == [(6, 100), (7, 1_000), (8, 800), (9, 850)]
    assert (wallet.seq, book.seqs_read) == (9, {(USER, BRAND): 5})
    # One that was made and changed within the batch is written once, as new.
    assert (list(book.changes.new_debits), list(book.changes.debits)) == ([21, 22], [])


def test_what_came_first_decides_between_a_state_and_other_words() -> None:
    book, _ = make_book(DebitState.RELEASED)
    outcome = book.apply(TakeCoins(USER, BRAND, ORDER, 401))
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "DEBIT_RELEASED"


def test_an_order_that_was_refunded_in_full_is_released_without_an_entry() -> None:
    book, _ = make_book(DebitState.TAKEN)
    assert isinstance(book.apply(RefundCoins(USER, BRAND, ORDER, "all", 400)), Answer)
    assert isinstance(book.apply(ReleaseCoins(ORDER)), Answer)
    assert len(book.changes.logs) == 1
    assert book.changes.debits[ORDER].state is DebitState.RELEASED


def test_a_fold_that_would_go_below_zero_does_not_commit() -> None:
    """It cannot be asked for: the check stands where all entries pass, for the case that a rule above it is wrong."""
    book, wallet = make_book(None)
    with pytest.raises(AssertionError, match="would leave"):
        book._enter(wallet, MoneyLogType.PAY, 31, -1_001)
