"""How operations change one account: a fold without a database.

`Book.apply` takes one operation after another and answers each, changing nothing when it refuses. Storage reads a book
under the account's lock and writes what changed, in one transaction.

Invariants, which hold after every operation:
    granted = available + frozen + spent + expired          (spent net of refunds)
    sum(lot.remaining) = available + frozen
    frozen = sum(freeze.left) over open freezes
    all amounts are >= 0; entry seqs are gapless and add up to the balance
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

from costcenter_rpc.domain import (
    DAY_MS,
    FREEZE_REFUSALS,
    FREEZE_TRANSITIONS,
    PAYMENT_REFUSALS,
    PAYMENT_TRANSITIONS,
    TIME_MAX_MS,
    Account,
    Allocation,
    Answer,
    Balance,
    Entry,
    EntryKind,
    ExpireFreeze,
    ExpireLots,
    Freeze,
    FreezeEvent,
    FreezeState,
    Grant,
    Lot,
    Operation,
    Outcome,
    Pay,
    Payment,
    PaymentState,
    Policy,
    PrePay,
    Refusal,
    Release,
    RememberedRequest,
    ReportReceipt,
    ReportStatus,
    Request,
    SendStatus,
    Settlement,
    body_hash,
    request_key,
)

SettlementKey = tuple[str, int]
"""payment_id, message_id"""


@dataclass(slots=True)
class Changes:
    """What has to be written, each object once. New objects that change again stay new."""

    remembered: list[RememberedRequest] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    new_lots: dict[str, Lot] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)
    new_freezes: dict[str, Freeze] = field(default_factory=dict)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    new_payments: dict[str, Payment] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    new_allocations: list[Allocation] = field(default_factory=list)
    allocations: dict[tuple[str, int], Allocation] = field(default_factory=dict)
    new_settlements: dict[SettlementKey, Settlement] = field(default_factory=dict)
    settlements: dict[SettlementKey, Settlement] = field(default_factory=dict)

    def touch_lot(self, lot: Lot) -> None:
        if lot.lot_id not in self.new_lots:
            self.lots[lot.lot_id] = lot

    def touch_freeze(self, freeze: Freeze) -> None:
        if freeze.freeze_id not in self.new_freezes:
            self.freezes[freeze.freeze_id] = freeze

    def touch_payment(self, payment: Payment) -> None:
        if payment.payment_id not in self.new_payments:
            self.payments[payment.payment_id] = payment

    def touch_allocation(self, allocation: Allocation) -> None:
        if allocation.payment_id not in self.new_payments:
            self.allocations[allocation.payment_id, allocation.position] = allocation


class Book:
    """One account under its lock: what was read of it, and what operations have changed so far.

    The caller gives all open lots, and each remembered request, freeze, payment (with allocations and their lots) and
    settlement that the operations name. What is not there does not exist.
    """

    def __init__(self, account: Account, *, now_ms: int, policy: Policy) -> None:
        self.account = account
        self.seq_read = account.seq
        self._now_ms = now_ms
        self._policy = policy
        self.lots: dict[str, Lot] = {}
        self.freezes: dict[str, Freeze] = {}
        self.payments: dict[str, Payment] = {}
        self.allocations: dict[str, list[Allocation]] = {}
        self.settlements: dict[SettlementKey, Settlement] = {}
        self.remembered: dict[str, RememberedRequest] = {}
        self.changes = Changes()
        self._open_lots: list[Lot] = []

    def add_lots(self, lots: Iterable[Lot]) -> None:
        """Take in lots that were read."""
        for lot in lots:
            if lot.lot_id not in self.lots:
                self.lots[lot.lot_id] = lot
                if lot.remaining:
                    bisect.insort(self._open_lots, lot, key=_lot_order)

    def apply(self, operation: Operation) -> Outcome:
        """Do one operation, or refuse it and change nothing but what had expired before it."""
        if isinstance(operation, ExpireFreeze | ExpireLots):
            self._expire_lots()
            if isinstance(operation, ExpireFreeze):
                self._expire_freeze(operation.freeze_id)
            return self._answer("", 0)
        key = request_key(operation.kind, operation.brand_id, operation.request_id)
        digest = body_hash(operation)
        known = self.remembered.get(key)
        if known is not None:
            if known.body_hash in (digest, ""):
                return known.outcome
            return Refusal("KEY_REUSED", f"request id {operation.request_id} was used before with another body")
        self._expire_lots()
        outcome = self._handle(operation)
        self._remember(key, digest, outcome)
        return outcome

    def _handle(self, operation: Request) -> Outcome:
        match operation:
            case Grant():
                return self._grant(operation)
            case PrePay():
                return self._prepay(operation)
            case Pay():
                return self._pay(operation)
            case Release():
                return self._release(operation)
            case ReportStatus():
                return self._report_status(operation)
            case ReportReceipt():
                return self._report_receipt(operation)

    def _remember(self, key: str, digest: str, outcome: Outcome) -> None:
        self.remembered[key] = RememberedRequest(key, self.account.brand_id, digest, outcome, self._now_ms)
        self.changes.remembered.append(self.remembered[key])

    # Requests, each as it would be refused: what it names, then its state, then its amount, then the credit.

    def _grant(self, operation: Grant) -> Outcome:
        if not self._now_ms < operation.expires_at_ms <= TIME_MAX_MS:
            return _expire_time_refusal("the package")
        entry = self._enter(EntryKind.GRANT, operation.request_id, available=operation.num, granted=operation.num)
        lot = self._new_lot(entry, operation.num, operation.expires_at_ms, reference=operation.reference)
        return self._answer(lot.lot_id, operation.num)

    def _prepay(self, operation: PrePay) -> Outcome:
        expires_at_ms = operation.expires_at_ms or self._now_ms + self._policy.freeze_lifetime_ms
        if not self._now_ms < expires_at_ms <= TIME_MAX_MS:
            return _expire_time_refusal("the freeze")
        if operation.num > self.account.available:
            return self._insufficient(operation.num)
        entry = self._enter(EntryKind.FREEZE, operation.request_id, available=-operation.num, frozen=operation.num)
        freeze = Freeze(
            freeze_id=_object_id(entry),
            brand_id=operation.brand_id,
            request_id=operation.request_id,
            num=operation.num,
            expires_at_ms=expires_at_ms,
            created_at_ms=self._now_ms,
        )
        self.freezes[freeze.freeze_id] = self.changes.new_freezes[freeze.freeze_id] = freeze
        return self._answer(freeze.freeze_id, freeze.num)

    def _pay(self, operation: Pay) -> Outcome:
        freeze = self.freezes.get(operation.freeze_id)
        if freeze is None:
            return Refusal("FREEZE_NOT_FOUND", f"no freeze {operation.freeze_id}")
        late = freeze.state is FreezeState.EXPIRED
        num = operation.num or freeze.left
        event = FreezeEvent.CAPTURE_REST if num == freeze.left else FreezeEvent.CAPTURE_PART
        state = FREEZE_TRANSITIONS.get((freeze.state, event))
        if state is None or freeze.left == 0:
            return _freeze_refusal(freeze)
        if num > freeze.left:
            return _freeze_exceeded(freeze, num)
        if late and num > self.account.available:
            return self._insufficient(num)
        freeze.captured += num
        freeze.state = state
        if late:
            entry = self._enter(EntryKind.PAY_AVAILABLE, operation.request_id, available=-num, spent=num)
        else:
            entry = self._enter(EntryKind.PAY, operation.request_id, frozen=-num, spent=num)
        self.changes.touch_freeze(freeze)
        payment = Payment(_object_id(entry), operation.brand_id, freeze.freeze_id, num, self._now_ms)
        self.payments[payment.payment_id] = self.changes.new_payments[payment.payment_id] = payment
        self.allocations[payment.payment_id] = []
        self._allocate(payment, num)
        return self._answer(payment.payment_id, num)

    def _release(self, operation: Release) -> Outcome:
        prepay_key = request_key(PrePay.kind, operation.brand_id, operation.freeze_request_id)
        prepay = self.remembered.get(prepay_key)
        if prepay is None:
            tombstone = Refusal("FREEZE_RELEASED", "the freeze was released before it was made; use a new request_id")
            self._remember(prepay_key, "", tombstone)
            return self._answer("", 0)
        if isinstance(prepay.outcome, Refusal):
            return self._answer("", 0)
        freeze = self.freezes[prepay.outcome.object_id]
        num = operation.num or freeze.left
        event = FreezeEvent.RELEASE_REST if num >= freeze.left else FreezeEvent.RELEASE_PART
        state = FREEZE_TRANSITIONS.get((freeze.state, event))
        if state is None:
            return _freeze_refusal(freeze)
        if freeze.state is not FreezeState.FROZEN:
            return self._answer(freeze.freeze_id, 0)
        if num > freeze.left:
            return _freeze_exceeded(freeze, num)
        freeze.released += num
        freeze.state = state
        self._enter(EntryKind.RELEASE, operation.request_id, available=num, frozen=-num)
        self._expire_lots()
        self.changes.touch_freeze(freeze)
        return self._answer(freeze.freeze_id, num)

    def _report_status(self, operation: ReportStatus) -> Outcome:
        payment = self.payments.get(operation.payment_id)
        if payment is None:
            return Refusal("PAYMENT_NOT_FOUND", f"no payment {operation.payment_id}")
        if operation.message_id and operation.status is SendStatus.FAILED:
            return self._refund_message(payment, operation)
        if operation.message_id:
            return self._answer(payment.payment_id, 0)
        state = PAYMENT_TRANSITIONS.get((payment.state, operation.status))
        if state is None:
            return Refusal(
                PAYMENT_REFUSALS[payment.state],
                f"payment {payment.payment_id} was reported {payment.state} before",
            )
        refunded = 0
        if state is PaymentState.FAILED and payment.state is not PaymentState.FAILED:
            refunded = self._refund(payment, payment.charged - payment.refunded, operation.request_id)
        payment.state = state
        self.changes.touch_payment(payment)
        return self._answer(payment.payment_id, refunded)

    def _refund_message(self, payment: Payment, operation: ReportStatus) -> Outcome:
        settlement = self._settlement(payment, operation.message_id)
        refunded = self._refund(payment, max(0, operation.num - settlement.refunded), operation.request_id)
        settlement.refunded += refunded
        return self._answer(payment.payment_id, refunded)

    def _report_receipt(self, operation: ReportReceipt) -> Outcome:
        payment = self.payments.get(operation.payment_id)
        if payment is None:
            return Refusal("PAYMENT_NOT_FOUND", f"no payment {operation.payment_id}")
        difference = operation.difference
        if difference == 0:
            return self._answer(payment.payment_id, 0)
        settlement = self._settlement(payment, operation.message_id)
        if difference < 0:
            num = settlement.extra - settlement.refunded - difference
            refunded = self._refund(payment, max(0, num), operation.request_id)
            settlement.refunded += refunded
            return self._answer(payment.payment_id, -refunded)
        return self._charge_extra(payment, settlement, difference - settlement.extra, operation.request_id)

    def _charge_extra(self, payment: Payment, settlement: Settlement, num: int, request_id: str) -> Outcome:
        """Charge what the provider billed beyond the freeze, if that much is available; never go below zero."""
        settlement.shortfall = num if num > self.account.available else 0
        if num <= 0 or settlement.shortfall:
            return self._answer(payment.payment_id, 0)
        self._enter(EntryKind.PAY_AVAILABLE, request_id, available=-num, spent=num)
        payment.charged += num
        settlement.extra += num
        self.changes.touch_payment(payment)
        self._allocate(payment, num)
        return self._answer(payment.payment_id, num)

    # What requests are made of.

    def _allocate(self, payment: Payment, num: int) -> None:
        """Take credits from the open lots, oldest first. The balance has been checked, so there are enough."""
        allocations = self.allocations[payment.payment_id]
        while num:
            lot = self._open_lots[0]
            taken = min(num, lot.remaining)
            self._take(lot, taken)
            allocation = Allocation(payment.payment_id, len(allocations), lot.lot_id, taken)
            allocations.append(allocation)
            self.changes.new_allocations.append(allocation)
            num -= taken

    def _take(self, lot: Lot, num: int) -> None:
        lot.remaining -= num
        if lot.remaining == 0:
            self._open_lots.remove(lot)
        self.changes.touch_lot(lot)

    def _refund(self, payment: Payment, num: int, request_id: str) -> int:
        """Give credits back to the lots they came from, last taken first; answer how many could be given back."""
        to_lots = to_grace = 0
        for allocation in reversed(self.allocations[payment.payment_id]):
            given = min(num - to_lots - to_grace, allocation.num - allocation.refunded)
            if given == 0:
                continue
            allocation.refunded += given
            self.changes.touch_allocation(allocation)
            lot = self.lots[allocation.lot_id]
            if lot.expires_at_ms <= self._now_ms:
                to_grace += given
            else:
                to_lots += given
                self._give_back(lot, given)
        if to_lots:
            self._enter(EntryKind.REFUND, request_id, available=to_lots, spent=-to_lots)
        if to_grace:
            entry = self._enter(EntryKind.REFUND_GRACE, request_id, available=to_grace, spent=-to_grace)
            self._give_grace(entry, to_grace)
        payment.refunded += to_lots + to_grace
        self.changes.touch_payment(payment)
        return to_lots + to_grace

    def _give_back(self, lot: Lot, num: int) -> None:
        if lot.remaining == 0:
            bisect.insort(self._open_lots, lot, key=_lot_order)
        lot.remaining += num
        self.changes.touch_lot(lot)

    def _give_grace(self, entry: Entry, num: int) -> None:
        """Add to the open grace lot of the day, so that a thousand refunds make one lot and not a thousand."""
        expires_at_ms = -(-(self._now_ms + self._policy.grace_ms) // DAY_MS) * DAY_MS
        for lot in self._open_lots:
            if lot.grace and lot.expires_at_ms == expires_at_ms:
                lot.granted += num
                self._give_back(lot, num)
                return
        self._new_lot(entry, num, expires_at_ms, grace=True)

    def _new_lot(self, entry: Entry, num: int, expires_at_ms: int, *, grace: bool = False, reference: str = "") -> Lot:
        lot = Lot(
            lot_id=_object_id(entry),
            brand_id=entry.brand_id,
            seq=entry.seq,
            granted=num,
            remaining=num,
            expires_at_ms=expires_at_ms,
            created_at_ms=self._now_ms,
            grace=grace,
            reference=reference,
        )
        self.add_lots([lot])
        self.changes.new_lots[lot.lot_id] = lot
        return lot

    def _expire_lots(self) -> None:
        """Expire what is due, but leave what open freezes stand on: frozen credits were promised before.

        Called before each operation, and after one that gave up a freeze: nothing due is ever available.
        """
        while self._open_lots and self._open_lots[0].expires_at_ms <= self._now_ms and self.account.available:
            lot = self._open_lots[0]
            num = min(lot.remaining, self.account.available)
            self._take(lot, num)
            self._enter(EntryKind.LOT_EXPIRE, f"lot/{lot.lot_id}", available=-num, expired=num)

    def _expire_freeze(self, freeze_id: str) -> None:
        freeze = self.freezes.get(freeze_id)
        if freeze is None or freeze.state is not FreezeState.FROZEN or freeze.expires_at_ms > self._now_ms:
            return
        freeze.state = FREEZE_TRANSITIONS[freeze.state, FreezeEvent.EXPIRE]
        self._enter(EntryKind.FREEZE_EXPIRE, freeze.request_id, available=freeze.left, frozen=-freeze.left)
        self._expire_lots()
        self.changes.touch_freeze(freeze)

    def _settlement(self, payment: Payment, message_id: int) -> Settlement:
        key = (payment.payment_id, message_id)
        settlement = self.settlements.get(key)
        if settlement is None:
            settlement = Settlement(self.account.brand_id, payment.payment_id, message_id)
            self.settlements[key] = self.changes.new_settlements[key] = settlement
        elif key not in self.changes.new_settlements:
            self.changes.settlements[key] = settlement
        return settlement

    def _enter(
        self,
        kind: EntryKind,
        request_id: str,
        *,
        available: int = 0,
        frozen: int = 0,
        spent: int = 0,
        expired: int = 0,
        granted: int = 0,
    ) -> Entry:
        """Change the balance and write it on the statement. A wrong balance must not commit: the check stays on."""
        account = self.account
        account.available += available
        account.frozen += frozen
        account.spent += spent
        account.expired += expired
        account.granted += granted
        account.seq += 1
        if min(account.available, account.frozen, account.spent, account.expired) < 0:
            raise AssertionError(f"{kind} of {request_id} would leave {account}")
        entry = Entry(
            account.brand_id, account.seq, kind, request_id,
            available, frozen, spent, expired, granted, self._now_ms,
        )  # fmt: skip
        self.changes.entries.append(entry)
        return entry

    def _answer(self, object_id: str, num: int) -> Answer:
        account = self.account
        balance = Balance(
            account.available, account.frozen, account.spent, account.expired, account.granted, account.seq
        )
        return Answer(object_id, num, balance)

    def _insufficient(self, required: int) -> Refusal:
        available = self.account.available
        return Refusal(
            "INSUFFICIENT_CREDIT",
            f"{required} credits are required and {available} are available; buy a package, then use a new request_id",
            {"available": str(available), "required": str(required)},
        )


def _lot_order(lot: Lot) -> tuple[int, int]:
    return lot.order


def _object_id(entry: Entry) -> str:
    """Name an object by the entry that made it: unique without a generator, and readable on the statement."""
    return f"{entry.brand_id}-{entry.seq}"


def _freeze_refusal(freeze: Freeze) -> Refusal:
    return Refusal(FREEZE_REFUSALS[freeze.state], f"freeze {freeze.freeze_id} is {freeze.state}")


def _freeze_exceeded(freeze: Freeze, num: int) -> Refusal:
    return Refusal(
        "FREEZE_EXCEEDED",
        f"{num} credits are more than the {freeze.left} left of freeze {freeze.freeze_id}",
        {"left": str(freeze.left), "required": str(num)},
    )


def _expire_time_refusal(what: str) -> Refusal:
    return Refusal("INVALID_EXPIRE_TIME", f"expire_time of {what} must be in the future, before the year 10000")
