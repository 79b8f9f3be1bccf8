"""What the ledger should do, told credit by credit and without a thought for speed.

A charged credit is an object that remembers its package; a balance is counted anew each time; an entry of the statement
is the difference between two balances. Nothing is shared with the ledger but the words of operations and answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from costcenter_rpc.domain import (
    DAY_MS,
    Answer,
    Balance,
    ExpireFreeze,
    ExpireLots,
    Grant,
    Operation,
    Outcome,
    Pay,
    Policy,
    PrePay,
    Refusal,
    Release,
    ReportReceipt,
    ReportStatus,
    Request,
    SendStatus,
)

Rows = dict[str, list[dict[str, Any]]]

REFUSED_STATES = {"PAID": "FREEZE_ALREADY_PAID", "RELEASED": "FREEZE_RELEASED"}


@dataclass
class Package:
    lot_id: str
    seq: int
    granted: int
    remaining: int
    expires_at_ms: int
    created_at_ms: int
    grace: bool = False
    reference: str = ""


@dataclass
class Hold:
    freeze_id: str
    request_id: str
    num: int
    expires_at_ms: int
    created_at_ms: int
    captured: int = 0
    released: int = 0
    state: str = "FROZEN"

    @property
    def left(self) -> int:
        return self.num - self.captured - self.released


@dataclass
class Credit:
    """One charged credit. `position` is the one of its allocation."""

    position: int
    package: Package
    refunded: bool = False


@dataclass
class Charge:
    payment_id: str
    freeze_id: str
    created_at_ms: int
    credits: list[Credit] = field(default_factory=list)
    state: str = "CHARGED"

    @property
    def kept(self) -> list[Credit]:
        return [credit for credit in self.credits if not credit.refunded]


@dataclass
class Settled:
    refunded: int = 0
    extra: int = 0
    shortfall: int = 0


@dataclass(frozen=True)
class Remembered:
    operation: Request | None
    """None: a tombstone."""
    outcome: Outcome
    created_at_ms: int

    def answers(self, operation: Request) -> bool:
        return self.operation is None or _body(self.operation) == _body(operation)


def _body(operation: Request) -> Request:
    """A freeze's time is not part of its request's body."""
    return dataclasses.replace(operation, expires_at_ms=0) if isinstance(operation, PrePay) else operation


class ModelAccount:
    def __init__(self, brand_id: int, policy: Policy) -> None:
        self.brand_id = brand_id
        self.policy = policy
        self.now_ms = 0
        self.packages: list[Package] = []
        self.holds: dict[str, Hold] = {}
        self.charges: dict[str, Charge] = {}
        self.settled: dict[tuple[str, int], Settled] = {}
        self.remembered: dict[tuple[str, str], Remembered] = {}
        self.statement: list[dict[str, Any]] = []
        self.granted = 0
        self.expired = 0

    @property
    def balance(self) -> Balance:
        frozen = sum(hold.left for hold in self.holds.values() if hold.state == "FROZEN")
        remaining = sum(package.remaining for package in self.packages)
        spent = sum(len(charge.kept) for charge in self.charges.values())
        return Balance(remaining - frozen, frozen, spent, self.expired, self.granted, len(self.statement))

    def apply(self, operation: Operation, now_ms: int) -> Outcome:
        self.now_ms = now_ms
        if isinstance(operation, ExpireLots | ExpireFreeze):
            self._expire_packages()
            if isinstance(operation, ExpireFreeze):
                self._expire_hold(operation.freeze_id)
            return self._done("", 0)
        known = self.remembered.get((operation.kind, operation.request_id))
        if known:
            return known.outcome if known.answers(operation) else Refusal("KEY_REUSED", "")
        self._expire_packages()
        outcome = self._request(operation)
        self.remembered[operation.kind, operation.request_id] = Remembered(operation, outcome, now_ms)
        return outcome

    def _request(self, operation: Request) -> Outcome:
        handle: dict[type[Request], Callable[[Any], Outcome]] = {
            Grant: self._grant,
            PrePay: self._prepay,
            Pay: self._pay,
            Release: self._release,
            ReportStatus: self._status,
            ReportReceipt: self._receipt,
        }
        return handle[type(operation)](operation)

    def _grant(self, operation: Grant) -> Outcome:
        if operation.expires_at_ms <= self.now_ms:
            return Refusal("INVALID_EXPIRE_TIME", "")
        package = self._new_package(operation.num, operation.expires_at_ms, reference=operation.reference)
        self.granted += operation.num
        self._enter("GRANT", operation.request_id)
        return self._done(package.lot_id, operation.num)

    def _prepay(self, operation: PrePay) -> Outcome:
        expires_at_ms = operation.expires_at_ms or self.now_ms + self.policy.freeze_lifetime_ms
        if expires_at_ms <= self.now_ms:
            return Refusal("INVALID_EXPIRE_TIME", "")
        if operation.num > self.balance.available:
            return self._too_little(operation.num)
        hold = Hold(self._next_id(), operation.request_id, operation.num, expires_at_ms, self.now_ms)
        self.holds[hold.freeze_id] = hold
        self._enter("FREEZE", operation.request_id)
        return self._done(hold.freeze_id, operation.num)

    def _pay(self, operation: Pay) -> Outcome:
        hold = self.holds.get(operation.freeze_id)
        if hold is None:
            return Refusal("FREEZE_NOT_FOUND", "")
        if hold.state in REFUSED_STATES:
            return Refusal(REFUSED_STATES[hold.state], "")
        if hold.left == 0:
            return Refusal("FREEZE_EXPIRED", "")
        num = operation.num or hold.left
        if num > hold.left:
            return Refusal("FREEZE_EXCEEDED", "", {"left": str(hold.left), "required": str(num)})
        late = hold.state == "EXPIRED"
        if late and num > self.balance.available:
            return self._too_little(num)
        hold.captured += num
        if not late and hold.left == 0:
            hold.state = "PAID"
        charge = Charge(self._next_id(), hold.freeze_id, self.now_ms)
        self.charges[charge.payment_id] = charge
        self._charge(charge, num)
        self._enter("PAY_AVAILABLE" if late else "PAY", operation.request_id)
        return self._done(charge.payment_id, num)

    def _release(self, operation: Release) -> Outcome:
        prepay = self.remembered.get(("prepay", operation.freeze_request_id))
        if prepay is None:
            tombstone = Refusal("FREEZE_RELEASED", "")
            self.remembered["prepay", operation.freeze_request_id] = Remembered(None, tombstone, self.now_ms)
            return self._done("", 0)
        if isinstance(prepay.outcome, Refusal):
            return self._done("", 0)
        hold = self.holds[prepay.outcome.object_id]
        if hold.state == "PAID":
            return Refusal("FREEZE_ALREADY_PAID", "")
        if hold.state != "FROZEN":
            return self._done(hold.freeze_id, 0)
        num = operation.num or hold.left
        if num > hold.left:
            return Refusal("FREEZE_EXCEEDED", "", {"left": str(hold.left), "required": str(num)})
        hold.released += num
        if hold.left == 0:
            hold.state = "RELEASED"
        self._enter("RELEASE", operation.request_id)
        self._expire_packages()
        return self._done(hold.freeze_id, num)

    def _status(self, operation: ReportStatus) -> Outcome:
        charge = self.charges.get(operation.payment_id)
        if charge is None:
            return Refusal("PAYMENT_NOT_FOUND", "")
        failed = operation.status is SendStatus.FAILED
        if operation.message_id:
            if not failed:
                return self._done(charge.payment_id, 0)
            settled = self.settled.setdefault((charge.payment_id, operation.message_id), Settled())
            refunded = self._refund(charge, operation.num - settled.refunded, operation.request_id)
            settled.refunded += refunded
            return self._done(charge.payment_id, refunded)
        if charge.state == ("SENT" if failed else "FAILED"):
            return Refusal("PAYMENT_ALREADY_SENT" if failed else "PAYMENT_ALREADY_FAILED", "")
        refunded = 0
        if failed and charge.state == "CHARGED":
            refunded = self._refund(charge, len(charge.kept), operation.request_id)
        charge.state = "FAILED" if failed else "SENT"
        return self._done(charge.payment_id, refunded)

    def _receipt(self, operation: ReportReceipt) -> Outcome:
        charge = self.charges.get(operation.payment_id)
        if charge is None:
            return Refusal("PAYMENT_NOT_FOUND", "")
        billed = 0
        if operation.delivered:
            billed = operation.billed_num or operation.charged_num
        if billed == operation.charged_num:
            return self._done(charge.payment_id, 0)
        settled = self.settled.setdefault((charge.payment_id, operation.message_id), Settled())
        if billed < operation.charged_num:
            cost = operation.charged_num + settled.extra - settled.refunded
            refunded = self._refund(charge, cost - billed, operation.request_id)
            settled.refunded += refunded
            return self._done(charge.payment_id, -refunded)
        missing = max(0, billed - operation.charged_num - settled.extra)
        if missing > self.balance.available:
            settled.shortfall = missing
            return self._done(charge.payment_id, 0)
        settled.shortfall = 0
        if missing:
            self._charge(charge, missing)
            settled.extra += missing
            self._enter("PAY_AVAILABLE", operation.request_id)
        return self._done(charge.payment_id, missing)

    def _queue(self) -> list[Package]:
        """The packages with credits, in the order in which they are consumed."""
        return sorted((one for one in self.packages if one.remaining), key=lambda one: (one.expires_at_ms, one.seq))

    def _charge(self, charge: Charge, num: int) -> None:
        position = charge.credits[-1].position if charge.credits else -1
        before = None
        for _ in range(num):
            package = self._queue()[0]
            position += package is not before
            package.remaining -= 1
            charge.credits.append(Credit(position, package))
            before = package

    def _refund(self, charge: Charge, num: int, request_id: str) -> int:
        returned = charge.kept[::-1][: max(0, num)]
        to_package = [credit for credit in returned if credit.package.expires_at_ms > self.now_ms]
        for credit in to_package:
            credit.refunded = True
            credit.package.remaining += 1
        if to_package:
            self._enter("REFUND", request_id)
        to_grace = [credit for credit in returned if not credit.refunded]
        for credit in to_grace:
            credit.refunded = True
        if to_grace:
            self._add_grace(len(to_grace))
            self._enter("REFUND_GRACE", request_id)
        return len(returned)

    def _add_grace(self, num: int) -> None:
        days, rest = divmod(self.now_ms + self.policy.grace_ms, DAY_MS)
        expires_at_ms = (days + bool(rest)) * DAY_MS
        for package in self._queue():
            if package.grace and package.expires_at_ms == expires_at_ms:
                package.granted += num
                package.remaining += num
                return
        self._new_package(num, expires_at_ms, grace=True)

    def _new_package(self, num: int, expires_at_ms: int, *, grace: bool = False, reference: str = "") -> Package:
        seq = len(self.statement) + 1
        package = Package(self._next_id(), seq, num, num, expires_at_ms, self.now_ms, grace, reference)
        self.packages.append(package)
        return package

    def _expire_packages(self) -> None:
        for package in self._queue():
            num = min(package.remaining, self.balance.available)
            if package.expires_at_ms <= self.now_ms and num:
                package.remaining -= num
                self.expired += num
                self._enter("LOT_EXPIRE", f"lot/{package.lot_id}")

    def _expire_hold(self, freeze_id: str) -> None:
        hold = self.holds.get(freeze_id)
        if hold and hold.state == "FROZEN" and hold.expires_at_ms <= self.now_ms:
            hold.state = "EXPIRED"
            self._enter("FREEZE_EXPIRE", hold.request_id)
            self._expire_packages()

    def _next_id(self) -> str:
        """The id of what the next entry makes."""
        return f"{self.brand_id}-{len(self.statement) + 1}"

    def _enter(self, kind: str, request_id: str) -> None:
        after = self.balance
        moved = {
            name: getattr(after, name) - sum(entry[name] for entry in self.statement)
            for name in ("available", "frozen", "spent", "expired", "granted")
        }
        self.statement.append(
            {
                "brand_id": self.brand_id,
                "seq": after.seq + 1,
                "kind": kind,
                "request_id": request_id,
                **moved,
                "created_at_ms": self.now_ms,
            }
        )

    def _done(self, object_id: str, num: int) -> Answer:
        return Answer(object_id, num, self.balance)

    def _too_little(self, required: int) -> Refusal:
        return Refusal("INSUFFICIENT_CREDIT", "", {"available": str(self.balance.available), "required": str(required)})


def rows_of(model: Mapping[int, ModelAccount]) -> Rows:
    """The tables as they should be, in the form and order of `Center.rows`."""
    rows: Rows = {
        "account": [],
        "lot": [],
        "freeze": [],
        "payment": [],
        "allocation": [],
        "settlement": [],
        "entry": [],
    }
    for brand_id, account in sorted(model.items()):
        rows["account"].append({"brand_id": brand_id, **account.balance._asdict()})
        rows["entry"] += account.statement
        for package in account.packages:
            is_open = package.remaining > 0
            rows["lot"].append({"brand_id": brand_id, "is_open": is_open, **dataclasses.asdict(package)})
        rows["freeze"] += [{"brand_id": brand_id, **dataclasses.asdict(hold)} for hold in account.holds.values()]
        for charge in account.charges.values():
            rows["payment"].append(_payment_row(brand_id, charge))
            rows["allocation"] += _allocation_rows(charge)
        rows["settlement"] += [
            {"brand_id": brand_id, "payment_id": payment_id, "message_id": message_id, **dataclasses.asdict(settled)}
            for (payment_id, message_id), settled in account.settled.items()
        ]
    return rows


def _payment_row(brand_id: int, charge: Charge) -> dict[str, Any]:
    return {
        "payment_id": charge.payment_id,
        "brand_id": brand_id,
        "freeze_id": charge.freeze_id,
        "charged": len(charge.credits),
        "refunded": len(charge.credits) - len(charge.kept),
        "state": charge.state,
        "created_at_ms": charge.created_at_ms,
    }


def _allocation_rows(charge: Charge) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for credit in charge.credits:
        row = rows.setdefault(
            credit.position,
            {
                "payment_id": charge.payment_id,
                "position": credit.position,
                "lot_id": credit.package.lot_id,
                "num": 0,
                "refunded": 0,
            },
        )
        row["num"] += 1
        row["refunded"] += credit.refunded
    return list(rows.values())
