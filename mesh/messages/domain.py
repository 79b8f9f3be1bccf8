"""What a message is, where it stands at both of its ends, and who acts next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson

BODY_CHARACTERS_MAX = 4000
"""A longer body is refused where it is written, never cut."""

REMARK_CHARACTERS_MAX = 500

REPUBLISH_AFTER_MS = 60_000
REPUBLISH_AFTER_MS_MAX = 3_600_000

_DAY_MS = 86_400_000

KEPT_MS_PRODUCED = 7 * _DAY_MS
"""How long a settled message is kept for people to look at."""

KEPT_MS_CONSUMED = 30 * _DAY_MS
"""How long it is known that a message was applied: well beyond the last time that its producer may publish it."""


class ProducedStatus(IntEnum):
    """Where a written message stands. 0 and 1 are the numbers of the source of these tables."""

    PENDING = 0  # next: the service, or the sweep, publishes it
    PUBLISHED = 1  # next: its consumer applies it, or the sweep publishes it again
    SETTLED = 2  # terminal
    STOPPED = 3  # its consumer gave up; next: an operator requeues it


class ConsumedStatus(IntEnum):
    """What a service has made of a message. The numbers are those of the source of these tables."""

    PROCESSING = 0  # tried in vain; next: it comes again
    SUCCEEDED = 1  # terminal
    FAILED = 2  # tried as often as the limit allows; next: an operator requeues it


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be written: what happened (`tag`) to which one (`key`) of what (`topic`), told to one service."""

    to: str
    topic: str
    tag: str
    key: str
    body: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0.0

    def encode_body(self) -> str:
        """Write the body as JSON. Raises ValueError when it is too long to be kept."""
        text = orjson.dumps(dict(self.body)).decode()
        if len(text) > BODY_CHARACTERS_MAX:
            raise ValueError(f"the body of {self.topic}.{self.tag} {self.key} is over {BODY_CHARACTERS_MAX} characters")
        return text


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as its consumer gets it. `producer` and `msg_id` together are its name."""

    producer: str
    msg_id: int
    topic: str
    tag: str
    key: str
    body_text: str

    @property
    def name(self) -> tuple[str, int]:
        return self.producer, self.msg_id

    def body(self) -> dict[str, Any]:
        """Read the body. Raises ValueError when it is no JSON object."""
        parsed = orjson.loads(self.body_text)
        if not isinstance(parsed, dict):
            raise ValueError("the body is not a JSON object")  # noqa: TRY004  # what is wrong is a value from outside
        return parsed


def republish_at_ms(deliver_at_ms: int, now_ms: int) -> int:
    """When a message published now is published again, unless it was applied by then.

    The pause doubles: each is as long as the message's age, within bounds. A lost message is made up for in the time
    that it was missing, and one that nobody applies does not fill its queue.
    """
    return now_ms + min(max(now_ms - deliver_at_ms, REPUBLISH_AFTER_MS), REPUBLISH_AFTER_MS_MAX)
