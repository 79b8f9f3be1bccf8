"""Which queues a process takes, read off their names: `sms.send.{brand}.{type}.{mode}`."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

QUEUE_PREFIX = "sms.send."


@dataclass(frozen=True, slots=True)
class QueueSelection:
    """A part of all send queues. Empty `brands` are all of them; `except_brands` are left to other processes."""

    brands: AbstractSet[int]
    except_brands: AbstractSet[int]
    types: AbstractSet[str]
    modes: AbstractSet[str]

    def of_mode(self, mode: str) -> Callable[[str], bool]:
        """Answer what tells whether a queue is of this mode and belongs to the selection."""
        return partial(self.takes, mode=mode)

    def takes(self, queue: str, mode: str) -> bool:
        """Whether a queue is of this mode and belongs to the selection."""
        parts = queue.removeprefix(QUEUE_PREFIX).split(".")
        if len(parts) != 3 or not parts[0].isdigit() or parts[2] != mode:  # noqa: PLR2004  # the three parts above
            return False
        brand_id = int(parts[0])
        return (
            (not self.brands or brand_id in self.brands)
            and brand_id not in self.except_brands
            and parts[1] in self.types
            and parts[2] in self.modes
        )
