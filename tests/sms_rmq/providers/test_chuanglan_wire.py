"""What ChuangLan's adapter writes, and what it makes of answers that no well-behaved server gives."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Protocol

import aiohttp
import pytest
from structlog.testing import capture_logs

from mesh.provider.circuit import Trouble
from sms_rmq.providers.chuanglan import ChuangLan
from sms_rmq.providers.port import (
    Accepted,
    Outcome,
    ProviderCallError,
    Rejected,
    RetryLater,
    Unknown,
    Verdict,
)
from tests.sms_rmq.providers.conftest import PASSWORD, ProviderMaker, SettingsMaker, SubmissionMaker
from tests.sms_rmq.providers.scripted_server import (
    Answer,
    cut_off,
    drip,
    hang_up,
    http,
    listening,
    never,
    raw,
    reset,
    running,
)

ACCEPTING = http({"code": "0", "msgId": "00041010383624511", "time": "20251121104455", "errorMsg": ""})
TRANSPORT, ACCOUNT = Trouble.TRANSPORT, Trouble.ACCOUNT
NEVER_ENDS = {never, drip}
"""What only a time-out ends: the others have time enough on a machine that stalls."""

VARIABLE_TEXT = "【Blue Bay】Dear {$var}, table {$var}"


class Submit(Protocol):
    async def __call__(
        self, answer: Answer, *phones: str, params: tuple[str, ...] | None = None, **settings: object
    ) -> Outcome: ...


@pytest.fixture
def submit_to(make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker) -> Submit:
    async def submit(
        answer: Answer, *phones: str, params: tuple[str, ...] | None = None, **settings: object
    ) -> Outcome:
        async with running(answer) as server:
            timeout = {"timeout_seconds": 1} if answer in NEVER_ENDS else {}
            provider = make_provider(make_settings(server.url, **timeout, **settings))
            return await provider.submit(make_submission(*phones, params=params))

    return submit


async def test_writes_a_send(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with running(ACCEPTING) as server:
        provider = make_provider(make_settings(server.url))
        assert await provider.submit(make_submission("+8613800138000", dispatch_id=12)) == Accepted("00041010383624511")
        await provider.submit(make_submission("+8613800138000", "+8615912345678"))
    credentials = {"account": "N1000001", "password": PASSWORD}
    common = credentials | {"msg": "【Blue Bay】Your table is ready", "report": "true"}
    assert server.requests == [
        ("/msg/v1/send/json", common | {"uid": "12", "phone": "13800138000"}),
        ("/msg/v1/send/json", common | {"uid": "4711", "phone": "13800138000,15912345678"}),
    ]
    assert server.connections == 1, "the connection is kept"


async def test_writes_a_variable_send(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with running(http({"code": 0, "msgId": "1", "successNum": 2, "failNum": 0})) as server:
        provider = make_provider(make_settings(server.url, variable_path="/elsewhere"))
        submission = make_submission("+8613800138000", "+8615912345678", text=VARIABLE_TEXT, params=("Lin", "7"))
        assert await provider.submit(submission) == Accepted("1")
    assert server.paths == ["/elsewhere"]
    assert server.bodies[0]["params"] == "13800138000,Lin,7;15912345678,Lin,7"
    assert server.bodies[0]["msg"] == VARIABLE_TEXT
    assert "phone" not in server.bodies[0]


async def test_writes_international_phones_with_their_country(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with running(ACCEPTING) as server:
        provider = make_provider(make_settings(server.url, international=True))
        await provider.submit(make_submission("+85291234567", "+14155552671"))
    assert server.bodies[0]["phone"] == "85291234567,14155552671"


@pytest.mark.parametrize("value", ["a,b", "a;b"])
async def test_sends_no_value_that_would_move_into_another_group(
    value: str, make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with running(ACCEPTING) as server:
        provider = make_provider(make_settings(server.url))
        outcome = await provider.submit(make_submission(text=VARIABLE_TEXT, params=("Lin", value)))
    assert outcome == Rejected("", "PARAMETER_UNSENDABLE")
    assert server.requests == []


@pytest.mark.parametrize(
    "answer", [hang_up, reset, cut_off, never, drip, raw(b"SSH-2.0-x\r\n\r\n"), http(b"x" * (1 << 20) + b"x")]
)
async def test_an_answer_lost_after_the_request_was_written_is_unknown(answer: Answer, submit_to: Submit) -> None:
    assert await submit_to(answer) == Unknown("ANSWER_LOST", trouble=TRANSPORT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b'{"code":"0"',
        b"\xff\xfe",
        b"[]",
        b"0",
        b"{}",
        b'{"code":null}',
        b'{"code":""}',
        b'{"code":true}',
        b'{"code":0.5}',
        b'{"code":{"code":0}}',
        b'{"code":"0","msgId":["1"]}',
        b'{"code":"0","msgId":"' + b"1" * 65 + b'"}',
        b'{"code":"' + b"1" * 33 + b'"}',
        rb'{"code":"0","msgId":"1\u00002"}',
        rb'{"code":"103\u0000"}',
        rb'{"code":"0","msgId":"\u001b1"}',
    ],
)
async def test_an_unreadable_answer_is_unknown(body: bytes, submit_to: Submit) -> None:
    assert await submit_to(http(body)) == Unknown("ANSWER_UNREADABLE", trouble=TRANSPORT)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *[(status, Unknown("PROVIDER_SERVER_ERROR", trouble=TRANSPORT)) for status in (500, 502, 503, 504, 599)],
        *[
            (s, RetryLater(60.0, f"HTTP_{s}", "PROVIDER_ADDRESS_REFUSED", ACCOUNT))
            for s in (302, 307, 401, 403, 404, 405)
        ],
        *[(status, RetryLater(5.0, f"HTTP_{status}", "PROVIDER_BUSY")) for status in (408, 425, 429)],
        *[(status, Rejected(f"HTTP_{status}", "REQUEST_REFUSED")) for status in (400, 413, 415, 422)],
    ],
)
async def test_http_statuses(status: int, outcome: Outcome, submit_to: Submit) -> None:
    assert await submit_to(http({"code": "0", "msgId": "1"}, status, "Location: /elsewhere\r\n")) == outcome


async def test_follows_no_redirect(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with (
        running(ACCEPTING) as elsewhere,
        running(http("", 307, f"Location: {elsewhere.url}/msg\r\n")) as server,
    ):
        await make_provider(make_settings(server.url)).submit(make_submission())
    assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"code": 0, "msgId": 17}, Accepted("17")),
        ({"code": "0", "msgId": None}, Accepted("")),
        ({"code": 103, "msgId": ""}, RetryLater(1.0, "103", "TOO_FAST")),
        ({"code": "109"}, RetryLater(60.0, "109", "ACCOUNT_NO_CREDIT", ACCOUNT)),
        ({"code": "105", "errorMsg": "words"}, Rejected("105", "SENSITIVE_WORD")),
        ({"code": "999"}, Rejected("999", "PROVIDER_CODE_UNLISTED")),
        ({"code": "000000"}, Rejected("000000", "PROVIDER_CODE_UNLISTED")),
        ({"code": "0", "msgId": "1", "successNum": "0", "failNum": "1"}, Unknown("PARTLY_ACCEPTED", "1")),
    ],
)
async def test_codes(fields: dict[str, object], outcome: Outcome, submit_to: Submit) -> None:
    assert await submit_to(http(fields)) == outcome


async def test_the_code_of_success_is_configuration(submit_to: Submit) -> None:
    assert await submit_to(http({"code": "000000", "msgId": "1"}), success_code="000000") == Accepted("1")


async def test_international_accounts_have_codes_of_their_own(submit_to: Submit) -> None:
    outcome = await submit_to(http({"code": "109"}), "+85291234567", international=True)
    assert outcome == Rejected("109", "PHONE_COUNT")


@pytest.mark.parametrize(
    ("counts", "taken"),
    [
        ({"successNum": "2", "failNum": "0"}, True),
        ({"successNum": 2, "failNum": 0}, True),
        ({"successNum": "2"}, True),
        ({"successNum": "1", "failNum": "1"}, False),
        ({"successNum": "1", "failNum": "0"}, False),
        ({"successNum": "2", "failNum": "1"}, False),
        ({"successNum": "3", "failNum": "0"}, False),
        ({"successNum": None, "failNum": "0"}, False),
        ({}, False),
    ],
)
async def test_a_count_that_is_not_that_of_the_recipients_is_unknown(
    counts: dict[str, object], taken: bool, submit_to: Submit
) -> None:
    outcome = await submit_to(
        http({"code": "0", "msgId": "1"} | counts), "+8613800138000", "+8613800138001", params=("x",)
    )
    assert outcome == (Accepted("1") if taken else Unknown("PARTLY_ACCEPTED", "1"))


UNREACHABLE = RetryLater(5.0, "", "PROVIDER_UNREACHABLE", TRANSPORT)


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:{closed_port()}", "http://nowhere.invalid"], ids=["refused", "no such host"]
)
async def test_what_never_was_connected_can_be_sent_again(
    url: str, make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    assert await make_provider(make_settings(url)).submit(make_submission()) == UNREACHABLE


@pytest.mark.parametrize("silent", [True, False], ids=["no handshake", "no TLS"])
async def test_what_never_was_encrypted_can_be_sent_again(
    silent: bool, make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not silent:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await asyncio.sleep(60)

    async with listening(connected) as address:
        settings = make_settings(f"https://{address}", connect_timeout_seconds=0.2, timeout_seconds=5)
        assert await make_provider(settings).submit(make_submission()) == UNREACHABLE


async def test_a_time_out_before_there_was_a_connection_can_be_sent_again(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    slow, quick = aiohttp.ClientTimeout(total=30), aiohttp.ClientTimeout(total=0.1)
    async with (
        running(never) as server,
        aiohttp.TCPConnector(limit=1) as connector,
        aiohttp.ClientSession(connector=connector, connector_owner=False, timeout=slow) as holding,
        aiohttp.ClientSession(connector=connector, connector_owner=False, timeout=quick) as waiting,
    ):
        settings = make_settings(server.url)
        first = asyncio.ensure_future(ChuangLan(settings, holding).submit(make_submission()))
        await server.asked(1)
        assert await ChuangLan(settings, waiting).submit(make_submission()) == UNREACHABLE
        assert not first.done()
        assert len(server.requests) == 1
        first.cancel()
        await asyncio.wait([first])


async def test_a_cancelled_call_is_cancelled(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    async with running(never) as server:
        call = asyncio.ensure_future(make_provider(make_settings(server.url)).submit(make_submission()))
        await server.asked(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_neither_secrets_nor_recipients_are_logged(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, make_provider: ProviderMaker
) -> None:
    with capture_logs() as lines:
        for answer in (hang_up, http({"code": "102", "errorMsg": "wrong password"}), http("<html>"), http("", 500)):
            async with running(answer) as server:
                settings = make_settings(server.url)
                await make_provider(settings).submit(make_submission("+8613800138000"))
        await make_provider(make_settings(f"http://127.0.0.1:{closed_port()}")).submit(make_submission())
    written = json.dumps(lines) + repr(settings)
    assert len(lines) == 5
    assert "wrong password" in written
    assert PASSWORD not in written
    assert "13800138000" not in written


@pytest.mark.parametrize(
    ("answer", "reason", "code"),
    [
        (http({"code": "102"}), "PROVIDER_REFUSED", "102"),
        (http({"ret": 1, "error": "no"}), "PROVIDER_REFUSED", "1"),
        (http({}), "PROVIDER_REFUSED", ""),
        (http("", 404), "PROVIDER_REFUSED", "HTTP_404"),
        (http("<html>"), "ANSWER_UNREADABLE", ""),
        (http({"ret": 0, "result": "x"}), "ANSWER_UNREADABLE", ""),
        (http({"ret": 0, "result": 1}), "ANSWER_UNREADABLE", ""),
        (hang_up, "ANSWER_LOST", ""),
    ],
)
async def test_a_failed_pull_says_why(
    answer: Answer, reason: str, code: str, make_settings: SettingsMaker, make_provider: ProviderMaker
) -> None:
    async with running(answer) as server:
        provider = make_provider(make_settings(server.url))
        for pull in (provider.pull_receipts, provider.pull_uplinks):
            with pytest.raises(ProviderCallError) as caught:
                await pull()
            assert (caught.value.reason, caught.value.code) == (reason, code)


async def test_a_pull_keeps_what_it_cannot_read(make_settings: SettingsMaker, make_provider: ProviderMaker) -> None:
    good = {"uid": 4711, "status": "DELIVRD", "msgId": "1", "mobile": "13800138000", "length": 2, "statusDesc": None}
    bad = good | {"uid": None}
    async with running(http({"ret": 0, "result": [bad, good, "row"]})) as server:
        pulled = await make_provider(make_settings(server.url)).pull_receipts()
    assert server.requests == [("/msg/pull/report", {"account": "N1000001", "password": PASSWORD, "count": "100"})]
    assert [(receipt.dispatch_id, receipt.verdict, receipt.billed_segments) for receipt in pulled.items] == [
        (4711, Verdict.DELIVERED, 2)
    ]
    assert [each.error.field for each in pulled.malformed] == ["uid", "status"]
    assert pulled.malformed[0].fields == {
        "status": "DELIVRD",
        "msgId": "1",
        "mobile": "13800138000",
        "length": "2",
    }


@pytest.mark.parametrize("fields", [{"ret": 0}, {"ret": "0", "result": None}, {"ret": 0, "result": []}])
async def test_an_empty_pull(
    fields: dict[str, object], make_settings: SettingsMaker, make_provider: ProviderMaker
) -> None:
    async with running(http(fields)) as server:
        provider = make_provider(make_settings(server.url))
        assert (await provider.pull_receipts()).items == []
        assert (await provider.pull_uplinks()).items == []
