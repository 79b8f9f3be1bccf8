"""Long work of one request in slices, so that an event loop goes on with others in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import TypeVar

SLICE_ITEMS = 1000
"""Some 2 ms of work at 2 us an item."""

_PAUSE_SECONDS_MAX = 0.01

Item = TypeVar("Item")


async def in_slices(items: Iterable[Item], size: int = SLICE_ITEMS) -> AsyncIterator[Sequence[Item]]:
    """Go through `items` in consecutive parts of `size`; after each, others have the loop as long as it took.

    A mere turn of the loop would not do: what others do takes a dozen turns each, for answers and locks that they wait
    for, and behind every one of them would come the next slice. Counted is time of the processor: on a busy machine a
    slice lasts longer, and is not to be paused for longer.
    """
    rest = iter(items)
    slice_ = list(islice(rest, size))
    while slice_:
        began_at = time.thread_time()
        yield slice_
        slice_ = list(islice(rest, size))
        if slice_:
            await asyncio.sleep(min(time.thread_time() - began_at, _PAUSE_SECONDS_MAX))
