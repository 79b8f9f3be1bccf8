"""A consumer to be killed: receives one message, says so, and never settles it."""

from __future__ import annotations

import asyncio
import sys

from mesh.bus.redis_streams import RedisStreamsBus
from mesh.redis_connection import connect_redis


async def main(url: str, queue: str) -> None:
    bus = RedisStreamsBus(connect_redis(url, "victim"), visibility_seconds_min=1)
    (delivery,) = await bus.receive(queue, 1, 1)
    sys.stdout.write(f"{delivery.message_id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
