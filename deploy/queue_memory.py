# ruff: noqa: INP001  # a script to be run, not a part of a package
"""Measure the memory that a waiting message takes: `python deploy/queue_memory.py`. docs/scaling.md reckons with it.

Each message names one id and carries a trace, as the message of a single SMS or of an IM call does.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from mesh.bus.connect import connect_bus
from mesh.bus.id_messages import publish_ids
from mesh.embedded_valkey import EmbeddedValkey
from mesh.redis_connection import connect_redis
from mesh.telemetry import from_headers

MESSAGES = 20_000
FIRST_ID = 7353540606279680
AT_ONCE = 500


async def bytes_a_message(url: str, delay_seconds: float, messages: int) -> int:
    """Publish messages to a queue of one brand, and answer by how much the server's memory grew for each."""
    redis, bus = connect_redis(url, "queue_memory"), connect_bus("", url, "queue_memory")
    before = int((await redis.info("memory"))["used_memory"])
    for start in range(FIRST_ID, FIRST_ID + messages, AT_ONCE):
        with from_headers({}):
            await publish_ids(bus, "im.call.1001", range(start, start + AT_ONCE), 1, delay_seconds)
    grown = int((await redis.info("memory"))["used_memory"]) - before
    await bus.close()
    await redis.aclose()
    return grown // messages


async def main(messages: int) -> None:
    with tempfile.TemporaryDirectory() as state:
        server = await EmbeddedValkey.start(Path(state))
        try:
            for name, delay_seconds in (("ready", 0.0), ("delayed", 3600.0)):
                found = await bytes_a_message(server.url, delay_seconds, messages)
                sys.stdout.write(f"{name}: {found} bytes a message\n")
        finally:
            await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES))
