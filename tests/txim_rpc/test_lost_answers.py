"""Answers that never come, come late, or say nothing that can be read."""

from __future__ import annotations

import asyncio
import socket

import pytest
from structlog.testing import capture_logs

from tests.sms_rmq.providers.scripted_server import Answer, cut_off, drip, hang_up, http, never, raw, reset
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import RETRY, SENT, UNKNOWN, Txim, make_settings, running_txim, told
from tests.txim_rpc.tencent_server import SUCCESS, TencentServer, ok
from txim_rpc.domain import Command

LOST = [hang_up, reset, cut_off, never, drip, raw(b"SSH-2.0-x\r\n\r\n"), http(b"x" * (1 << 20) + b"x")]

NEVER_ENDS = {never, drip}
"""What only a time-out ends: the others have time enough on a machine that stalls."""


@pytest.mark.parametrize("answer", LOST)
async def test_a_lost_answer_is_unknown(answer: Answer, start: StartTxim, tencent: TencentServer) -> None:
    await (await start()).import_account("desk-1")
    txim = await start(call_timeout_seconds=1 if answer in NEVER_ENDS else 5)
    tencent.script(Command.SEND_MSG, answer)
    with capture_logs() as logs:
        result = await txim.send()
    assert told(result) == (UNKNOWN, "IM_ANSWER_LOST", 0)
    assert result.retry_after_seconds == 2
    assert tencent.commands.count(Command.SEND_MSG) == 1, "it is the caller who sends again"
    assert "txim_call_failed" in {line["event"] for line in logs}


async def test_a_lost_answer_of_a_batch_is_unknown_of_each(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.BATCH_SEND_MSG, hang_up)
    results = await txim.send_all("desk-1", "desk-2")
    assert [told(result) for result in results] == [(UNKNOWN, "IM_ANSWER_LOST", 0)] * 2


async def test_a_lost_answer_of_an_import_is_none_of_the_message(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.ACCOUNT_IMPORT, hang_up)
    assert told(await txim.send()) == (RETRY, "IM_ANSWER_LOST", 0)
    assert tencent.commands == [Command.ACCOUNT_IMPORT]
    assert (await txim.send()).outcome == SENT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b'{"ActionStatus":"OK","ErrorCode":0',
        b"\xff\xfe",
        b"[]",
        b"0",
        b"{}",
        b'{"ActionStatus":"OK"}',
        b'{"ErrorCode":0}',
        b'{"ActionStatus":"OK","ErrorCode":"0"}',
        b'{"ActionStatus":"OK","ErrorCode":0.0}',
        b'{"ActionStatus":"OK","ErrorCode":false}',
        b'{"ActionStatus":"OK","ErrorCode":null}',
        b'{"ActionStatus":"OK","ErrorCode":-1}',
        b'{"ActionStatus":"OK","ErrorCode":2147483648}',
        b'{"ActionStatus":"OK","ErrorCode":90001}',
        b'{"ActionStatus":"FAIL","ErrorCode":0}',
        b'{"ActionStatus":"ok","ErrorCode":0}',
        b'{"ActionStatus":1,"ErrorCode":0}',
        b'{"ErrorCode":90001}',
    ],
)
async def test_an_answer_that_cannot_be_read_is_unknown(body: bytes, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, http(body))
    with capture_logs() as logs:
        assert told(await txim.send()) == (UNKNOWN, "IM_ANSWER_UNREADABLE", 0)
    assert "txim_answer_unreadable" in {line["event"] for line in logs}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_a_server_error_may_come_after_the_message_was_sent(
    status: int, txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.SEND_MSG, http(SUCCESS, status))
    assert told(await txim.send()) == (UNKNOWN, "IM_ANSWER_LOST", 0)


@pytest.mark.parametrize("status", [408, 425, 429])
async def test_too_much_for_what_stands_before_the_api(status: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, http(SUCCESS, status))
    assert told(await txim.send()) == (RETRY, "IM_TOO_FREQUENT", 0)
    assert (await txim.send()).outcome == SENT


@pytest.mark.parametrize("status", [204, 301, 302, 307, 400, 401, 403, 404, 405, 413])
async def test_another_status_stops_the_app_and_is_not_followed(
    status: int, txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.SEND_MSG, http(b"", status, f"Location: {tencent.url}/v4/openim/sendmsg\r\n"))
    assert told(await txim.send()) == (RETRY, "IM_ADDRESS_REFUSED", 0)
    assert told(await txim.send()) == (RETRY, "IM_CIRCUIT_OPEN", 0)
    assert tencent.commands.count(Command.SEND_MSG) == 1


async def test_an_answer_within_its_time_counts(start: StartTxim, tencent: TencentServer) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.6)
        await ok()(writer)

    txim = await start()
    tencent.script(Command.SEND_MSG, slow)
    assert (await txim.send()).outcome == SENT


async def test_nobody_listening_is_no_lost_answer(database_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with running_txim(make_settings(database_url, url)) as txim:
            with capture_logs() as logs:
                assert told(await txim.send()) == (RETRY, "IM_UNREACHABLE", 0)
    (line,) = [line for line in logs if line["event"] == "txim_call_failed"]
    assert line["error"] == "ClientConnectorError"
    assert line["cause"]
