"""Receipts: what became of a message."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.chuanglan.clock import short_minutes, short_seconds
from sandbox.chuanglan.faults import (
    BilledLength,
    DelayReceipt,
    DropReceipt,
    DuplicateReceipt,
    FailReceipt,
    ReorderReceipt,
)
from sandbox.chuanglan.notices import NoticeDesk, NoticeState, is_acknowledged
from sandbox.faults import FaultBoard
from sandbox.push import Push

DELIVERED = "DELIVRD"
_DESCRIPTIONS = {DELIVERED: "短信发送成功", "UNKNOWN": "未知状态", "EXPIRED": "短信已过期", "MBBLACK": "黑名单号码"}
_FAILED = "短信发送失败"


@dataclass(slots=True)
class Receipt:
    """The outcome of one message. `length` is the billed segments; `uid` is "" when none was sent."""

    account: str
    msgid: str
    phone: str
    uid: str
    status: str
    length: int
    reported_at_ms: int
    state: NoticeState = NoticeState.PENDING
    pushes: tuple[Push, ...] = ()

    def push_query(self, at_ms: int) -> dict[str, str]:
        """Return the parameters of ChuangLan V1's receipt push; `uid` is absent when none was sent."""
        return {
            "msgid": self.msgid,
            "reportTime": short_minutes(self.reported_at_ms),
            "mobile": self.phone,
            "notifyTime": short_seconds(at_ms),
            **({"uid": self.uid} if self.uid else {}),
            "length": str(self.length),
            "status": self.status,
            "statusDesc": _describe_status(self.status),
        }

    def pull_row(self, at_ms: int) -> dict[str, str]:
        """Return the row of ChuangLan V1's /msg/pull/report."""
        return {
            "uid": self.uid,
            "reportTime": short_minutes(self.reported_at_ms),
            "notifyTime": short_seconds(at_ms),
            "status": self.status,
            "msgId": self.msgid,
            "statusDesc": _describe_status(self.status),
            "mobile": self.phone,
            "length": str(self.length),
        }

    def describe(self) -> dict[str, object]:
        """Return the receipt and its pushes as GET /admin/messages shows them."""
        return {
            "status": self.status,
            "length": self.length,
            "reported_at_ms": self.reported_at_ms,
            "state": self.state,
            "pushes": [{**push._asdict(), "acknowledged": is_acknowledged(push)} for push in self.pushes],
        }


class ReceiptWriter:
    """Writes the receipts of accepted messages, as they are or as the faults of the moment have them."""

    def __init__(self, desk: NoticeDesk[Receipt], board: FaultBoard, delay_seconds: float) -> None:
        """Take the usual time from sending to the receipt."""
        self._desk = desk
        self._board = board
        self._delay_seconds = delay_seconds

    def write(self, receipt: Receipt, wait_seconds: float, *, at_once: bool) -> asyncio.Event | None:
        """Announce a receipt whose `reported_at_ms` is the time of acceptance; None when a fault drops it.

        `wait_seconds` is the time until the message is sent; `at_once` pushes now, whatever the delays are.
        The event is set after the first attempt to push.
        """
        if self._board.draw(DropReceipt, receipt.account):
            return None
        self._falsify(receipt)
        delay_seconds = 0.0 if at_once else wait_seconds + self._delay_seconds + self._extra_delay(receipt.account)
        receipt.reported_at_ms += int(delay_seconds * 1000)
        duplicate = self._board.draw(DuplicateReceipt, receipt.account)
        return self._desk.announce(receipt, [delay_seconds] * (duplicate.copies if duplicate else 1))

    def _falsify(self, receipt: Receipt) -> None:
        if failure := self._board.draw(FailReceipt, receipt.account):
            statuses = list(failure.statuses)
            [receipt.status] = self._board.random.choices(statuses, [failure.statuses[each] for each in statuses])
        if billed := self._board.draw(BilledLength, receipt.account):
            receipt.length = max(1, receipt.length + billed.difference)

    def _extra_delay(self, account: str) -> float:
        late = self._board.draw(DelayReceipt, account)
        reorder = self._board.draw(ReorderReceipt, account)
        spread = self._board.random.uniform(0, reorder.spread_seconds) if reorder else 0.0
        return (late.delay_seconds if late else 0.0) + spread


async def wait_for_attempts(attempted: Iterable[asyncio.Event]) -> None:
    """Wait until each of the receipts has been pushed once, taken or not."""
    for event in attempted:
        await event.wait()


def _describe_status(status: str) -> str:
    return _DESCRIPTIONS.get(status, _FAILED)
