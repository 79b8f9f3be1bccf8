"""Knowing a message that was delivered before."""


class RepeatMemory:
    """Remembers messages by account, MsgRandom and second, in bounded memory.

    Two generations of 64-bit keys, each of half the capacity: when the younger is full, the older is forgotten.
    As long as `forgotten` is 0 every repeat is known.
    """

    def __init__(self, capacity: int) -> None:
        """Remember at most this many messages."""
        self._generation_max = max(1, capacity // 2)
        self._younger: set[int] = set()
        self._older: set[int] = set()
        self.forgotten = 0

    def is_repeat(self, account: str, msg_random: int, second: int) -> bool:
        """Whether this message was asked about before; remember it."""
        key = hash((account, msg_random, second))
        if key in self._younger or key in self._older:
            return True
        self._younger.add(key)
        if len(self._younger) >= self._generation_max:
            self.forgotten += len(self._older)
            self._older, self._younger = self._younger, set()
        return False
