"""The circuit before Tencent: it opens for what concerns every call, and closes by one call that comes through."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mesh.testing import eventually
from tests.sms_rmq.providers.scripted_server import hang_up
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import RETRY, SENT, UNKNOWN, Txim, refused, told
from tests.txim_rpc.tencent_server import TencentServer, fail
from txim_rpc.domain import Command

OPEN = (RETRY, "IM_CIRCUIT_OPEN", 0)


def is_open_in_metrics() -> bool:
    return REGISTRY.get_sample_value("brandmesh_provider_circuit_open", {"account": "txim"}) == 1


async def is_sent(txim: Txim) -> bool:
    return (await txim.send()).outcome == SENT


async def test_calls_that_fail_in_a_row_open_it(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(circuit_failures_max=3, circuit_open_seconds=0.3)
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, hang_up, fail(60008), hang_up)
    assert [(await txim.send()).outcome for _ in range(3)] == [UNKNOWN] * 3
    assert is_open_in_metrics()
    assert told(await txim.send()) == OPEN
    assert tencent.commands.count(Command.SEND_MSG) == 3
    await eventually(lambda: is_sent(txim))
    assert not is_open_in_metrics()


async def test_a_refusal_between_them_shows_that_tencent_is_there(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(circuit_failures_max=2)
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, *[hang_up, fail(90994), hang_up, fail(90001)] * 3)
    assert OPEN not in [told(await txim.send()) for _ in range(12)]


async def test_while_it_is_open_nothing_is_called(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start()
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, fail(60016))
    await txim.send()
    before = len(tencent.asked)
    assert told(await txim.send("desk-1")) == OPEN
    assert told(await txim.send("desk-2")) == OPEN
    assert {told(result) for result in await txim.send_all("desk-1", "desk-2")} == {OPEN}
    for call in (txim.check("desk-1"), txim.online("desk-1"), txim.import_account("desk-3")):
        with refused("IM_UNAVAILABLE") as caught:
            await call
        assert caught.value.metadata["cause"] == "IM_CIRCUIT_OPEN"
        assert caught.value.retry_after_seconds
    assert len(tencent.asked) == before


async def test_one_call_tries_after_a_stop_and_a_right_answer_ends_it(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(circuit_stop_seconds=0.3)
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, fail(60020), fail(60020))
    with capture_logs() as logs:
        await txim.send()
        await eventually(lambda: tried_again(txim, tencent))
        await eventually(lambda: is_sent(txim))
    assert [line["event"] for line in logs if line["log_level"] in {"warning", "error"}] == [
        "txim_stopped",
        "provider_circuit_opened",
        "txim_stopped",
        "provider_circuit_closed",
    ]


async def tried_again(txim: Txim, tencent: TencentServer) -> bool:
    await txim.send()
    return tencent.commands.count(Command.SEND_MSG) == 2


async def test_a_wrong_key_is_tried_with_one_new_user_sig_at_a_time(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(circuit_stop_seconds=0.3)
    await txim.import_account("desk-1")
    tencent.always(Command.SEND_MSG, fail(70009))
    with capture_logs() as logs:
        ends_at = time.monotonic() + 1.2
        while time.monotonic() < ends_at:
            await asyncio.gather(*[txim.send() for _ in range(3)])
            await asyncio.sleep(0.02)
    # Three at first, before the circuit is open; then one call, twice, every 0.3 s.
    assert 4 <= tencent.commands.count(Command.SEND_MSG) <= 6 + 2 * 4
    assert "provider_circuit_closed" not in {line["event"] for line in logs}
