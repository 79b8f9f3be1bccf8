"""The rpcs that ask: accounts, online states, and how they refuse."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest

from brandmesh.txim.v1 import txim_pb2 as pb
from tests.sms_rmq.providers.scripted_server import hang_up
from tests.txim_rpc.harness import Txim, refused
from tests.txim_rpc.tencent_server import TencentServer, fail, ok
from txim_rpc.domain import Command

ONLINE, PUSH, OFFLINE, UNKNOWN = (
    pb.ONLINE_STATE_ONLINE,
    pb.ONLINE_STATE_PUSH_ONLINE,
    pb.ONLINE_STATE_OFFLINE,
    pb.ONLINE_STATE_UNSPECIFIED,
)


async def test_which_accounts_are_imported(txim: Txim, tencent: TencentServer) -> None:
    items = [
        {"UserID": "desk-2", "ResultCode": 0, "ResultInfo": "", "AccountStatus": "Imported"},
        {"UserID": "desk-3", "ResultCode": 0, "ResultInfo": "", "AccountStatus": "NotImported"},
        {"UserID": "desk-1", "ResultCode": 0, "ResultInfo": "", "AccountStatus": "Imported"},
    ]
    tencent.script(Command.ACCOUNT_CHECK, ok(ResultItem=items))
    assert await txim.check("desk-1", "desk-2", "desk-3", "desk-4", "desk-1") == ["desk-1", "desk-2", "desk-1"]
    (body,) = tencent.bodies(Command.ACCOUNT_CHECK)
    assert body == {"CheckItem": [{"UserID": f"desk-{number}"} for number in (1, 2, 3, 4)]}


@pytest.mark.parametrize("name", ["State", "Status"])
async def test_who_is_online(name: str, txim: Txim, tencent: TencentServer) -> None:
    states = {"desk-1": "Offline", "desk-2": "Online", "desk-3": "PushOnline", "desk-4": "Busy", "other": "Online"}
    result = [{"To_Account": account, name: state} for account, state in states.items()]
    failed = [{"To_Account": "desk-5", "ErrorCode": 70107}]
    tencent.script(Command.QUERY_ONLINE_STATUS, ok(QueryResult=result, ErrorList=failed))
    asked = ("desk-2", "desk-1", "desk-3", "desk-4", "desk-5", "desk-6", "desk-2")
    assert await txim.online(*asked) == list(
        zip(asked, (ONLINE, OFFLINE, PUSH, UNKNOWN, UNKNOWN, UNKNOWN, ONLINE), strict=True)
    )
    (body,) = tencent.bodies(Command.QUERY_ONLINE_STATUS)
    assert body == {"To_Account": list(asked[:-1])}


async def test_nobody_is_known(txim: Txim) -> None:
    assert await txim.check("desk-1") == []
    assert await txim.online("desk-1") == [("desk-1", UNKNOWN)]


@dataclass(frozen=True)
class Refusal:
    code: int
    reason: str
    grpc_code: grpc.StatusCode
    cause: str


REFUSALS = [
    Refusal(70402, "IM_REFUSED", grpc.StatusCode.FAILED_PRECONDITION, "IM_REQUEST_MALFORMED"),
    Refusal(70107, "IM_REFUSED", grpc.StatusCode.FAILED_PRECONDITION, "IM_ACCOUNT_UNKNOWN"),
    Refusal(60007, "IM_OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED, "IM_TOO_FREQUENT"),
    Refusal(70500, "IM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, "IM_INTERNAL_ERROR"),
    Refusal(60008, "IM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, "IM_TIMED_OUT"),
    Refusal(60016, "IM_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, "IM_APP_REFUSED"),
]


async def call(txim: Txim, command: Command) -> None:
    match command:
        case Command.ACCOUNT_IMPORT:
            await txim.import_account("desk-1")
        case Command.MULTIACCOUNT_IMPORT:
            await txim.import_accounts("desk-1", "desk-2")
        case Command.ACCOUNT_CHECK:
            await txim.check("desk-1")
        case _:
            await txim.online("desk-1")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.code))
@pytest.mark.parametrize("command", [one for one in Command if one not in {Command.SEND_MSG, Command.BATCH_SEND_MSG}])
async def test_how_what_tencent_says_is_refused(
    command: Command, refusal: Refusal, txim: Txim, tencent: TencentServer
) -> None:
    tencent.always(command, fail(refusal.code))
    with refused(refusal.reason) as caught:
        await call(txim, command)
    assert caught.value.code is refusal.grpc_code
    assert (caught.value.retry_after_seconds is None) is (refusal.reason == "IM_REFUSED")
    # A peer repeats by itself what is unavailable. Once the app is stopped it is the circuit that answers.
    is_stopped = refusal.cause == "IM_APP_REFUSED"
    told = ("0", "IM_CIRCUIT_OPEN") if is_stopped else (str(refusal.code), refusal.cause)
    assert (caught.value.metadata["error_code"], caught.value.metadata["cause"]) == told


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (Command.ACCOUNT_CHECK, {"ResultItem": {}}),
        (Command.ACCOUNT_CHECK, {"ResultItem": [{"UserID": 1, "AccountStatus": "Imported"}]}),
        (Command.QUERY_ONLINE_STATUS, {"QueryResult": 1}),
        (Command.QUERY_ONLINE_STATUS, {"QueryResult": [{"To_Account": "desk-1"}]}),
        (Command.QUERY_ONLINE_STATUS, {"QueryResult": ["desk-1"]}),
    ],
)
async def test_an_answer_that_cannot_be_read(
    command: Command, fields: dict[str, object], txim: Txim, tencent: TencentServer
) -> None:
    tencent.always(command, ok(**fields))
    with refused("IM_UNAVAILABLE") as caught:
        await (txim.check("desk-1") if command is Command.ACCOUNT_CHECK else txim.online("desk-1"))
    assert caught.value.metadata["cause"] in {"IM_ANSWER_UNREADABLE", "IM_CIRCUIT_OPEN"}


async def test_a_lost_answer(txim: Txim, tencent: TencentServer) -> None:
    tencent.always(Command.ACCOUNT_CHECK, hang_up)
    with refused("IM_UNAVAILABLE"):
        await txim.check("desk-1")


async def test_no_more_than_a_command_takes(txim: Txim, tencent: TencentServer) -> None:
    names = [f"desk-{number}" for number in range(501)]
    for refused_call in (txim.check(*names[:101]), txim.import_accounts(*names[:101]), txim.online(*names)):
        with refused("INVALID_REQUEST"):
            await refused_call
    with refused("INVALID_REQUEST"):
        await txim.send_all(*names)
    assert tencent.asked == []
