"""Tencent's limits, kept on our side by the lanes that the settings make."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import pytest

from mesh.provider.rate_limit import ThrottledError
from tests.mesh.provider.virtual_time import now, run
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import RETRY, SENT, make_settings, refused, told
from tests.txim_rpc.tencent_server import TencentServer
from txim_rpc.domain import Command
from txim_rpc.wiring import build_lanes

PER_SECOND = {
    Command.SEND_MSG: 200,
    Command.BATCH_SEND_MSG: 200,
    Command.ACCOUNT_IMPORT: 200,
    Command.MULTIACCOUNT_IMPORT: 100,
    Command.ACCOUNT_CHECK: 100,
    Command.QUERY_ONLINE_STATUS: 200,
}


Departures = list[tuple[float, int]]


def most_within(left: Departures, seconds: float) -> int:
    """The most that left in any so many seconds, counted from each departure on."""
    return max(sum(amount for at, amount in left if begin <= at <= begin + seconds) for begin, _ in left)


async def leave(command: Command, amounts: Sequence[int], *, rounds: int, every_seconds: float) -> Departures:
    """Ask for turns for all of these, again and again; answer what left, and when."""
    settings = make_settings("sqlite:///unused.db", "http://127.0.0.1:9", connections_max=1000)
    lane = build_lanes(settings, now)[command]
    left: Departures = []

    async def call(*amount: int) -> None:
        with contextlib.suppress(ThrottledError):
            async with lane.admit(*amount):
                left.append((now(), amount[-1]))

    async with asyncio.TaskGroup() as group:
        for _ in range(rounds):
            for amount in amounts:
                group.create_task(call(1, amount) if command is Command.BATCH_SEND_MSG else call(amount))
            await asyncio.sleep(every_seconds)
    return left


@pytest.mark.parametrize("command", Command)
def test_no_command_is_called_more_often_than_tencent_takes(command: Command) -> None:
    left = run(lambda: leave(command, [1] * 100, rounds=20, every_seconds=0.25))
    assert 0.85 * PER_SECOND[command] <= most_within(left, 1) <= PER_SECOND[command]


@pytest.mark.parametrize("size", [500, 333, 60])
def test_no_more_recipients_in_a_minute_than_tencent_takes(size: int) -> None:
    amounts = [size] * (3000 // size)
    left = run(lambda: leave(Command.BATCH_SEND_MSG, amounts, rounds=30, every_seconds=5))
    assert 11_000 <= most_within(left, 60) <= 12_000


async def test_calls_leave_in_the_order_in_which_they_were_asked_for(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(send_per_second=40)
    await txim.import_account("desk-1")
    sends = []
    for number in range(1, 61):
        sends.append(asyncio.ensure_future(txim.send(msg_random=number)))
        await asyncio.sleep(0)
    assert {result.outcome for result in await asyncio.gather(*sends)} == {SENT}
    arrived = [body["MsgRandom"] for body in tencent.bodies(Command.SEND_MSG)]
    assert sorted(arrived) == list(range(1, 61))
    # On connections of their own, neighbours may change places on the way, but nobody waits for others to pass.
    assert all(abs(place - number) <= 2 for place, number in enumerate(arrived, start=1))


async def test_who_would_wait_too_long_is_told_when_to_come_again(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(send_per_second=10, wait_seconds_max=0.5)
    await txim.import_account("desk-1")
    started = time.monotonic()
    results = await asyncio.gather(*[txim.send() for _ in range(50)])
    assert time.monotonic() - started < 3
    sent = [result for result in results if result.outcome == SENT]
    put_back = [result for result in results if result.outcome != SENT]
    assert 1 <= len(sent) <= 6
    assert {told(result) for result in put_back} == {(RETRY, "IM_RATE_LIMITED", 0)}
    assert {result.retry_after_seconds for result in put_back} == {1}
    assert tencent.commands.count(Command.SEND_MSG) == len(sent)


async def test_a_batch_over_the_minutes_recipients_is_put_back_whole(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(batch_recipients_per_minute=1000, wait_seconds_max=1)
    names = [f"desk-{number}" for number in range(500)]
    assert {result.outcome for result in await txim.send_all(*names)} == {SENT}
    results = await txim.send_all(*names)
    assert {told(result) for result in results} == {(RETRY, "IM_RATE_LIMITED", 0)}
    assert 55 < results[0].retry_after_seconds <= 61
    assert tencent.commands.count(Command.BATCH_SEND_MSG) == 1


async def test_too_many_that_wait_are_told_at_once(start: StartTxim) -> None:
    txim = await start(send_per_second=10, waiting_max=3)
    await txim.import_account("desk-1")
    results = await asyncio.gather(*[txim.send() for _ in range(20)])
    assert {result.outcome for result in results} == {SENT, RETRY}
    assert {result.reason for result in results if result.outcome == RETRY} == {"IM_RATE_LIMITED"}


async def test_where_there_are_no_results_it_is_a_refusal(start: StartTxim) -> None:
    txim = await start(account_check_per_second=2, wait_seconds_max=0.1)
    await txim.check("desk-1")
    with refused("IM_OVERLOADED") as caught:
        await txim.check("desk-1")
    assert caught.value.retry_after_seconds
    assert caught.value.metadata["cause"] == "IM_RATE_LIMITED"


async def test_slow_calls_of_one_command_hold_up_no_other(start: StartTxim, tencent: TencentServer) -> None:
    opened = asyncio.Event()

    async def wait(_: asyncio.StreamWriter) -> None:
        await opened.wait()

    txim = await start(connections_max=1, wait_seconds_max=0.2)
    await txim.import_account("desk-1")
    tencent.script(Command.ACCOUNT_CHECK, wait)
    checking = asyncio.ensure_future(txim.check("desk-1"))
    await tencent.has_been_asked(2)
    assert (await txim.send()).outcome == SENT
    with refused("IM_OVERLOADED"):
        await txim.check("desk-1")
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
