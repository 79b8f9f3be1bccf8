"""What the provider tells its customer unasked: a GET to the customer's address, else kept to be pulled.

ChuangLan V1: an answer other than {"clcode":"000000"} is asked again, three attempts in all, a minute apart.
Push or pull, each notice is to be had once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote_plus, urlencode

from sandbox.clock import now_ms
from sandbox.delivery import DeliveryQueue
from sandbox.push import Push, Pusher
from sandbox.settings import Settings


class NoticeState(StrEnum):
    """Where a notice stands."""

    PENDING = "pending"  # the sandbox has yet to push it, or to push it again
    ACKNOWLEDGED = "acknowledged"  # done
    TO_PULL = "to_pull"  # the customer can pull it
    PULLED = "pulled"  # done
    FORGOTTEN = "forgotten"  # done: too old, or too many were waiting to be pulled


class Notice(Protocol):
    """A receipt or an uplink."""

    account: str
    state: NoticeState
    pushes: tuple[Push, ...]

    def push_query(self, at_ms: int) -> dict[str, str]:
        """Return the parameters of a push at this time, without receiver and pswd."""

    def pull_row(self, at_ms: int) -> dict[str, str]:
        """Return the row of a pull at this time."""


NoticeT = TypeVar("NoticeT", bound=Notice)


def is_acknowledged(push: Push) -> bool:
    """Whether the customer took the notice."""
    return push.says("clcode", "000000")


_quoted = lru_cache(maxsize=256)(quote_plus)


def _encoded(parameters: Mapping[str, str]) -> str:
    """Percent-encode as `urlencode` does; most values are digits, and the others are the same over and over."""
    return "&".join(
        [
            f"{name}={value if value.isascii() and value.isalnum() else _quoted(value)}"
            for name, value in parameters.items()
        ]
    )


@dataclass(slots=True)
class NoticeCounts:
    """How many notices stand where, and how many pushes it took."""

    created: int = 0
    pending: int = 0
    pushes: int = 0
    acknowledged: int = 0
    left_to_pull: int = 0
    pulled: int = 0
    forgotten: int = 0


class NoticeDesk(Generic[NoticeT]):
    """Pushes the notices of one sort and keeps those that nobody took."""

    def __init__(self, settings: Settings, queue: DeliveryQueue, pusher: Pusher, target: Callable[[str], str]) -> None:
        """Take where to push by account, as a function, because addresses may change at run time; "": pull only."""
        self._queue = queue
        self._pusher = pusher
        self._target = target
        self._attempts = settings.chuanglan_push_attempts
        self._retry_seconds = settings.chuanglan_push_retry_seconds
        self._retention_ms = int(settings.chuanglan_pull_retention_seconds * 1000)
        self._kept_max = settings.chuanglan_pull_kept_max
        self._credentials = urlencode(
            {"receiver": settings.chuanglan_receiver, "pswd": settings.chuanglan_pswd.get_secret_value()}
        )
        self._to_pull: dict[str, deque[tuple[int, NoticeT]]] = {}
        self._counts = NoticeCounts()

    def announce(self, notice: NoticeT, delays_seconds: Iterable[float]) -> asyncio.Event:
        """Push a notice once for each delay; the event is set after the first attempt, or when there is none."""
        self._counts.created += 1
        self._counts.pending += 1
        attempted = asyncio.Event()
        for delay_seconds in delays_seconds:
            delivery = _NoticeDelivery(self, notice, self._attempts, self._retry_seconds, attempted)
            self._queue.schedule(delivery, delay_seconds)
        return attempted

    def pull(self, account: str, count: int) -> list[dict[str, str]]:
        """Hand over the oldest notices that wait for this account; they are gone then."""
        waiting = self._to_pull.get(account, deque())
        at_ms = now_ms()
        rows: list[dict[str, str]] = []
        while waiting and len(rows) < count:
            kept_at_ms, notice = waiting.popleft()
            if kept_at_ms < at_ms - self._retention_ms:
                self._forget(notice)
                continue
            notice.state = NoticeState.PULLED
            self._counts.pulled += 1
            rows.append(notice.pull_row(at_ms))
        return rows

    def stats(self) -> dict[str, int]:
        """Return the counts as JSON."""
        return asdict(self._counts)

    async def push(self, notice: NoticeT) -> bool:
        """Push once, note the answer in the notice's history, and tell whether no further attempt is needed."""
        target = self._target(notice.account)
        if not target:
            self.keep_for_pull(notice)
            return True
        push = await self._pusher.get(target, f"{self._credentials}&{_encoded(notice.push_query(now_ms()))}")
        notice.pushes += (push,)
        self._counts.pushes += 1
        acknowledged = is_acknowledged(push)
        if acknowledged and notice.state is NoticeState.PENDING:
            notice.state = NoticeState.ACKNOWLEDGED
            self._counts.pending -= 1
            self._counts.acknowledged += 1
        return acknowledged

    def keep_for_pull(self, notice: NoticeT) -> None:
        """Leave a notice that nobody took to be pulled; the oldest gives way when too many wait."""
        if notice.state is not NoticeState.PENDING:
            return
        waiting = self._to_pull.setdefault(notice.account, deque())
        if len(waiting) >= self._kept_max:
            self._forget(waiting.popleft()[1])
        notice.state = NoticeState.TO_PULL
        self._counts.pending -= 1
        self._counts.left_to_pull += 1
        waiting.append((now_ms(), notice))

    def _forget(self, notice: NoticeT) -> None:
        notice.state = NoticeState.FORGOTTEN
        self._counts.forgotten += 1


@dataclass(slots=True)
class _NoticeDelivery(Generic[NoticeT]):
    """The attempts of one push."""

    desk: NoticeDesk[NoticeT]
    notice: NoticeT
    attempts_left: int
    retry_seconds: float
    attempted: asyncio.Event = field(repr=False)

    async def attempt(self) -> float | None:
        """Push once; None when it was taken or the attempts are used up."""
        settled = await self.desk.push(self.notice)
        self.attempted.set()
        self.attempts_left -= 1
        if settled:
            return None
        if self.attempts_left:
            return self.retry_seconds
        self.abandon()
        return None

    def abandon(self) -> None:
        """Leave the notice to be pulled."""
        self.desk.keep_for_pull(self.notice)
        self.attempted.set()
