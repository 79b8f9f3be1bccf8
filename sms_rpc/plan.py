"""How an accepted send is laid out: its task, its records, and the dispatches that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from sms_rpc.acceptance import PreparedSend, Recipient
from sms_rpc.clients import FreezeOrder
from sms_rpc.domain import USEFUL_SECONDS, DispatchState, NewDispatch, Record, RecordStatus, Task

LOST_AFTER_MS = 30_000
"""How long a queued dispatch may go unclaimed before the sweep looks whether its queue lost it."""

LARGE = 1000
"""A send with more recipients is done by itself, and stored in several transactions."""

_FREEZE_MARGIN_MS = 3_600_000
"""Life of a freeze beyond the time in which the message is of use."""


def freeze_order(send: PreparedSend, blocked: frozenset[str], now_ms: int) -> FreezeOrder:
    """Say what has to be frozen for a send.

    The block list may change before a repeat of the request, and the cost center takes one id for one number of credits
    only: where recipients are blocked, the number is in the id. It stands in front, because request ids may end with
    one.
    """
    request = send.request
    num = sum(recipient.segments for recipient in send.recipients if recipient.phone not in blocked)
    useful_ms = USEFUL_SECONDS[request.sms_type] * 1000
    return FreezeOrder(
        brand_id=request.brand_id,
        request_id=f"sms-{num}/{request.request_id}" if blocked else f"sms/{request.request_id}",
        num=num,
        expires_at_ms=(request.schedule_at_ms or now_ms) + useful_ms + _FREEZE_MARGIN_MS,
        reference=send.body_hash,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """A send that is checked and frozen, laid out. Recipients and dispatches stand in the order of their ids.

    Records are made as they are stored: 100,000 at once would stop everybody else.
    """

    task: Task
    recipients: Sequence[Recipient]
    blocked: frozenset[str]
    dispatches: Sequence[NewDispatch]

    @classmethod
    def lay_out(
        cls,
        send: PreparedSend,
        blocked: frozenset[str],
        *,
        task_id: int,
        freeze_id: str,
        order: FreezeOrder,
        now_ms: int,
    ) -> Self:
        """Make the task, and the dispatches of its records, whose ids are those from `task_id` on."""
        request = send.request
        task = Task(
            task_id=task_id,
            brand_id=request.brand_id,
            request_id=request.request_id,
            body_hash=send.body_hash,
            sms_type=request.sms_type,
            mode=send.mode,
            content=request.content,
            signature=request.signature,
            variable=request.variable,
            accepted_count=len(send.recipients) - len(blocked),
            blocked_count=len(blocked),
            frozen=order.num,
            freeze_id=freeze_id,
            freeze_request_id=order.request_id,
            schedule_at_ms=request.schedule_at_ms,
            created_at_ms=now_ms,
        )
        return cls(task, send.recipients, blocked, _dispatches(task, send.chunk_sizes()))

    @property
    def is_large(self) -> bool:
        """Whether it is stored in several transactions, so that others get their turn in between."""
        return len(self.recipients) > LARGE

    @property
    def first_dispatch_state(self) -> DispatchState:
        """Where its dispatches start."""
        return _first_dispatch_state(self.task)

    def records(self, start: int, count: int) -> list[Record]:
        """Lay out the records of so many recipients from the one at `start` on."""
        task, status = self.task, _first_status(self.task)
        queued_at_ms = task.created_at_ms if status is RecordStatus.QUEUED else 0
        return [
            Record(
                record_id=record_id,
                task_id=task.task_id,
                brand_id=task.brand_id,
                phone=recipient.phone,
                params=recipient.params,
                segments=recipient.segments,
                status=RecordStatus.BLOCKED if recipient.phone in self.blocked else status,
                accepted_at_ms=task.created_at_ms,
                queued_at_ms=0 if recipient.phone in self.blocked else queued_at_ms,
                settled_at_ms=task.created_at_ms if recipient.phone in self.blocked else 0,
            )
            for record_id, recipient in enumerate(self.recipients[start : start + count], start=task.task_id + start)
        ]


def _dispatches(task: Task, sizes: Sequence[int]) -> list[NewDispatch]:
    """Lay out the dispatches: consecutive records, one provider call each."""
    first_ids = accumulate(sizes, initial=task.task_id)
    return [
        NewDispatch(
            dispatch_id=first_id,
            record_count=size,
            task_id=task.task_id,
            brand_id=task.brand_id,
            sms_type=task.sms_type.value,
            mode=task.mode.value,
            state=_first_dispatch_state(task).value,
            outcome="",
            payment_id="",
            attempt=0,
            wanted_at_ms=task.schedule_at_ms or task.created_at_ms,
            look_at_ms=task.schedule_at_ms or task.created_at_ms + LOST_AFTER_MS,
            consumer="",
        )
        for first_id, size in zip(first_ids, sizes, strict=False)
    ]


def _first_dispatch_state(task: Task) -> DispatchState:
    return DispatchState.WAITING if task.schedule_at_ms else DispatchState.QUEUED


def _first_status(task: Task) -> RecordStatus:
    """Say what an accepted message starts as.

    Queued is written with the row itself, which saves one more write a message; when the bus turns out to be away it
    is taken back, and when a crash comes in between the sweep finds that the queue does not have it.
    """
    return RecordStatus.SCHEDULED if task.schedule_at_ms else RecordStatus.QUEUED


def as_first_answered(task: Task, one: Record) -> Record:
    """Show a record as the first answer showed it: a repeat gets the same answer, whatever has happened since."""
    return one if one.status is RecordStatus.BLOCKED else one._replace(status=_first_status(task))
