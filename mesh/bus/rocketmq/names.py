"""Names of queues as names of topics: brokers take letters, digits, `-`, `_` and `%` alone, 127 characters at most."""

from __future__ import annotations

import re

TOPIC_CHARACTERS_MAX = 127

_PLAIN = re.compile(r"[A-Za-z0-9-]")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")
_SEPARATOR, _TOPIC_SEPARATOR = ".", "_"


class TopicNames:
    """Says which topic holds a queue, both ways. All topics of one deployment start with its name."""

    def __init__(self, deployment: str) -> None:
        self._prefix = f"{deployment}{_TOPIC_SEPARATOR}"

    def topic(self, queue: str) -> str:
        """Name the topic: `.` becomes `_`, what a broker would refuse its bytes in hexadecimal. Raises ValueError."""
        topic = self._prefix + "".join(_encode(character) for character in queue)
        if len(topic) > TOPIC_CHARACTERS_MAX:
            raise ValueError(f"queue {queue!r}: its topic has {len(topic)} characters, at most {TOPIC_CHARACTERS_MAX}")
        return topic

    def group(self, topic: str) -> str:
        """Name the consumer group that reads a topic: one for all queues whose names differ in numbers alone.

        So a kind of queue has one, over all brands: how far it is, RocketMQ's own tools say by group.
        """
        parts = topic.removeprefix(self._prefix).split(_TOPIC_SEPARATOR)
        return self._prefix + _TOPIC_SEPARATOR.join(part for part in parts if not part.isdecimal())

    def queue(self, topic: str) -> str | None:
        """Name the queue of a topic; None for a topic that is none of ours."""
        if not topic.startswith(self._prefix):
            return None
        dotted = topic.removeprefix(self._prefix).replace(_TOPIC_SEPARATOR, _SEPARATOR).encode()
        escaped = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), dotted.decode())
        return escaped.encode("latin-1").decode(errors="replace")


def _encode(character: str) -> str:
    if character == _SEPARATOR:
        return _TOPIC_SEPARATOR
    if _PLAIN.fullmatch(character):
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())


def retry_topic(topic: str, group: str) -> str:
    """Name the topic in which a broker keeps what a consumer group is to get again."""
    return f"%RETRY%{group}_{topic}"
