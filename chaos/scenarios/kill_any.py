"""Each process of the mesh, and Redis beside it, ended by SIGKILL at any moment and started again."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from chaos.plan import Step, moments
from chaos.scenario import Scenario
from chaos.site import PROCESSES, REDIS, Site

_EVERY_SECONDS = 1.5
_DOWN_SECONDS_MAX = 2.0


def draw(random: Random, seconds: float) -> Iterator[Step]:
    """Kill each in turn in an order of chance, then again in another."""
    order: list[str] = []
    for at_seconds in moments(random, seconds, _EVERY_SECONDS):
        if not order:
            order = random.sample((*PROCESSES, REDIS), len(PROCESSES) + 1)
        down_seconds = round(random.uniform(0, _DOWN_SECONDS_MAX), 2)
        yield Step(at_seconds, "kill", {"process": order.pop(), "down_seconds": down_seconds})


async def kill(site: Site, process: str, down_seconds: float) -> None:
    """End one and start it again."""
    await site.kill(process, down_seconds)


SCENARIO = Scenario("kill-any", "SIGKILL of each process at random, restarted", {"kill": kill}, draw)
