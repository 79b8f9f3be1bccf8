"""A pass over what is due at channels: as much at once as may be, and what fails says so as itself."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from mesh.errors import DomainError
from order_rpc.payment.passes import AT_ONCE, Pass


async def test_calls_are_made_at_once_and_answered_in_order() -> None:
    both = asyncio.Barrier(2)

    async def call(answer: bool) -> bool:
        await asyncio.wait_for(both.wait(), 5)
        return answer

    one_pass = Pass(10)
    outcomes = await one_pass.gather([call(True), call(False)])
    assert outcomes == [True, False]
    one_pass.count(outcomes, outcomes)
    assert (one_pass.succeeded, one_pass.next_limit()) == (1, min(8, AT_ONCE))


async def test_an_outage_is_told_as_one_and_the_other_calls_come_to_their_end() -> None:
    away = DomainError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is away")
    begun, ended = asyncio.Event(), asyncio.Event()

    async def fail() -> bool:
        await begun.wait()
        raise away

    async def go_on() -> bool:
        begun.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended.set()
        return True

    with pytest.raises(DomainError) as caught:
        await Pass(10).gather([fail(), go_on()])
    assert caught.value is away
    assert ended.is_set()
