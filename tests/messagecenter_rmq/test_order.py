"""How fast and in which order calls leave, with the real worker, and at the real pace of txim_rpc."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from brandmesh.messagecenter.v1 import im_call_pb2
from mesh.testing import eventually
from mesh.worker import Worker
from tests.messagecenter_rmq.chain import BRAND, BROADCAST, KITCHEN, ORDERED, SHOP, Chain, Process, running_chain
from tests.messagecenter_rmq.tencent import wait_for

PER_SECOND = 60
OTHER_BRAND = 1002
SILENT = pytest.mark.usefixtures("logs")


@asynccontextmanager
async def working(chain: Chain, *processes: Process) -> AsyncIterator[None]:
    """Let processes work their queues, as they do in production."""
    workers = [Worker(chain.bus, [process.route]) for process in processes]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run(stop, 10))
        try:
            yield
        finally:
            stop.set()


async def call_many(chain: Chain, count: int, brand_id: int = BRAND, ms_apart: int = 0) -> list[str]:
    """Make calls whose text is their number, in one batch or a few milliseconds apart."""
    requests = [
        im_call_pb2.SendImCallRequest(
            brandId=brand_id,
            shopId=SHOP,
            event=ORDERED,
            Channels=[KITCHEN],
            callParams={"number": str(number)},
            MsgType=BROADCAST,
            request_id=f"many-{brand_id}-{next(chain.numbers)}-{number}",
        )
        for number in range(count)
    ]
    made: list[str] = []
    size = 1 if ms_apart else 500
    for start in range(0, count, size):
        batch = im_call_pb2.BatchSendImCallRequest(requests=requests[start : start + size])
        answer = await chain.messagecenter.call(chain.calls.BatchSendImCall, batch)
        made += [result.response.call_id for result in answer.results]
        if ms_apart:
            chain.clock.pass_ms(ms_apart)
    return made


async def warm_up(chain: Chain) -> None:
    """Have the account imported, which delays the first message to it."""
    await chain.call(callParams={"number": "-1"})
    chain.clock.pass_seconds(10)
    await chain.work()
    assert chain.tencent.sends
    chain.tencent.sends.clear()


def texts(chain: Chain) -> list[int]:
    return [int(sent.text) for sent in chain.tencent.sends]


async def until_sent(chain: Chain, count: int) -> None:
    await eventually(lambda: len(chain.tencent.sends) >= count, timeout_seconds=60)


@SILENT
async def test_what_is_due_first_leaves_first_and_at_the_rate(tmp_path: Path) -> None:
    # On connections of their own, what leaves together after a pause of the machine would change places on the way.
    async with running_chain(tmp_path, send_per_second=PER_SECOND, connections_max=1, wait_seconds_max=30) as chain:
        template_id = await chain.put_template("{number}")
        await chain.open_kitchen(template_id=template_id, first_delay_seconds=10)
        await warm_up(chain)
        await call_many(chain, 180, ms_apart=5)
        chain.clock.pass_seconds(10)
        async with working(chain, chain.first):
            await until_sent(chain, 180)
        assert texts(chain) == list(range(180))
        at = [sent.at_seconds for sent in chain.tencent.sends]
        # A busy machine notes an arrival late, which brings it nearer to the ones after it.
        assert all(late - early >= 0.7 for early, late in zip(at, at[PER_SECOND:], strict=False)), "over the rate"
        assert at[-1] - at[0] <= 3 * 180 / PER_SECOND, "far under the rate"
        assert {sent.body["To_Account"] for sent in chain.tencent.sends} == set(chain.tencent.inboxes)


@SILENT
async def test_two_processes_share_what_is_due_and_send_each_once(tmp_path: Path) -> None:
    async with running_chain(tmp_path, send_per_second=PER_SECOND) as chain:
        template_id = await chain.put_template("{number}")
        await chain.open_kitchen(template_id=template_id, first_delay_seconds=10)
        await warm_up(chain)
        await call_many(chain, 180, ms_apart=5)
        chain.clock.pass_seconds(10)
        async with working(chain, chain.first, chain.second):
            await until_sent(chain, 180)
        assert sorted(texts(chain)) == list(range(180))


@SILENT
async def test_a_brand_with_very_many_calls_does_not_hold_up_another(tmp_path: Path) -> None:
    """A process holds at most a thousand records at a time, and takes the next in turn from each brand."""
    async with running_chain(tmp_path, send_per_second=400) as chain:
        template_id = await chain.put_template("{number}")
        await chain.open_kitchen(template_id=template_id)
        await chain.open_kitchen(OTHER_BRAND)
        await call_many(chain, 1500)
        async with working(chain, chain.first):
            await until_sent(chain, 50)
            call_id = await chain.call(brandId=OTHER_BRAND)
            await eventually(lambda: _is_sent(chain, call_id), timeout_seconds=30)
            assert len(chain.tencent.sends) < 1300
            await until_sent(chain, 1501)


async def test_a_message_to_one_account_does_not_wait_behind_one_to_many(tmp_path: Path) -> None:
    """Tencent gives each of the two commands a rate of its own."""
    async with running_chain(tmp_path) as chain:
        await chain.open_kitchen()
        await chain.put_device("second-kitchen", KITCHEN)
        await chain.open_kitchen(OTHER_BRAND)
        may_end = asyncio.Event()
        chain.tencent.script.append(wait_for(may_end))
        process = await chain.open_process("narrow", sends_in_flight_max=1)
        async with working(chain, process):
            await chain.call()
            await until_sent(chain, 1)
            call_id = await chain.call(brandId=OTHER_BRAND)
            try:
                await eventually(lambda: _is_sent(chain, call_id), timeout_seconds=3)
            finally:
                may_end.set()


async def _is_sent(chain: Chain, call_id: str) -> bool:
    (record,) = await chain.records(call_id, OTHER_BRAND)
    return bool(record.text)
