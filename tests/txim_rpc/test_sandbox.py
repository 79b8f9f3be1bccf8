"""The service against the sandbox in its own process: every fault that it has, and what comes of it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from brandmesh.txim.v1 import txim_pb2 as pb
from mesh.provider.http_call import HttpAnswer, HttpCaller
from mesh.testing import eventually
from tests.txim_rpc.harness import (
    REFUSED,
    RETRY,
    SDK_APP_ID,
    SENT,
    UNKNOWN,
    Txim,
    make_settings,
    message,
    refused,
    running_txim,
    told,
)
from tests.txim_rpc.sandbox_process import SandboxAdmin, sandbox_process

SOURCE = Path(__file__).read_text(encoding="utf-8")
Start = Callable[..., Awaitable[Txim]]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox_process() as url:
        yield url


@pytest_asyncio.fixture
async def sandbox(sandbox_url: str) -> AsyncIterator[SandboxAdmin]:
    async with aiohttp.ClientSession() as http:
        admin = SandboxAdmin(sandbox_url, http)
        yield admin
        await admin.reset()


@pytest_asyncio.fixture
async def start(database_url: str, sandbox_url: str) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(**changes: Any) -> Txim:
            return await stack.enter_async_context(running_txim(make_settings(database_url, sandbox_url, **changes)))

        yield begin


@pytest_asyncio.fixture
async def txim(start: Start) -> Txim:
    return await start()


@pytest.fixture
def account() -> str:
    return f"desk-{next(_numbers)}"


def request_to(account: str) -> pb.SendMsgRequest:
    return pb.SendMsgRequest(to=pb.ImAccount(account=account), message=message())


async def test_a_text(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    result = await txim.send(account, "Desk", text="801房间下单了水饺2份,请注意", cloud_custom_data='{"callId": "7"}')
    assert told(result) == (SENT, "", 0)
    (delivered,) = await sandbox.messages(account)
    assert (delivered["text"], delivered["cloud_custom_data"]) == ("801房间下单了水饺2份,请注意", '{"callId": "7"}')
    assert 3590 <= delivered["life_time_seconds"] <= 3600
    assert delivered["from"] == "administrator"
    assert (await sandbox.account(account))["nick"] == "Desk"


async def test_data_for_the_app(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    assert (await txim.send(account, custom_data='{"msgType": "REFRESH"}')).outcome == SENT
    (delivered,) = await sandbox.messages(account)
    assert (delivered["text"], delivered["custom_data"]) == ("", '{"msgType": "REFRESH"}')


async def test_a_batch_of_500(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    names = [f"{account}-{number}" for number in range(500)]
    assert {told(result) for result in await txim.send_all(*names)} == {(SENT, "", 0)}
    for name in (names[0], names[250], names[-1]):
        assert len(await sandbox.messages(name)) == 1


async def test_a_repeat_is_delivered_once(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    request = request_to(account)
    assert [(await txim.send_again(request)).outcome for _ in range(3)] == [SENT] * 3
    assert len(await sandbox.messages(account)) == 1


async def test_accounts_and_their_states(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    other, stranger = f"{account}-b", f"{account}-c"
    await txim.import_account(account, "Desk")
    assert await txim.import_accounts(account, other) == []
    assert await txim.check(stranger, other, account) == [other, account]
    await sandbox.log_in(other, "PushOnline")
    assert await txim.online(account, other, stranger) == [
        (account, pb.ONLINE_STATE_ONLINE),
        (other, pb.ONLINE_STATE_PUSH_ONLINE),
        (stranger, pb.ONLINE_STATE_UNSPECIFIED),
    ]


async def test_an_account_that_was_forgotten(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    names = [account, f"{account}-b", f"{account}-c"]
    assert {result.outcome for result in await txim.send_all(*names)} == {SENT}
    await sandbox.forget(account)
    assert (await txim.send(account)).outcome == SENT
    await sandbox.forget(names[1])
    assert {result.outcome for result in await txim.send_all(*names)} == {SENT}
    for name in names:
        await sandbox.forget(name)
    assert {result.outcome for result in await txim.send_all(*names)} == {SENT}, "all of them unknown is a FAIL"


async def test_an_account_that_is_forgotten_while_it_is_sent_to(
    txim: Txim, sandbox: SandboxAdmin, account: str
) -> None:
    await txim.send(account)
    await sandbox.fault("txim_forget_account", account=account, count=1)
    assert (await txim.send(account)).outcome == SENT
    await sandbox.fault("txim_forget_account", account=account)
    assert told(await txim.send(account)) == (RETRY, "IM_ACCOUNT_UNKNOWN", 90012)


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"txim_secret_key": "another-key"}, 70009, "IM_USER_SIG_REFUSED"),
        ({"txim_sdk_app_id": SDK_APP_ID + 1}, 70020, "IM_APP_REFUSED"),
        ({"txim_admin": "somebody"}, 60010, "IM_NOT_ADMINISTRATOR"),
    ],
)
async def test_an_app_that_is_not_set_up(
    changes: dict[str, Any], code: int, reason: str, start: Start, account: str
) -> None:
    txim = await start(**changes)
    assert told(await txim.send(account)) == (RETRY, reason, code)
    assert told(await txim.send(account)) == (RETRY, "IM_CIRCUIT_OPEN", 0)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(60007, RETRY), (70050, RETRY), (90994, RETRY), (60016, RETRY), (60008, UNKNOWN), (80001, REFUSED), (70001, SENT)],
)
async def test_an_error(
    code: int, outcome: pb.SendOutcome.ValueType, txim: Txim, sandbox: SandboxAdmin, account: str
) -> None:
    await sandbox.fault("txim_error", account=account, code=code, count=1)
    assert (await txim.send(account)).outcome == outcome
    assert len(await sandbox.messages(account)) == (1 if outcome == SENT else 0)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("txim_error", {"code": 60008, "accepted": True}),
        ("txim_error", {"code": 60008}),
        ("txim_lose_response", {}),
        ("txim_hang", {}),
        ("txim_hang", {"accepted": True}),
        ("txim_http_error", {"status": 502}),
        ("txim_http_error", {"status": 504, "accepted": True}),
    ],
)
async def test_what_may_have_arrived_is_sent_again_and_arrives_once(
    kind: str, fields: dict[str, object], start: Start, sandbox: SandboxAdmin, account: str
) -> None:
    txim = await start(call_timeout_seconds=1 if kind == "txim_hang" else 5)
    await sandbox.fault(kind, account=account, count=1, **fields)
    request = request_to(account)
    assert (await txim.send_again(request)).outcome == UNKNOWN
    assert (await txim.send_again(request)).outcome == SENT
    assert len(await sandbox.messages(account)) == 1


async def test_a_slow_answer(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    await sandbox.fault("txim_slow_answer", account=account, delay_seconds=0.5, count=1)
    assert (await txim.send(account)).outcome == SENT


async def test_one_recipient_of_a_batch_fails(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    names = [account, f"{account}-b", f"{account}-c"]
    await sandbox.fault("txim_fail_recipient", account=names[1], code=90994, count=1)
    results = await txim.send_all(*names)
    assert [told(result) for result in results] == [(SENT, "", 0), (RETRY, "IM_INTERNAL_ERROR", 90994), (SENT, "", 0)]
    assert [len(await sandbox.messages(name)) for name in names] == [1, 0, 1]


async def test_a_lost_import_sends_nothing(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    await sandbox.fault("txim_lose_response", account=account, commands=["account_import"], count=1)
    assert told(await txim.send(account)) == (RETRY, "IM_ANSWER_LOST", 0)
    assert (await txim.send(account)).outcome == SENT


async def test_asking_fails(txim: Txim, sandbox: SandboxAdmin, account: str) -> None:
    await sandbox.fault("txim_error", account=account, commands=["account_check"], code=70402, count=1)
    with refused("IM_REFUSED"):
        await txim.check(account)
    await sandbox.fault("txim_error", account=account, commands=["query_online_status"], code=60007, count=1)
    with refused("IM_OVERLOADED"):
        await txim.online(account)


async def test_a_flood_stays_within_tencents_limits(
    database_url: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures: defaultdict[str, list[float]] = defaultdict(list)
    post = HttpCaller.post

    async def noted_post(caller: HttpCaller, url: URL, body: bytes) -> HttpAnswer:
        departures[url.name].append(time.monotonic())
        return await post(caller, url, body)

    # Arrivals tell of the sandbox's process too: what waited while that stood still arrives at once.
    monkeypatch.setattr(HttpCaller, "post", noted_post)
    with sandbox_process(txim_calls_per_second_max="100000") as url:
        async with running_txim(make_settings(database_url, url, wait_seconds_max=20)) as txim:
            results = await asyncio.gather(*[txim.send(f"{account}-{number % 50}") for number in range(700)])
    assert {told(result) for result in results} == {(SENT, "", 0)}
    assert len(departures["sendmsg"]) == 700
    limits = {"sendmsg": 200, "account_import": 200, "multiaccount_import": 100}
    for command, moments in departures.items():
        assert most_in_a_second(moments) <= limits[command]


def most_in_a_second(moments: Sequence[float]) -> int:
    """Count the most of these ordered moments that lie in any second."""
    return max(bisect_left(moments, moment + 1) - index for index, moment in enumerate(moments))


async def test_whatever_goes_wrong_each_message_arrives_once(start: Start, sandbox: SandboxAdmin, account: str) -> None:
    txim = await start(call_timeout_seconds=0.3, circuit_failures_max=1000)
    everywhere = {"probability": 0.1, "commands": ["sendmsg", "batchsendmsg", "account_import", "multiaccount_import"]}
    await sandbox.fault("txim_lose_response", **everywhere)
    await sandbox.fault("txim_error", code=60008, accepted=True, **everywhere)
    await sandbox.fault("txim_error", code=90994, **everywhere)
    await sandbox.fault("txim_http_error", status=502, accepted=True, **everywhere)
    await sandbox.fault("txim_hang", accepted=True, probability=0.03)
    await sandbox.fault("txim_forget_account", probability=0.1)
    await sandbox.fault("txim_fail_recipient", code=70169, probability=0.1)
    names = [f"{account}-{number}" for number in range(20)]
    choose = random.Random(1)  # noqa: S311  # a replayable choice
    batches = [(message(), choose.sample(names, 10)) for _ in range(10)]
    singles = [request_to(name) for name in names]
    await asyncio.gather(
        *[until_sent_to_all(txim, wanted, to) for wanted, to in batches], *[until_sent(txim, one) for one in singles]
    )
    await sandbox.reset()
    wanted = [(one.to.account, one.message.msg_random) for one in singles]
    wanted += [(name, each.msg_random) for each, to in batches for name in to]
    delivered = [(one["account"], one["msg_random"]) for one in await sandbox.newest_messages()]
    assert sorted(one for one in delivered if one[0] in names) == sorted(wanted)


async def until_sent(txim: Txim, request: pb.SendMsgRequest) -> None:
    async def is_sent() -> bool:
        return (await txim.send_again(request)).outcome == SENT

    await eventually(is_sent, timeout_seconds=60)


async def until_sent_to_all(txim: Txim, wanted: pb.ImMessage, names: list[str]) -> None:
    left = set(names)

    async def are_sent() -> bool:
        to = [pb.ImAccount(account=name) for name in left]
        answer = await txim.peer.call(txim.stub.BatchSendMsg, pb.BatchSendMsgRequest(to=to, message=wanted))
        left.difference_update(result.account for result in answer.results if result.outcome == SENT)
        return not left

    await eventually(are_sent, timeout_seconds=60)


async def test_every_fault_of_the_sandbox_is_met_here(sandbox: SandboxAdmin) -> None:
    kinds = await sandbox.fault_kinds()
    assert len(kinds) >= 7
    assert {kind for kind in kinds if f'"{kind}"' not in SOURCE} == set()
