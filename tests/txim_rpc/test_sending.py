"""Sends over the service's own rpcs: what leaves for Tencent, and what comes of its answers."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from brandmesh.txim.v1 import txim_pb2 as pb
from mesh.timestamps import to_timestamp
from tests.sms_rmq.providers.scripted_server import hang_up, http
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import (
    MSG_TIME_SECONDS,
    REFUSED,
    RETRY,
    SDK_APP_ID,
    SENT,
    UNKNOWN,
    Txim,
    message,
    refused,
    told,
)
from tests.txim_rpc.tencent_server import TencentServer, fail, ok
from txim_rpc.domain import BODY_BYTES_MAX, Command

SEVEN_DAYS = 7 * 24 * 3600


async def test_a_text_to_one_account(txim: Txim, tencent: TencentServer) -> None:
    result = await txim.send("desk-1", "Desk 1", msg_random=7, cloud_custom_data='{"call": 12}')
    assert (result.account, *told(result)) == ("desk-1", SENT, "", 0)
    assert tencent.commands == [Command.ACCOUNT_IMPORT, Command.SEND_MSG]
    imported, sent = tencent.asked
    assert imported.body == {"UserID": "desk-1", "Nick": "Desk 1"}
    assert 3590 <= sent.body.pop("MsgLifeTime") < 3600
    assert sent.body == {
        "SyncOtherMachine": 2,
        "To_Account": "desk-1",
        "MsgRandom": 7,
        "MsgTimeStamp": MSG_TIME_SECONDS,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "801 ordered 2 dumplings"}}],
        "CloudCustomData": '{"call": 12}',
    }
    assert sent.query.pop("usersig")
    assert 0 <= int(sent.query.pop("random")) < 1 << 32
    assert sent.query == {"sdkappid": str(SDK_APP_ID), "identifier": "administrator", "contenttype": "json"}


async def test_data_for_the_app(txim: Txim, tencent: TencentServer) -> None:
    assert (await txim.send(custom_data='{"msgType": "REFRESH"}')).outcome == SENT
    (body,) = tencent.bodies(Command.SEND_MSG)
    assert body["MsgBody"] == [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": '{"msgType": "REFRESH"}'}}]
    assert "CloudCustomData" not in body


async def test_one_message_to_many_accounts(txim: Txim, tencent: TencentServer) -> None:
    names = [f"desk-{number}" for number in range(500)]
    results = await txim.send_all(*names, msg_random=8)
    assert [(result.account, result.outcome) for result in results] == [(name, SENT) for name in names]
    assert tencent.commands == [Command.MULTIACCOUNT_IMPORT] * 5 + [Command.BATCH_SEND_MSG]
    (body,) = tencent.bodies(Command.BATCH_SEND_MSG)
    assert (body["To_Account"], body["MsgRandom"], body["MsgTimeStamp"]) == (names, 8, MSG_TIME_SECONDS)


async def test_tells_tencent_a_repeat_by_the_same_random_and_time(txim: Txim, tencent: TencentServer) -> None:
    request = pb.SendMsgRequest(to=pb.ImAccount(account="desk-1"), message=message())
    tencent.script(Command.SEND_MSG, hang_up, fail(60008), fail(90994), fail(70001), fail(90012))
    outcomes = [(await txim.send_again(request)).outcome for _ in range(4)]
    assert outcomes == [UNKNOWN, UNKNOWN, RETRY, SENT]
    bodies = tencent.bodies(Command.SEND_MSG)
    assert len(bodies) == 6
    assert {(body["MsgRandom"], body["MsgTimeStamp"]) for body in bodies} == {
        (request.message.msg_random, MSG_TIME_SECONDS)
    }
    randoms = [asked.query["random"] for asked in tencent.asked]
    assert len(set(randoms)) == len(randoms)


@pytest.mark.parametrize(("life_seconds", "told_seconds"), [(0.9, 0), (100.9, 100), (SEVEN_DAYS + 100, SEVEN_DAYS)])
async def test_tencent_keeps_it_no_longer_than_it_is_of_use(
    life_seconds: float, told_seconds: int, txim: Txim, tencent: TencentServer
) -> None:
    await txim.import_account("desk-1")
    assert (await txim.send(life_seconds=life_seconds)).outcome == SENT
    (body,) = tencent.bodies(Command.SEND_MSG)
    assert body["MsgLifeTime"] == told_seconds


async def test_nothing_is_sent_after_its_time(txim: Txim, tencent: TencentServer) -> None:
    assert told(await txim.send(life_seconds=-0.01)) == (REFUSED, "IM_EXPIRED", 0)
    assert {told(result) for result in await txim.send_all("desk-1", "desk-2", life_seconds=-1)} == {
        (REFUSED, "IM_EXPIRED", 0)
    }
    assert tencent.asked == []


async def test_what_expires_before_its_turn_is_not_sent(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(send_per_second=2)
    await txim.import_account("desk-1")
    # The second one waits for 1.1 s.
    first, second = await asyncio.gather(txim.send(), txim.send(life_seconds=0.6))
    assert told(first) == (SENT, "", 0)
    assert told(second) == (REFUSED, "IM_EXPIRED", 0)
    assert tencent.commands.count(Command.SEND_MSG) == 1


@pytest.mark.parametrize("field", ["text", "custom_data"])
async def test_no_message_over_12_kb_is_sent(field: str, txim: Txim, tencent: TencentServer) -> None:
    await txim.import_account("desk-1")
    await txim.send(**{field: "x"})
    (body,) = tencent.bodies(Command.SEND_MSG)
    room = BODY_BYTES_MAX - len(json.dumps(body["MsgBody"], separators=(",", ":"))) + 1
    assert (await txim.send(**{field: "x" * room})).outcome == SENT
    before = len(tencent.asked)
    assert told(await txim.send(**{field: "x" * (room + 1)})) == (REFUSED, "IM_TOO_LONG", 0)
    # A quote is two bytes in JSON, and a character of Chinese three.
    assert told(await txim.send(**{field: '"' * (room // 2 + 1)})) == (REFUSED, "IM_TOO_LONG", 0)
    assert told(await txim.send(**{field: "份" * (room // 3 + 1)})) == (REFUSED, "IM_TOO_LONG", 0)
    assert {told(result) for result in await txim.send_all("desk-1", "desk-2", **{field: "x" * (room + 1)})} == {
        (REFUSED, "IM_TOO_LONG", 0)
    }
    assert len(tencent.asked) == before


async def test_a_batch_of_which_a_part_failed(txim: Txim, tencent: TencentServer) -> None:
    listed = [
        {"To_Account": "desk-2", "ErrorCode": 90994},
        {"To_Account": "desk-4", "ErrorCode": 70402},
        {"To_Account": "somebody-else", "ErrorCode": 70402},
    ]
    tencent.script(Command.BATCH_SEND_MSG, ok(ErrorList=listed))
    results = await txim.send_all("desk-1", "desk-2", "desk-3", "desk-4")
    assert [told(result) for result in results] == [
        (SENT, "", 0),
        (RETRY, "IM_INTERNAL_ERROR", 90994),
        (SENT, "", 0),
        (REFUSED, "IM_REQUEST_MALFORMED", 70402),
    ]


async def test_only_who_is_unknown_is_imported_and_sent_to_once_more(txim: Txim, tencent: TencentServer) -> None:
    listed = [{"To_Account": f"desk-{number}", "ErrorCode": 70107} for number in (1, 3)]
    tencent.script(Command.BATCH_SEND_MSG, ok(ActionStatus="SomeError", ErrorList=listed))
    results = await txim.send_all("desk-1", "desk-2", "desk-3", msg_random=11)
    assert {told(result) for result in results} == {(SENT, "", 0)}
    first, second = tencent.bodies(Command.BATCH_SEND_MSG)
    assert (first["To_Account"], second["To_Account"]) == (["desk-1", "desk-2", "desk-3"], ["desk-1", "desk-3"])
    assert (first["MsgRandom"], first["MsgTimeStamp"]) == (second["MsgRandom"], second["MsgTimeStamp"])
    imported = [[one["UserID"] for one in body["AccountList"]] for body in tencent.bodies(Command.MULTIACCOUNT_IMPORT)]
    assert imported == [["desk-1", "desk-2", "desk-3"], ["desk-1", "desk-3"]]


async def test_a_batch_that_failed_for_all_with_a_code_for_each(txim: Txim, tencent: TencentServer) -> None:
    listed = [{"To_Account": "desk-1", "ErrorCode": 70107}, {"To_Account": "desk-2", "ErrorCode": 90994}]
    tencent.script(Command.BATCH_SEND_MSG, fail(70107, ErrorList=listed))
    results = await txim.send_all("desk-1", "desk-2")
    assert [told(result) for result in results] == [(SENT, "", 0), (RETRY, "IM_INTERNAL_ERROR", 90994)]
    assert [body["To_Account"] for body in tencent.bodies(Command.BATCH_SEND_MSG)] == [["desk-1", "desk-2"], ["desk-1"]]


async def test_a_batch_that_failed_for_all_without_a_list(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.BATCH_SEND_MSG, fail(90012))
    assert {result.outcome for result in await txim.send_all("desk-1", "desk-2")} == {SENT}
    assert [len(body["To_Account"]) for body in tencent.bodies(Command.BATCH_SEND_MSG)] == [2, 2]


@pytest.mark.parametrize(
    "error_list",
    ["none", {}, [1], [{}], [{"To_Account": "desk-1"}], [{"To_Account": 1, "ErrorCode": 70107}],
     [{"To_Account": "desk-1", "ErrorCode": 0}], [{"To_Account": "desk-1", "ErrorCode": "70107"}]],
)  # fmt: skip
async def test_a_list_that_cannot_be_read_leaves_the_batch_unknown(
    error_list: object, txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.BATCH_SEND_MSG, ok(ErrorList=error_list))
    results = await txim.send_all("desk-1", "desk-2")
    assert {told(result) for result in results} == {(UNKNOWN, "IM_ANSWER_UNREADABLE", 0)}


async def test_a_batch_names_an_account_once(txim: Txim, tencent: TencentServer) -> None:
    with refused("INVALID_REQUEST") as caught:
        await txim.send_all("desk-1", "desk-2", "desk-1")
    assert [violation.field for violation in caught.value.violations] == ["to[2].account"]
    assert tencent.asked == []


async def test_a_message_that_breaks_the_contract_is_refused(txim: Txim, tencent: TencentServer) -> None:
    for changes in ({"msg_random": 0}, {"text": ""}, {"msg_time": None}, {"expire_time": None}):
        with refused("INVALID_REQUEST"):
            await txim.send(**changes)
    with refused("INVALID_REQUEST"):
        await txim.send("desk 1")
    assert tencent.asked == []


async def test_a_message_of_the_last_minute_is_sent_with_its_own_time(txim: Txim, tencent: TencentServer) -> None:
    at_ms = int(time.time() * 1000) // 1000 * 1000 + 999
    await txim.send(msg_time=to_timestamp(at_ms))
    assert tencent.bodies(Command.SEND_MSG)[0]["MsgTimeStamp"] == at_ms // 1000


async def test_http_200_with_fail_is_no_success(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, http('{"ActionStatus":"FAIL","ErrorCode":90001,"ErrorInfo":"bad"}', 200))
    assert told(await txim.send()) == (REFUSED, "IM_REQUEST_MALFORMED", 90001)
