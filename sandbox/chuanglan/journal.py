"""The last accepted messages with their whole history, and how to find them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sandbox.chuanglan.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted call; its messages share it. `send_at_ms` is 0 for now, `uid` "" for none."""

    msgid: str
    account: str
    uid: str
    report: bool
    accepted_at_ms: int
    send_at_ms: int


@dataclass(slots=True)
class Message:
    """One text to one phone. `receipt` is None when none was asked for or a fault drops it."""

    sequence: int
    submission: Submission
    phone: str
    content: str
    segments: int
    receipt: Receipt | None = None

    def describe(self) -> dict[str, object]:
        """Return the message as GET /admin/messages shows it."""
        submission = self.submission
        return {
            "sequence": self.sequence,
            "msgid": submission.msgid,
            "account": submission.account,
            "uid": submission.uid,
            "phone": self.phone,
            "content": self.content,
            "segments": self.segments,
            "report": submission.report,
            "accepted_at_ms": submission.accepted_at_ms,
            "send_at_ms": submission.send_at_ms,
            "receipt": None if self.receipt is None else self.receipt.describe(),
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are meant; "" means any. `before` is a sequence: only older ones, 0 for all."""

    phone: str = ""
    msgid: str = ""
    uid: str = ""
    account: str = ""
    before: int = 0

    def matches(self, message: Message) -> bool:
        """Whether the message is meant, its age apart."""
        submission = message.submission
        return (
            self.phone in ("", message.phone)
            and self.msgid in ("", submission.msgid)
            and self.uid in ("", submission.uid)
            and self.account in ("", submission.account)
        )


class Journal:
    """The last `capacity` messages, newest first to the reader; sequences count from 1 without a gap."""

    def __init__(self, capacity: int) -> None:
        """Bound the messages kept."""
        self._capacity = capacity
        self._messages: deque[Message] = deque()
        self._by_phone: dict[str, list[Message]] = {}
        self._by_msgid: dict[str, list[Message]] = {}
        self._by_uid: dict[str, list[Message]] = {}
        self.accepted = 0

    def add(self, submission: Submission, phone: str, content: str, segments: int) -> Message:
        """Keep a message, and forget the oldest when there are too many."""
        if len(self._messages) >= self._capacity:
            self._forget(self._messages.popleft())
        self.accepted += 1
        message = Message(self.accepted, submission, phone, content, segments)
        self._messages.append(message)
        self._by_phone.setdefault(phone, []).append(message)
        self._by_msgid.setdefault(submission.msgid, []).append(message)
        if submission.uid:
            self._by_uid.setdefault(submission.uid, []).append(message)
        return message

    def find(self, wanted: Filter, limit: int) -> list[Message]:
        """Return at most `limit` matching messages, newest first."""
        return list(islice(filter(wanted.matches, self._candidates(wanted)), limit))

    def _candidates(self, wanted: Filter) -> Iterator[Message]:
        indexed = (
            (wanted.msgid, self._by_msgid),
            (wanted.uid, self._by_uid),
            (wanted.phone, self._by_phone),
        )
        for key, index in indexed:
            if key:
                return _older_than(wanted.before, reversed(index.get(key, [])))
        newer = self.accepted - wanted.before + 1 if wanted.before else 0
        return islice(reversed(self._messages), max(0, newer), None)

    def _forget(self, message: Message) -> None:
        _drop_oldest(self._by_phone, message.phone)
        _drop_oldest(self._by_msgid, message.submission.msgid)
        if message.submission.uid:
            _drop_oldest(self._by_uid, message.submission.uid)


def _older_than(before: int, messages: Iterable[Message]) -> Iterator[Message]:
    return (message for message in messages if not before or message.sequence < before)


def _drop_oldest(index: dict[str, list[Message]], key: str) -> None:
    """Drop the first message of a key: messages are forgotten in the order in which they came."""
    messages = index[key]
    del messages[0]
    if not messages:
        del index[key]
