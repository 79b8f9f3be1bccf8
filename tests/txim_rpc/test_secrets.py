"""Neither the key nor a UserSig is ever shown: in no log line, no error, no text of an object."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from mesh.errors import DomainError
from tests.sms_rmq.providers.scripted_server import Answer, cut_off, hang_up, http, raw, reset
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import SECRET_KEY, Txim
from tests.txim_rpc.tencent_server import TencentServer, fail
from txim_rpc.domain import Command
from txim_rpc.settings import Settings

LOCATION = "Location: http://127.0.0.1:1/elsewhere\r\n"


def echoing(tencent: TencentServer, code: int) -> Answer:
    """Refuse a call with the UserSig that it carried among the words."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await fail(code, info=f"usersig {tencent.asked[-1].query['usersig']} is not good")(writer)

    return answer


ANSWERS = [
    hang_up,
    reset,
    cut_off,
    raw(b"SSH-2.0-x\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
    http(b"", 500),
    http(b"", 302, LOCATION),
    http(b"{", 200),
    http(b"x" * (1 << 20) + b"x"),
    *[fail(code) for code in (60004, 60008, 60016, 70001, 70050, 90001, 99999)],
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_comes_of_a_call(
    answer: Answer, txim: Txim, tencent: TencentServer, caplog: pytest.LogCaptureFixture
) -> None:
    tencent.always(Command.SEND_MSG, answer)
    tencent.always(Command.ACCOUNT_CHECK, answer)
    told = []
    with capture_logs() as logs:
        await txim.import_account("desk-1")
        told.append(str(await txim.send()))
        try:
            await txim.check("desk-1")
        except DomainError as error:
            told += [repr(error), str(error)]
    is_hidden(tencent, json.dumps(logs, default=repr), *told, caplog.text)
    assert logs


async def test_not_even_when_tencent_shows_it(txim: Txim, tencent: TencentServer) -> None:
    tencent.always(Command.SEND_MSG, echoing(tencent, 90001))
    with capture_logs() as logs:
        await txim.send()
    assert [line["said"] for line in logs if line["event"] == "txim_refused"] == ["usersig ... is not good"]
    is_hidden(tencent, json.dumps(logs, default=repr))


async def test_a_new_one_is_hidden_too(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(circuit_stop_seconds=0.1)
    tencent.always(Command.SEND_MSG, echoing(tencent, 70009))
    with capture_logs() as logs:
        await txim.send()
    is_hidden(tencent, json.dumps(logs, default=repr))


def is_hidden(tencent: TencentServer, *texts: str) -> None:
    """Look for the key, and for each UserSig that left."""
    user_sigs = {asked.query["usersig"] for asked in tencent.asked}
    assert user_sigs
    for secret in {SECRET_KEY, *user_sigs}:
        assert not any(secret in text for text in texts)


def test_settings_hide_the_key() -> None:
    settings = Settings(txim_sdk_app_id=1, txim_secret_key=SecretStr(SECRET_KEY))
    assert SECRET_KEY not in f"{settings!r} {settings} {settings.model_dump_json()}"
