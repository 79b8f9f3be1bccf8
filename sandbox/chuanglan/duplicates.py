"""Proof that nobody was sent the same message twice."""

from dataclasses import dataclass

EXAMPLES_MAX = 20


@dataclass(frozen=True, slots=True)
class Repeated:
    """A message that was accepted more than once."""

    phone: str
    content: str
    uid: str


class DuplicateCounter:
    """Counts messages with the same phone, content and uid in bounded memory.

    Two generations of 64-bit keys, each of half the capacity: when the younger is full, the older is forgotten.
    A repeat is found for certain while fewer than half the capacity of other messages came in between; as long as
    `forgotten` is 0 the counts are exact (two different messages among a million share a key with odds below 1e-7).
    """

    def __init__(self, capacity: int) -> None:
        """Remember at most this many messages."""
        self._generation_max = max(1, capacity // 2)
        self._younger: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._examples: dict[Repeated, int] = {}
        self.keys = 0
        self.messages = 0
        self.forgotten = 0

    def add(self, phone: str, content: str, uid: str) -> None:
        """Count one accepted message."""
        key = hash((phone, content, uid))
        seen = self._younger.get(key) or self._older.pop(key, 0)
        self._younger[key] = seen + 1
        if seen:
            self._note_repeat(Repeated(phone, content, uid), seen + 1)
        if len(self._younger) >= self._generation_max:
            self.forgotten += len(self._older)
            self._older, self._younger = self._younger, {}

    def stats(self) -> dict[str, object]:
        """Return the counts: messages seen more than once, their surplus copies, and the first few of them."""
        return {
            "duplicates": self.keys,
            "duplicate_messages": self.messages,
            "duplicate_keys_forgotten": self.forgotten,
            "duplicate_examples": [
                {"phone": each.phone, "content": each.content, "uid": each.uid, "times": times}
                for each, times in self._examples.items()
            ],
        }

    def _note_repeat(self, repeated: Repeated, times: int) -> None:
        self.messages += 1
        self.keys += times == 2  # noqa: PLR2004 - the second time makes it a duplicate
        if repeated in self._examples or len(self._examples) < EXAMPLES_MAX:
            self._examples[repeated] = times
