"""Queues that keep no order and count badly: messages come twice, shuffled, and long after they were done with.

Consumers stand still meanwhile, until freezes have expired and leases have passed to others.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random

import sqlalchemy as sa

from chaos.plan import Step, Value, moments
from chaos.scenario import Scenario
from chaos.site import Site
from costcenter_rpc.domain import FreezeState
from costcenter_rpc.tables import freeze
from mesh.bus.connect import connect_bus
from mesh.bus.port import DEAD_SUFFIX, VISIBILITY_SECONDS_MIN, Bus, Message
from mesh.database import Database

QUEUES = {
    "sms_rmq": "sms.send.",
    "costcenter_rmq": "costcenter.",
    "order_rmq": "message.",
    "messagecenter_rmq": "im.call.",
}
"""What the queues of each consumer begin with."""

_EVERY_SECONDS = 4.0
_TAKEN_MAX = 200
_EXPIRY_SECONDS = 2.5
_TWIN = "twin"


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Stir the queues of one consumer after the other; now and then let one stand still while a twin takes over."""
    names = list(QUEUES)
    for number, at_seconds in enumerate(moments(random, seconds, _EVERY_SECONDS)):
        consumer = names[number % len(names)]
        if random.random() < 0.3:  # noqa: PLR2004  # most of the time messages are stirred
            yield Step(at_seconds, "freeze", {"consumer": consumer, "seconds": round(random.uniform(6, 15), 2)})
            continue
        arguments: dict[str, Value] = {
            "consumer": consumer,
            "fill_seconds": round(random.uniform(0.5, 2.5), 2),
            "copies": random.randint(0, 2),
            "late_seconds_max": random.choice((0, 2, 6)),
            "expire": consumer == "sms_rmq" and random.random() < 0.5,  # noqa: PLR2004  # every other time
            "chance": random.getrandbits(32),
        }
        yield Step(at_seconds, "stir", arguments)


async def stir(
    site: Site, *, consumer: str, fill_seconds: float, copies: int, late_seconds_max: float, expire: bool, chance: int
) -> None:
    """Let the queues of a consumer fill, then put what is in them back in another order, late, and with copies.

    `expire` has all freezes run out meanwhile. `chance` decides on orders and delays.
    """
    async with site.lock(consumer), standing_still(site, consumer):
        await asyncio.sleep(fill_seconds)
        if expire:
            await expire_freezes(site)
        bus = connect_bus(site.ground.bus_url, site.ground.redis.url, "chaos")
        try:
            count = await _shuffle(bus, QUEUES[consumer], copies, late_seconds_max, Random(chance))  # noqa: S311
        finally:
            await bus.close()
        site.timeline.note(f"stirred {count} messages of {consumer}, {copies} copies, up to {late_seconds_max} s late")


async def _shuffle(bus: Bus, prefix: str, copies: int, late_seconds_max: float, random: Random) -> int:
    """Take what is ready in queues, and give it back with copies at times of chance; answer how much it was."""
    taken = 0
    for queue in await bus.queues(prefix):
        if queue.endswith(DEAD_SUFFIX):
            continue
        deliveries = await bus.receive(queue, _TAKEN_MAX, VISIBILITY_SECONDS_MIN)
        taken += len(deliveries)
        random.shuffle(deliveries)
        for delivery in deliveries:
            for _ in range(copies):
                late_seconds = random.uniform(0, late_seconds_max)
                await bus.publish(queue, [Message(delivery.body, delivery.headers)], late_seconds)
            await bus.nack(delivery, random.uniform(0, late_seconds_max))
    return taken


async def expire_freezes(site: Site) -> None:
    """Have all open freezes run out now, and wait until the sweep has released them."""
    database = Database(site.mesh.database_url("costcenter"))
    try:
        async with database.write() as connection:
            is_open = freeze.c.state == FreezeState.FROZEN.value
            now_ms = time.time_ns() // 1_000_000
            done = await connection.execute(sa.update(freeze).where(is_open).values(expires_at_ms=now_ms))
    finally:
        await database.close()
    site.timeline.note(f"{done.rowcount} freezes run out")
    await asyncio.sleep(_EXPIRY_SECONDS)


async def freeze_process(site: Site, consumer: str, seconds: float) -> None:
    """Let a consumer stand still, leases and all, while another of its kind takes over; then let it go on."""
    async with site.lock(consumer):
        name = f"{consumer}_{_TWIN}"
        await site.mesh.supervisor.start([site.mesh.spec(consumer, process_name=name)])
        async with standing_still(site, consumer):
            await asyncio.sleep(seconds)
        await site.mesh.supervisor.stop([name])


@asynccontextmanager
async def standing_still(site: Site, consumer: str) -> AsyncIterator[None]:
    """Stop a process as a machine that swaps or migrates would: it goes on where it was, and knows nothing of it."""
    pid = site.pid(consumer)
    os.kill(pid, signal.SIGSTOP)
    site.timeline.note(f"{consumer} stands still")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        site.timeline.note(f"{consumer} goes on")


SCENARIO = Scenario(
    "queue",
    "messages doubled, shuffled and late, consumers that stand still past their leases and freezes",
    {"stir": stir, "freeze": freeze_process},
    draw,
)
