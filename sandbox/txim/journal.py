"""The last delivered messages, overall and by account."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sandbox.json_http import JsonObject
from sandbox.txim.accounts import Account
from sandbox.txim.messages import Content


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one account. `previous` is the sequence of the one before it to the same account, 0 for none."""

    sequence: int
    account: str
    content: Content
    received_at_ms: int
    previous: int

    def describe(self) -> JsonObject:
        """Return the message as GET /admin/txim/messages shows it."""
        return {
            "sequence": self.sequence,
            "account": self.account,
            "received_at_ms": self.received_at_ms,
            **self.content.describe(),
        }


class Journal:
    """The last `capacity` messages, newest first to the reader; sequences count from 1 without a gap."""

    def __init__(self, capacity: int) -> None:
        """Bound the messages kept."""
        self._capacity = capacity
        self._ring: list[Message] = []
        self.newest = 0

    @property
    def oldest(self) -> int:
        """The sequence of the oldest message kept."""
        return self.newest - len(self._ring) + 1

    def add(self, account: Account, content: Content, received_at_ms: int) -> Message:
        """Keep a message, and forget the oldest when there are too many."""
        self.newest += 1
        message = Message(self.newest, account.user_id, content, received_at_ms, account.newest)
        account.newest = self.newest
        if len(self._ring) < self._capacity:
            self._ring.append(message)
        else:
            self._ring[(self.newest - 1) % self._capacity] = message
        return message

    def latest(self, before: int, limit: int) -> list[Message]:
        """Return at most `limit` messages older than the sequence `before`, newest first; 0 for the newest."""
        start = min(self.newest, before - 1) if before else self.newest
        return [self._at(sequence) for sequence in islice(range(start, self.oldest - 1, -1), limit)]

    def of_account(self, account: Account, before: int, limit: int) -> list[Message]:
        """Return at most `limit` messages to one account, newest first, as `latest` does."""
        messages = self._back_from(account.newest)
        return list(islice((each for each in messages if not before or each.sequence < before), limit))

    def _back_from(self, sequence: int) -> Iterator[Message]:
        while sequence >= self.oldest and sequence:
            message = self._at(sequence)
            yield message
            sequence = message.previous

    def _at(self, sequence: int) -> Message:
        return self._ring[(sequence - 1) % self._capacity]
