from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bench.peers import jasmin, kannel
from bench.peers.receipts import Receipts, listening
from mesh.loopback import LOOPBACK


async def call(port: int, *targets: str) -> list[tuple[int, str]]:
    """Make the calls that a gateway makes; answer what each was told."""
    answers = []
    async with aiohttp.ClientSession() as session:
        for target in targets:
            async with session.get(f"http://{LOOPBACK}:{port}{target}") as response:
                answers.append((response.status, await response.text()))
    return answers


async def test_a_run_is_complete_when_each_phone_has_its_receipt_once() -> None:
    receipts = Receipts(kannel.phone_of)
    async with listening(receipts) as port:
        await receipts.expect(2)
        waiting = asyncio.create_task(receipts.complete(seconds_max=10))
        assert await call(port, "/1/8613900000001", "/1/8613900000001") == [(200, "ACK/Jasmin")] * 2
        assert not waiting.done()
        await call(port, "/1/8613900000002")
        assert await waiting == receipts.last_at


async def test_what_was_not_delivered_is_told_when_the_time_is_over() -> None:
    receipts = Receipts(kannel.phone_of)
    async with listening(receipts) as port:
        await receipts.expect(2)
        await call(port, "/1/8613900000001", "/2/8613900000002")
        with pytest.raises(TimeoutError, match=r"1 of 2 receipts came within 0.1 s, 1 say otherwise: b'/2/8613900"):
            await receipts.complete(seconds_max=0.1)


async def test_a_new_run_forgets_the_phones_and_refusals_of_the_last() -> None:
    receipts = Receipts(kannel.phone_of)
    await receipts.expect(1)
    receipts.note(b"/1/8613900000001")
    receipts.note(b"/2/8613900000002")
    await receipts.expect(1)
    with pytest.raises(TimeoutError, match=r"^0 of 1 receipts came within 0.05 s$"):
        await receipts.complete(seconds_max=0.05)


def test_jasmin_says_in_the_query_whether_a_message_was_delivered() -> None:
    assert jasmin.phone_of(b"/8613900000001?id=a&level=2&message_status=DELIVRD") == "8613900000001"
    assert jasmin.phone_of(b"/8613900000001?id=a&level=2&message_status=UNDELIV") is None
    assert jasmin.phone_of(b"/8613900000001?id=a&level=1&message_status=ESME_ROK") is None
