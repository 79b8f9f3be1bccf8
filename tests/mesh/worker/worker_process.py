"""A worker to be killed: takes the messages of one queue, says so for each, and never finishes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from mesh.bus.port import Delivery
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.redis_connection import connect_redis
from mesh.worker import Outcome, Route, Worker


async def hold(_: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
    for delivery in deliveries:
        sys.stdout.write(f"{delivery.message_id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    return []


async def main(url: str, queue: str) -> None:
    bus = RedisStreamsBus(connect_redis(url, "victim"), visibility_seconds_min=1)
    route = Route(name="hold", prefix=queue, handler=hold, visibility_seconds=1)
    await Worker(bus, [route]).run(asyncio.Event(), 1)


asyncio.run(main(*sys.argv[1:]))
