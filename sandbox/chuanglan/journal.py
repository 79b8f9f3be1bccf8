"""The last accepted messages with their whole history, and how to find them."""

from array import array
from collections.abc import Iterator
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
        self._ring: list[Message] = []
        self._by_phone = _Index(capacity)
        self._by_msgid = _Index(capacity)
        self._by_uid = _Index(capacity)
        self._accepted = 0

    def add(self, submission: Submission, phone: str, content: str, segments: int) -> Message:
        """Keep a message, and forget the oldest when there are too many."""
        self._accepted += 1
        message = Message(self._accepted, submission, phone, content, segments)
        if len(self._ring) < self._capacity:
            self._ring.append(message)
        else:
            slot = (message.sequence - 1) % self._capacity
            self._forget(self._ring[slot])
            self._ring[slot] = message
        self._by_phone.add(phone, message.sequence)
        self._by_msgid.add(submission.msgid, message.sequence)
        self._by_uid.add(submission.uid, message.sequence)
        return message

    def find(self, wanted: Filter, limit: int) -> list[Message]:
        """Return at most `limit` matching messages, newest first."""
        candidates = map(self._at, self._sequences(wanted))
        return list(islice(filter(wanted.matches, candidates), limit))

    def _sequences(self, wanted: Filter) -> Iterator[int]:
        """Go through the sequences kept, newest first, by the index that promises the fewest."""
        oldest = self._accepted - len(self._ring) + 1
        newest = min(self._accepted, wanted.before - 1) if wanted.before else self._accepted
        for key, index in ((wanted.msgid, self._by_msgid), (wanted.uid, self._by_uid), (wanted.phone, self._by_phone)):
            if key:
                return (sequence for sequence in index.find(key, oldest) if sequence <= newest)
        return iter(range(newest, oldest - 1, -1))

    def _at(self, sequence: int) -> Message:
        return self._ring[(sequence - 1) % self._capacity]

    def _forget(self, message: Message) -> None:
        self._by_phone.forget(message.phone, message.sequence)
        self._by_msgid.forget(message.submission.msgid, message.sequence)
        self._by_uid.forget(message.submission.uid, message.sequence)


class _Index:
    """The sequences of each key: the newest in a dictionary, each linked to the one before it.

    Plain integers, because a list for each key would cost more memory than the messages.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._newest: dict[str, int] = {}
        self._previous = array("q")

    def add(self, key: str, sequence: int) -> None:
        """Add a sequence, greater than all before."""
        previous = self._newest.get(key, 0)
        if len(self._previous) < self._capacity:
            self._previous.append(previous)
        else:
            self._previous[(sequence - 1) % self._capacity] = previous
        self._newest[key] = sequence

    def find(self, key: str, oldest: int) -> Iterator[int]:
        """Go through the sequences of a key, newest first, down to the oldest one kept."""
        sequence = self._newest.get(key, 0)
        while sequence >= oldest:
            yield sequence
            sequence = self._previous[(sequence - 1) % self._capacity]

    def forget(self, key: str, sequence: int) -> None:
        """Forget the oldest sequence kept; a newer one of its key may still link to it, which `find` heeds."""
        if self._newest[key] == sequence:
            del self._newest[key]
