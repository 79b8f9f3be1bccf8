"""Tasks that come and go beside a dispatcher, and are given time to finish in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from mesh import telemetry
from mesh.ending import end

log = telemetry.logger(part="lanes")


class Lanes:
    """The lanes of one task group, which owns them: an unexpected error in one ends them all."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._lanes: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._lanes)

    def open(self, lane: Coroutine[None, None, None], name: str) -> None:
        task = self._group.create_task(lane, name=name)
        self._lanes.add(task)
        task.add_done_callback(self._lanes.discard)

    async def drain(self, seconds: float) -> None:
        """Wait `seconds` for all lanes to end, and cancel those that have not."""
        if not self._lanes:
            return
        _, late = await asyncio.wait(set(self._lanes), timeout=seconds)
        if late:
            log.warning("handlers cancelled at shutdown", handlers=len(late), drain_seconds=seconds)
            await end(*late)
