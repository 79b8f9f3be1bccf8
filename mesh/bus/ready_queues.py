"""Naming the queues that are due, as both buses that keep an index of them in Redis do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from mesh.bus.redis_scripts import READY
from mesh.redis_script import JointScripts

READY_QUEUES_MAX = 1000


async def read_ready(
    scripts: JointScripts, due_key: str, prefixes: Sequence[str], accepts: Callable[[str], bool]
) -> tuple[set[str], int | None]:
    """Name queues that are due and accepted, and say in how many ms the next one will be due, if any.

    Those due longest come first, a thousand at a time: what others leave lying must not hide what comes behind it.
    Raises RedisError.
    """
    skipped = 0
    while True:
        reply = await scripts.run(READY, [due_key], (READY_QUEUES_MAX, skipped, *prefixes))
        next_due_in_ms, *found = cast("list[bytes]", reply)
        accepted = {name for name in (one.decode() for one in found) if accepts(name)}
        if accepted or len(found) < READY_QUEUES_MAX:
            pause_ms = int(next_due_in_ms)
            return accepted, pause_ms if pause_ms >= 0 else None
        skipped += len(found)
