"""What a message of the bus looks like on RocketMQ: an envelope as its body, and what changes between copies beside it.

A copy is made where a broker cannot change a message: when it dies, is requeued, or waits longer than a broker lets it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mesh.bus.envelope import Envelope
from mesh.bus.port import Delivery, Message
from mesh.bus.rocketmq.proxy import Outgoing

_ATTEMPTS, _PUBLISHED, _DUE = "bus-attempts", "bus-published-at-ms", "bus-due-at-ms"
_KEPT = "bus-kept-until-ms"


@dataclass(frozen=True, slots=True)
class Letter:
    """A message. `attempts` were made before this copy; it is to be delivered at `due_at_ms`, 0 being at once.

    `kept_until_ms` is what the broker was told of a copy that was received.
    """

    envelope: Envelope
    published_at_ms: int
    attempts: int = 0
    due_at_ms: int = 0
    kept_until_ms: int = 0

    @property
    def has_to_wait_on(self) -> bool:
        """Whether the broker could keep this copy for a part of its delay only. No clock is asked: they may differ."""
        return self.kept_until_ms < self.due_at_ms

    @classmethod
    def new(cls, message: Message, message_id: str, now_ms: int, delay_seconds: float) -> Letter:
        """Make the letter of what is published now."""
        envelope = Envelope(message_id, message.headers, message.body)
        due_at_ms = now_ms + round(delay_seconds * 1000)
        return cls(envelope, due_at_ms, due_at_ms=due_at_ms if delay_seconds else 0)

    @classmethod
    def of(cls, delivery: Delivery) -> Letter:
        """Make the letter that would be delivered as `delivery`, as a first attempt."""
        return cls(Envelope(delivery.message_id, delivery.headers, delivery.body), delivery.published_at_ms)

    @classmethod
    def read(cls, message_id: str, body: bytes, properties: Mapping[str, str], now_ms: int) -> Letter:
        """Read what `outgoing` wrote. What someone else put into the topic is a letter as it stands, of now."""
        if _PUBLISHED not in properties:
            return cls(Envelope(message_id, {}, body), now_ms)
        return cls(
            Envelope.decode(body),
            published_at_ms=int(properties[_PUBLISHED]),
            attempts=int(properties[_ATTEMPTS]),
            due_at_ms=int(properties[_DUE]),
            kept_until_ms=int(properties.get(_KEPT, 0)),
        )

    def with_header(self, name: str, value: str) -> Letter:
        """Answer this letter with one header more."""
        return replace(self, envelope=replace(self.envelope, headers={**self.envelope.headers, name: value}))

    def outgoing(self, delay_seconds_max: float, now_ms: int) -> Outgoing:
        """Write it, to be delivered when it is due, or earlier where a broker would not keep it for so long."""
        kept_until_ms = 0
        if self.due_at_ms:
            kept_until_ms = min(whole_second(self.due_at_ms), now_ms + int(delay_seconds_max * 1000))
        properties = {
            _ATTEMPTS: self.attempts,
            _PUBLISHED: self.published_at_ms,
            _DUE: self.due_at_ms,
            _KEPT: kept_until_ms,
        }
        return Outgoing(
            self.envelope.message_id,
            self.envelope.encode(),
            {name: str(value) for name, value in properties.items()},
            kept_until_ms or None,
        )

    def delivery(self, queue: str, attempt: int, handle: str) -> Delivery:
        """Say it as the port does."""
        return Delivery(
            queue=queue,
            message_id=self.envelope.message_id,
            body=self.envelope.body,
            headers=self.envelope.headers,
            attempt=attempt,
            published_at_ms=self.published_at_ms,
            handle=handle,
        )


def whole_second(at_ms: int) -> int:
    """Round a time (ms) up to the precision with which a broker delivers."""
    return math.ceil(at_ms / 1000) * 1000
