from __future__ import annotations

import asyncio

import pytest

from mesh.alongside import alongside


@pytest.mark.timeout(20)
async def test_a_companion_that_loses_its_cancellation_is_ended_all_the_same() -> None:
    lost = 0

    async def renew() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                # What a client does whose answer comes at the same moment.
                lost += 1
                if lost > 1:
                    raise

    async with alongside(renew()):
        await asyncio.sleep(0)
    assert lost == 2


async def test_the_companions_error_is_told_when_the_block_has_none() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with alongside(fail()):
            await asyncio.sleep(0.01)
