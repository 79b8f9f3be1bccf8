"""One run: a mesh on its servers, the load, the faults at their moments, then peace, and the audit over the whole."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.audit import LASTING, Breach, audit
from chaos.customer import Customer
from chaos.flash_sales import Crowd
from chaos.ground import Engines, standing
from chaos.load import Shopper
from chaos.paying import Channel
from chaos.plan import Step, chance, draw_steps
from chaos.reading import read_world
from chaos.scenario import Scenario
from chaos.shop import buyers_of
from chaos.shopping import Buyer
from chaos.site import Site, running_site
from chaos.timeline import Timeline
from chaos.told import Told
from chaos.world import World
from mesh.testing import eventually

SHOPPERS_A_BRAND = 4
SETTLE_SECONDS_MAX = 180.0
"""A message that was to come in a minute, and is lost, is published again a minute after that."""

_LOAD_SECONDS_MAX = 90.0
"""So much longer than the faults the load may last, where a slow machine makes less of it."""

_LOAD_LOOK_SECONDS = 0.25

_LOOK_SECONDS = 2.0
_CALM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """So much that was acknowledged."""

    sends: int = 0
    shop_orders: int = 0
    flash_sold: int = 0

    def is_in(self, told: Told) -> bool:
        """Tell whether there was as much, or more."""
        return (
            len(told.sends) >= self.sends
            and len(told.shop.placed) >= self.shop_orders
            and len(told.shop.sold) >= self.flash_sold
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be played."""

    scenario: Scenario
    engines: Engines
    seed: int
    seconds: float
    """How long the faults last, and the load at least."""
    load_min: Load = Load()
    """Until there was so much, the load goes on after the faults, though not for ever."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The plan: the same for the same run."""
        return draw_steps(self.scenario.draw, self.seed, self.scenario.name, self.seconds)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    run: Run
    timeline: Timeline
    breaches: Sequence[Breach]
    figures: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Say everything in JSON's types: what it takes to play it again, and what happened."""
        return {
            "scenario": self.run.scenario.name,
            "engines": self.run.engines,
            "seed": self.run.seed,
            "seconds": self.run.seconds,
            "plan": [step.as_json() for step in self.run.steps],
            "timeline": [{"at_seconds": event.at_seconds, "what": event.what} for event in self.timeline.events],
            "figures": self.figures,
            "breaches": [str(breach) for breach in self.breaches],
        }


async def play(run: Run, home: Path, timeline: Timeline) -> Result:
    """Play a run with its state below `home`; the state is kept where a rule is broken, for whoever looks into it.

    Raises EngineMissingError, ServerFailedError and ProcessFailedError where the mesh cannot be run at all, or does not
    come back after a fault.
    """
    state = home / f"{run.scenario.name}-{run.engines}-{run.seed}-{secrets.token_hex(3)}"
    settings = run.scenario.settings(chance(run.seed, f"{run.scenario.name}/settings"))
    async with (
        standing(run.engines, state, run.scenario.rocketmq_masters) as ground,
        running_site(ground, state / "mesh", timeline, settings) as site,
    ):
        await _under_fire(run, site)
        timeline.note("peace")
        await site.heal()
        world, breaches = await _settled(run, site)
    result = Result(run, timeline, breaches, _figures(world))
    _write(result, home)
    if not breaches:
        await asyncio.to_thread(shutil.rmtree, state)
    return result


async def _under_fire(run: Run, site: Site) -> None:
    """Have the shoppers at it while the faults strike; in the healed mesh they finish what they began."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as load:
        for customer in site.customers:
            for act in _everybody(run, site, customer):
                load.create_task(act.run(stop))
        try:
            async with asyncio.TaskGroup() as faults:
                for step in run.steps:
                    faults.create_task(_strike(run.scenario, site, step))
                faults.create_task(asyncio.sleep(run.seconds))
            await _load_of(run.load_min, site)
            await site.heal()
        finally:
            stop.set()


async def _load_of(load_min: Load, site: Site) -> None:
    """Wait until there was so much load; the figures say it where it did not come to that in time."""
    told = site.customers[0].told
    with suppress(AssertionError):
        await eventually(lambda: load_min.is_in(told), _LOAD_SECONDS_MAX, _LOAD_LOOK_SECONDS)


def _everybody(run: Run, site: Site, customer: Customer) -> Iterator[Shopper | Buyer | Crowd]:
    """Answer all who use what a brand has, each with a chance of its own."""
    channel, brand_id = Channel(site.session, customer), customer.brand_id
    for number in range(SHOPPERS_A_BRAND):
        name = f"{brand_id}-{number}"
        yield Shopper(customer, channel, chance(run.seed, f"load/{name}"), name)
    for user_id in buyers_of(brand_id):
        yield Buyer(customer, channel, chance(run.seed, f"shopping/{user_id}"), user_id, site.articles[brand_id])
    yield Crowd(customer, channel, chance(run.seed, f"flash sales/{brand_id}"))


async def _strike(scenario: Scenario, site: Site, step: Step) -> None:
    await asyncio.sleep(step.at_seconds)
    await scenario.strike(site, step.fault, step.arguments)


async def _settled(run: Run, site: Site) -> tuple[World, list[Breach]]:
    """Look again and again until every rule holds that can, and after a calm once more; answer what does not hold."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS_MAX
    while True:
        world = await read_world(site, run.scenario.expected_errors)
        breaches = audit(world)
        if all(breach.rule in LASTING for breach in breaches):
            # What is still under way somewhere must not break a rule after all.
            await asyncio.sleep(_CALM_SECONDS)
            world = await read_world(site, run.scenario.expected_errors)
            return world, audit(world)
        if asyncio.get_running_loop().time() > deadline:
            return world, breaches
        await asyncio.sleep(_LOOK_SECONDS)


def _figures(world: World) -> dict[str, Any]:
    """Say how much there was to audit: a run in which nothing happened proves nothing."""
    told = world.told
    return {
        "sends": len(told.sends),
        "messages": sum(len(brand.messages) for brand in world.brands),
        "submissions": len(world.submissions),
        "cancels": len(told.cancelled_sms) + len(told.cancelled_tasks),
        "calls": len(told.calls),
        "heard": len(world.heard),
        "orders": len(told.orders),
        "shop_orders": len(told.shop.placed),
        "cancelled_orders": len(told.shop.cancelled),
        "refunds": len(told.shop.paid_back),
        "recharges": len(told.shop.recharged),
        "flash_sales": len(told.shop.published),
        "flash_attempts": len(told.shop.tried),
        "flash_sold": len(told.shop.sold),
        "payments": len(world.order_services.channel_payments),
        "entries": sum(len(brand.entries) for brand in world.brands),
        "refusals": dict(told.expected_refusals),
        "answers": dict(told.tries),
    }


def _write(result: Result, home: Path) -> None:
    name = f"{result.run.scenario.name}-{result.run.engines}-{result.run.seed}.json"
    (home / name).write_text(json.dumps(result.as_json(), indent=2, ensure_ascii=False) + "\n")
