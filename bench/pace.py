"""An even pace: so many a second, whether or not what was begun has ended (an open load, not a closed one)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

_STEP_SECONDS = 0.02


async def paced(per_second: float, seconds: float) -> AsyncIterator[int]:
    """Yield 0, 1, 2 ... at their times; what falls into one step comes together."""
    clock = asyncio.get_running_loop().time
    began, number, total = clock(), 0, int(per_second * seconds)
    while number < total:
        due = min(total, int((clock() - began) * per_second) + 1)
        while number < due:
            yield number
            number += 1
        await asyncio.sleep(_STEP_SECONDS)
