"""Which queues a process takes, read off their names: `sms.send.{brand}.{type}.{mode}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

QUEUE_PREFIX = "sms.send."

# Just the names that sms_rpc writes: each process has to read the same brand off a name, and none may fail on one.
_SEND_QUEUE = re.compile(r"sms\.send\.(?P<brand>[1-9][0-9]{0,15})\.(?P<type>[a-z]+)\.(?P<mode>[a-z]+)")


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
        name = _SEND_QUEUE.fullmatch(queue)
        if name is None:
            return False
        brand_id, sms_type = int(name["brand"]), name["type"]
        return (
            (not self.brands or brand_id in self.brands)
            and brand_id not in self.except_brands
            and sms_type in self.types
            and name["mode"] == mode
            and mode in self.modes
        )
