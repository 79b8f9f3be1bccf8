"""Consumers that take one step when they are told to, so that steps of several cross in any order, and that can die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mesh.bus.port import Delivery
from mesh.errors import DomainError
from mesh.worker import Dead, Done
from tests.sms_rmq.chain import Chain, Process

STEPS = {
    "dispatches": ("claim", "claim_singles", "record_charge", "record_submission", "finish"),
    "cost_center": ("pay", "report", "release"),
    "accounts": ("submit",),
}
"""What the real handler awaits: before each, and after the last, a consumer stands still."""

_SETTLED_TURNS = 20
"""Turns of the event loop in which nothing is being done: then every consumer stands still."""


@dataclass
class Gate:
    """Where one call of a consumer stands still until it is let through."""

    step: str
    arguments: tuple[Any, ...]
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class SteppedConsumer:
    """One process of sms_rmq with one message of a queue in its hands."""

    chain: Chain
    process: Process
    delivery: Delivery
    gates: list[Gate] = field(default_factory=list)
    working: int = 0

    def __post_init__(self) -> None:
        owners = {
            "dispatches": self.process.dispatches,
            "cost_center": self.process.handler._cost_center,
            "accounts": self.process.handler._accounts,
        }
        for name, steps in STEPS.items():
            for step in steps:
                setattr(owners[name], step, self._gated(step, getattr(owners[name], step)))
        self.task = asyncio.create_task(self._handle())

    def _gated(self, step: str, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            gate = Gate(step, arguments)
            self.gates.append(gate)
            await gate.opened.wait()
            self.working += 1
            try:
                return await real(*arguments)
            finally:
                self.working -= 1

        return call

    async def _handle(self) -> None:
        """Do what the worker does with a message."""
        try:
            (outcome,) = await self.process.handle(self.delivery.queue, [self.delivery])
        except DomainError:
            await self.chain.mesh.bus.nack(self.delivery, 1)
            return
        assert not isinstance(outcome, Dead)
        if isinstance(outcome, Done):
            await self.chain.mesh.bus.ack([self.delivery])

    async def let_through(self, position: int) -> None:
        """Open one of the gates, and wait until the consumer stands still again."""
        self.gates.pop(position % len(self.gates)).opened.set()
        await self.stand_still()

    async def stand_still(self) -> None:
        """Wait until nothing is being done."""
        idle = 0
        while idle < _SETTLED_TURNS:
            await asyncio.sleep(0 if not self.working else 0.0005)
            idle = 0 if self.working else idle + 1

    async def finish(self) -> None:
        """Let it through to the end of its way."""
        while not self.task.done():
            if self.gates:
                self.gates.pop().opened.set()
            await asyncio.sleep(0.0005 if self.working else 0)
        await self.task

    async def die(self) -> None:
        """End it where it stands. Nobody acknowledges its message."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
