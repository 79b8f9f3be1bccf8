"""Which queues a process takes, read off their names: `im.call.{brand}`."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

QUEUE_PREFIX = "im.call."

# Just the names that messagecenter_rpc writes: each process has to read the same brand off a name, and none may fail.
_CALL_QUEUE = re.compile(r"im\.call\.(?P<brand>[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class QueueSelection:
    """A part of all queues. Empty `brands` are all of them; `except_brands` are left to other processes."""

    brands: AbstractSet[int]
    except_brands: AbstractSet[int]

    def takes(self, queue: str) -> bool:
        """Whether a queue belongs to the selection."""
        name = _CALL_QUEUE.fullmatch(queue)
        if name is None:
            return False
        brand_id = int(name["brand"])
        return (not self.brands or brand_id in self.brands) and brand_id not in self.except_brands
