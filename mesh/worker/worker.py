"""Working many queues at once, so that none waits for another.

A queue that has work gets a lane: a task that receives a batch, handles it, settles it, and goes on until the queue is
empty. While it handles, the queue may get further lanes, up to the route's concurrency. A queue without work has no
lane and costs nothing, and one that gave less than it was asked for is not asked again until the bus names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mesh import telemetry
from mesh.bus.port import Bus, BusUnavailableError
from mesh.ending import end
from mesh.lanes import Lanes
from mesh.outage import Outage
from mesh.worker.batch import work
from mesh.worker.route import Route

HANDLERS_MAX = 64
WAIT_SECONDS = 5.0

_LOOK_PAUSE_SECONDS_FIRST = 0.01
_LOOK_PAUSE_SECONDS_MAX = 0.02
"""Longer, and a queue that gets its first message would wait behind one that is full."""

log = telemetry.logger(part="worker")


@dataclass(slots=True)
class _Queue:
    """A queue with lanes.

    `is_receiving` tells that one of them is about to find out whether there is more, `is_left` that the bus named the
    queue while it had its full number of lanes.
    """

    route: Route
    lanes: int = 0
    is_receiving: bool = False
    is_left: bool = False


class Worker:
    """Works the queues of `routes`, the first that takes a queue counting.

    At most `handlers_max` handlers run at once; lanes take turns for them, first come, first served, and hold no
    message while they wait.
    """

    def __init__(self, bus: Bus, routes: Sequence[Route], *, handlers_max: int = HANDLERS_MAX) -> None:
        self._bus = bus
        self._routes = tuple(routes)
        self._prefixes = frozenset(route.prefix for route in routes)
        self._turns = asyncio.Semaphore(handlers_max)
        self._queues: dict[str, _Queue] = {}
        self._waiting_outage = Outage("bus (waiting)")
        self._working_outage = Outage("bus (working)")

    async def run(self, stop: asyncio.Event, drain_seconds: float) -> None:
        """Work until `stop` is set; then receive no more, and give the handlers `drain_seconds` to finish.

        Those that take longer are cancelled, and their messages come back when their visibility has passed.
        """
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(group)
            dispatching = group.create_task(self._dispatch(lanes, stop), name="dispatch")
            await stop.wait()
            await end(dispatching)
            await lanes.drain(drain_seconds)

    async def _dispatch(self, lanes: Lanes, stop: asyncio.Event) -> None:
        """Open lanes for the queues that have work."""
        pause = _LOOK_PAUSE_SECONDS_FIRST
        while True:
            # While all handlers are busy, what is found would only wait behind what was found before.
            async with self._turns:
                pass
            try:
                ready = await self._bus.wait_ready(self._prefixes, WAIT_SECONDS, self._takes)
            except BusUnavailableError as error:
                await self._waiting_outage.pause(error, stop)
                continue
            self._waiting_outage.end()
            opened = [queue for queue in ready if self._open_lane(lanes, queue, stop)]
            if ready and not opened:
                # All of them are being worked on: the bus would name them again at once.
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LOOK_PAUSE_SECONDS_MAX)
            else:
                pause = _LOOK_PAUSE_SECONDS_FIRST

    def _takes(self, queue: str) -> bool:
        return queue in self._queues or any(route.takes(queue) for route in self._routes)

    def _open_lane(self, lanes: Lanes, name: str, stop: asyncio.Event) -> bool:
        """Open a lane unless the queue has its full number, or one that will see the work anyway."""
        queue = self._queues.get(name)
        if queue is None:
            route = next((route for route in self._routes if route.takes(name)), None)
            if route is None:
                return False
            queue = self._queues[name] = _Queue(route)
        if queue.is_receiving or stop.is_set():
            return False
        if queue.lanes >= queue.route.concurrency:
            queue.is_left = True
            return False
        queue.lanes += 1
        queue.is_receiving = True
        lanes.open(self._lane(name, queue, stop), name=f"lane {name}")
        return True

    async def _lane(self, name: str, queue: _Queue, stop: asyncio.Event) -> None:
        try:
            while await self._turn(name, queue, stop):
                queue.is_receiving = True
        except BusUnavailableError as error:
            await self._working_outage.pause(error, stop)
        except Exception as error:
            log.exception("queue failed", queue=name)
            await self._working_outage.pause(error, stop)
        finally:
            queue.lanes -= 1
            queue.is_receiving = False
            if queue.lanes == 0:
                del self._queues[name]

    async def _turn(self, name: str, queue: _Queue, stop: asyncio.Event) -> bool:
        """Work one batch; answer whether there may be another."""
        route = queue.route
        async with self._turns:
            if stop.is_set():
                return False
            queue.is_left = False
            deliveries = await self._bus.receive(name, route.batch_max, route.visibility_seconds)
            self._working_outage.end()
            queue.is_receiving = False
            if deliveries:
                await work(self._bus, route, name, deliveries)
        return len(deliveries) == route.batch_max or queue.is_left
