"""The circuit before Tencent: it opens for what concerns every call, and closes by one call that comes through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mesh.provider.circuit import Circuit
from tests.sms_rmq.providers.scripted_server import hang_up
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import RETRY, SENT, UNKNOWN, refused, told
from tests.txim_rpc.tencent_server import TencentServer, fail
from txim_rpc import wiring
from txim_rpc.domain import Command

OPEN = (RETRY, "IM_CIRCUIT_OPEN", 0)


def is_open_in_metrics() -> bool:
    return REGISTRY.get_sample_value("brandmesh_provider_circuit_open", {"account": "txim"}) == 1


class Clock:
    """The time that the circuit goes by."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the circuit's clock, for services that are started from now on."""
    clock = Clock()
    monkeypatch.setattr(wiring, "Circuit", partial(Circuit, clock=clock))
    return clock


async def test_calls_that_fail_in_a_row_open_it(start: StartTxim, tencent: TencentServer, clock: Clock) -> None:
    txim = await start(circuit_failures_max=3, circuit_open_seconds=10)
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, hang_up, fail(60008), hang_up)
    assert [(await txim.send()).outcome for _ in range(3)] == [UNKNOWN] * 3
    assert is_open_in_metrics()
    assert told(await txim.send()) == OPEN
    clock.now += 9.9
    assert told(await txim.send()) == OPEN
    assert tencent.commands.count(Command.SEND_MSG) == 3
    clock.now += 0.2
    assert (await txim.send()).outcome == SENT
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


async def test_one_call_tries_after_a_stop_and_a_right_answer_ends_it(
    start: StartTxim, tencent: TencentServer, clock: Clock
) -> None:
    txim = await start(circuit_stop_seconds=60)
    await txim.import_account("desk-1")
    tencent.script(Command.SEND_MSG, fail(60020), fail(60020))
    with capture_logs() as logs:
        for calls in (1, 2):
            for _ in range(3):
                await txim.send()
                assert tencent.commands.count(Command.SEND_MSG) == calls
            clock.now += 60
        assert (await txim.send()).outcome == SENT
    assert [line["event"] for line in logs if line["log_level"] in {"warning", "error"}] == [
        "txim_stopped",
        "provider_circuit_opened",
        "txim_stopped",
        "provider_circuit_closed",
    ]


async def test_a_wrong_key_is_tried_with_one_new_user_sig_at_a_time(
    start: StartTxim, tencent: TencentServer, clock: Clock
) -> None:
    txim = await start(circuit_stop_seconds=60)
    await txim.import_account("desk-1")
    under_way, most_under_way = 0, 0

    async def refuse(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most_under_way
        under_way += 1
        most_under_way = max(most_under_way, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        await fail(70009)(writer)

    async def calls_of(*sends: Awaitable[object]) -> int:
        before = tencent.commands.count(Command.SEND_MSG)
        await asyncio.gather(*sends)
        return tencent.commands.count(Command.SEND_MSG) - before

    tencent.always(Command.SEND_MSG, refuse)
    with capture_logs() as logs:
        # Each comes twice at most, before the circuit is open.
        assert 2 <= await calls_of(txim.send(), txim.send(), txim.send()) <= 6
        for _ in range(3):
            assert await calls_of(txim.send(), txim.send()) == 0
            clock.now += 60
            assert await calls_of(txim.send()) == 2
        clock.now += 60
        most_under_way = 0
        assert 2 <= await calls_of(txim.send(), txim.send(), txim.send()) <= 6
        assert most_under_way == 1
        assert await calls_of(txim.send(), txim.send()) == 0
    assert "provider_circuit_closed" not in {line["event"] for line in logs}
