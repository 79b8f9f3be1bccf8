"""RocketMQ's brokers and its proxy killed under load: one of two masters, both of them, and what stands before them.

What was published stays on the disk of its broker and comes when that is back; what cannot be published is in rows, and
the sweeps publish it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from chaos.ground import Engines
from chaos.plan import Step, moments
from chaos.scenario import Scenario
from chaos.site import Site
from engines.rocketmq.server import RocketMqServer

MASTERS = 2

_EVERY_SECONDS = 8.0
_DOWN_SECONDS = (1.0, 6.0)
_LOCK = "rocketmq"


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Kill a master, the proxy, and all masters in an order of chance, then again in another."""
    faults: list[str] = []
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        faults = faults or random.sample(("kill_master", "kill_masters", "kill_proxy"), 3)
        fault, down_seconds = faults.pop(), round(random.uniform(*_DOWN_SECONDS), 2)
        which = {"index": random.randrange(MASTERS)} if fault == "kill_master" else {}
        yield Step(at_seconds, fault, {"down_seconds": down_seconds, **which})


async def kill_master(site: Site, down_seconds: float, index: int) -> None:
    """Have one of the masters away: the other goes on."""
    async with site.lock(_LOCK):
        await _kill_brokers(site, down_seconds, index)


async def kill_masters(site: Site, down_seconds: float) -> None:
    """Have all masters away at once."""
    async with site.lock(_LOCK):
        await _kill_brokers(site, down_seconds, *range(MASTERS))


async def kill_proxy(site: Site, down_seconds: float) -> None:
    """Have the proxy away, by which everybody publishes and receives."""
    rocketmq = _rocketmq(site)
    async with site.lock(_LOCK):
        site.timeline.note("kill RocketMQ's proxy")
        await rocketmq.kill_proxy()
        await asyncio.sleep(down_seconds)
        await rocketmq.restart_proxy()
        site.timeline.note("RocketMQ's proxy is back")


async def _kill_brokers(site: Site, down_seconds: float, *indexes: int) -> None:
    rocketmq = _rocketmq(site)
    site.timeline.note(f"kill RocketMQ's masters {indexes}")
    for index in indexes:
        await rocketmq.kill_broker(index)
    await asyncio.sleep(down_seconds)
    async with asyncio.TaskGroup() as group:
        for index in indexes:
            group.create_task(rocketmq.restart_broker(index))
    site.timeline.note(f"RocketMQ's masters {indexes} are back")


def _rocketmq(site: Site) -> RocketMqServer:
    if site.ground.rocketmq is None:
        raise RuntimeError("these engines have no RocketMQ")
    return site.ground.rocketmq


SCENARIO = Scenario(
    "rocketmq",
    "RocketMQ's proxy killed, one of its two masters, and both",
    {"kill_master": kill_master, "kill_masters": kill_masters, "kill_proxy": kill_proxy},
    draw,
    engines=frozenset({Engines.STACK}),
    rocketmq_masters=MASTERS,
)
