"""What this process holds: the messages it received and has not settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mesh.bus.port import Delivery
from mesh.bus.rocketmq.index import Aside
from mesh.bus.rocketmq.proxy import Receipt

_SWEEP_EACH = 1000


@dataclass(slots=True)
class Held:
    """A message in hand. Its receipt changes each time that it is hidden for longer."""

    receipt: Receipt
    aside: Aside


class Holdings:
    """Finds what belongs to a delivery, as long as it is ours."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._size_to_sweep = _SWEEP_EACH

    def add(self, delivery: Delivery, held: Held, now_ms: int) -> None:
        """Hold a message; forget those that were lost, now and then."""
        if len(self._held) >= self._size_to_sweep:
            self._held = {handle: one for handle, one in self._held.items() if one.aside.until_ms > now_ms}
            self._size_to_sweep = len(self._held) + _SWEEP_EACH
        self._held[delivery.handle] = held

    def get(self, delivery: Delivery) -> Held | None:
        """Answer what is held; None once it is settled, or was lost."""
        return self._held.get(delivery.handle)

    def drop(self, deliveries: Iterable[Delivery]) -> None:
        """Hold messages no more."""
        for delivery in deliveries:
            self._held.pop(delivery.handle, None)

    def by_queue(self, deliveries: Sequence[Delivery]) -> Iterator[tuple[str, list[tuple[Delivery, Held]]]]:
        """Group those of `deliveries` that are held by their queues."""
        queues: dict[str, list[tuple[Delivery, Held]]] = {}
        for delivery in deliveries:
            held = self.get(delivery)
            if held is not None:
                queues.setdefault(delivery.queue, []).append((delivery, held))
        yield from queues.items()
