"""The whole process as it is started, on a real Valkey and in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mesh.bus.redis_streams import RedisStreamsBus
from mesh.embedded_valkey import EmbeddedValkey
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from messagecenter_rmq.settings import Settings
from messagecenter_rmq.wiring import main
from tests.messagecenter_rmq.chain import CALL_SCREEN, KITCHEN, Chain, running_chain
from tests.messagecenter_rmq.clocks import RunningClock
from tests.messagecenter_rmq.deliveries import TEXT

pytestmark = pytest.mark.usefixtures("logs")


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(tmp_path / "valkey")
    yield server
    await server.stop()


def settings_for(chain: Chain, valkey: EmbeddedValkey) -> Settings:
    return Settings(
        redis_url=valkey.url,
        peer_messagecenter=chain.messagecenter_address,
        peer_txim=chain.txim_address,
        sweep_seconds=1,
    )


async def test_two_channels_and_three_repeats_arrive_at_their_intervals(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    bus = RedisStreamsBus(connect_redis(valkey.url, "messagecenter_rpc"))
    async with running_chain(tmp_path, clock=RunningClock(), bus=bus) as chain:
        template_id = await chain.put_template()
        await chain.configure(KITCHEN, CALL_SCREEN, template_id=template_id, repeat_count=3, interval_seconds=1)
        accounts = [await chain.put_device("kitchen", KITCHEN), await chain.put_device("screen", CALL_SCREEN)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(main(settings_for(chain, valkey), stop))
            call_id = await chain.call(KITCHEN, CALL_SCREEN)
            await eventually(lambda: len(chain.tencent.arrived) == 6, timeout_seconds=20)
            stop.set()
        assert chain.tencent.inboxes == {account: [TEXT] * 3 for account in accounts}
        assert await chain.statuses(call_id) == ["SENT"] * 6
        for account in accounts:
            first, *later = [one.due_second for one in chain.tencent.arrived if one.account == account]
            assert later == [first + 1, first + 2]
        times = [sent.at_seconds for sent in chain.tencent.sends]
        assert times[-1] - times[0] > 1, "the last is due two seconds after the first, which may be late"
    await bus.close()


async def test_the_sweep_sends_what_the_bus_did_not_take(tmp_path: Path, valkey: EmbeddedValkey) -> None:
    async with running_chain(tmp_path, clock=RunningClock()) as chain:
        await chain.open_kitchen()
        chain.bus.is_away = True
        call_id = await chain.call()
        assert await chain.statuses(call_id) == ["ACCEPTED"]
        chain.bus.is_away = False
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(main(settings_for(chain, valkey), stop))
            await eventually(lambda: _is_queued(chain, call_id))
            stop.set()
        await chain.work()
        assert await chain.statuses(call_id) == ["SENT"]


async def _is_queued(chain: Chain, call_id: str) -> bool:
    return await chain.statuses(call_id) == ["QUEUED"]
