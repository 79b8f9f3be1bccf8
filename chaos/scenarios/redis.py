"""Redis stopped, killed and emptied under load: rows are the truth, and sweeps fill the queues again from them.

One thing is in Redis alone: a receipt that the gateway has taken from the provider, until a consumer has recorded it.
When Redis is emptied it is lost, and its message waits for 72 hours as if none had come (docs/runbook.md, Back up).
Which they are is read in the transaction that empties Redis, so the audit allows those and no others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from random import Random

from chaos.ground import Engines
from chaos.plan import Step, moments
from chaos.scenario import Scenario
from chaos.site import REDIS, Site
from gateway.webhooks.chuanglan import INBOX_NAME
from mesh.redis_connection import connect_redis
from sms_rmq.settings import Settings as SmsConsumerSettings

_EVERY_SECONDS = 5.0
_DOWN_SECONDS = (0.0, 4.0)
_PHONE = re.compile(rb"(?<!\d)(?:86)?(1\d{10})(?!\d)")


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Empty, stop and kill it in an order of chance, then again in another."""
    faults: list[str] = []
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        faults = faults or random.sample(("flush_redis", "flush_redis", "stop_redis", "kill_redis"), 4)
        fault = faults.pop()
        down_seconds = round(random.uniform(*_DOWN_SECONDS), 2)
        yield Step(at_seconds, fault, {} if fault == "flush_redis" else {"down_seconds": down_seconds})


async def flush(site: Site) -> None:
    """Empty it, and write down whose receipts were in it."""
    async with site.lock(REDIS), connect_redis(site.ground.redis.url, "chaos") as redis:
        shards = range(SmsConsumerSettings.model_fields["inbox_shards"].default)
        async with redis.pipeline(transaction=True) as transaction:
            for inbox in (f"{{inbox:{INBOX_NAME}:{shard}}}" for shard in shards):
                transaction.lrange(f"{inbox}:items", 0, -1)
                transaction.zrange(f"{inbox}:later", 0, -1)
            transaction.flushall()
            *lists, _ = await transaction.execute()
    lost = {phone.decode() for items in lists for item in items for phone in _PHONE.findall(item)}
    site.lost_receipts |= lost
    site.timeline.note(f"Redis is emptied, and {len(lost)} receipts with it")


async def stop(site: Site, down_seconds: float) -> None:
    """End it in order, with everything on the disk."""
    async with site.lock(REDIS):
        site.timeline.note("stop redis")
        await site.ground.redis.stop()
        await asyncio.sleep(down_seconds)
        await site.ground.redis.start()
        site.timeline.note("redis is back")


async def kill(site: Site, down_seconds: float) -> None:
    """End it by SIGKILL: it comes back with all that it answered for, which is in its append-only file."""
    await site.kill(REDIS, down_seconds)


SCENARIO = Scenario(
    "redis",
    "Redis stopped, killed and emptied",
    {"flush_redis": flush, "stop_redis": stop, "kill_redis": kill},
    draw,
    engines=frozenset({Engines.MARIADB, Engines.STACK}),
)
