"""Each ErrorCode of the table, given to a real send, and what comes of it."""

from __future__ import annotations

import re

import pytest
from structlog.testing import capture_logs

from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import REFUSED, RETRY, SENT, UNKNOWN, Txim, told
from tests.txim_rpc.tencent_server import TencentServer, fail
from txim_rpc.domain import FAILURES, Command, Failure, Policy, result_of

OF_POLICY = {
    Policy.RETRY: {20002, 20004, 20005, 40006, 60014, 70169, 70500, 90992, 90994, 90995, 91000},
    Policy.BACK_OFF: {10006, 60007, 60011, 60018, 60019, 70050},
    Policy.IMPORT: {20003, 70107, 90012, 90048},
    Policy.RE_SIGN: {60004, 60005, 70001, 70002, 70003, 70005, 70009, 70013, 70052},
    Policy.STOP: {
        *(60006, 60009, 60010, 60012, 60016, 60017, 60020, 60021, 70014, 70016, 70020, 70051, 70398, 70403, 90009),
    },
    Policy.UNKNOWN: {60008, 60013},
    Policy.FAIL: {
        *(20001, 20006, 20007, 20009, 20010, 20011, 20012, 40001, 40005, 40601, 40605, 40610, 60002, 60003, 60015),
        *(70114, 70206, 70402, 80001, 80002, 90001, 90002, 90003, 90004, 90005, 90006, 90007, 90008, 90010, 90011),
        *(90026, 90031, 90044, 93000),
    },
}
"""What the table has to say, written out once more: a code that slips into another row is seen."""

ALL = [pytest.param(failure, id=str(code)) for code, failure in sorted(FAILURES.items())]


def of(policy: Policy) -> list[int]:
    return sorted(OF_POLICY[policy])


def test_every_code_has_its_policy() -> None:
    assert {code: failure.policy for code, failure in FAILURES.items()} == {
        code: policy for policy, codes in OF_POLICY.items() for code in codes
    }


@pytest.mark.parametrize("failure", ALL)
def test_every_code_has_a_reason_and_a_time(failure: Failure) -> None:
    assert re.fullmatch(r"IM_[A-Z_]+", failure.reason)
    result = result_of("desk-1", failure)
    assert result.error_code == failure.error_code
    assert (result.retry_after_seconds > 0) is (failure.policy is not Policy.FAIL)


@pytest.mark.parametrize("code", of(Policy.RETRY))
async def test_may_be_tried_again(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    result = await txim.send()
    assert told(result) == (RETRY, FAILURES[code].reason, code)
    assert result.retry_after_seconds == 2
    assert (await txim.send()).outcome == SENT
    assert tencent.commands.count(Command.SEND_MSG) == 2


@pytest.mark.parametrize("code", of(Policy.BACK_OFF))
async def test_may_be_tried_again_later(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    result = await txim.send()
    assert told(result) == (RETRY, FAILURES[code].reason, code)
    assert result.retry_after_seconds == (60 if code == 70050 else 5)
    # After 70050 no call is taken for a minute, and another one would only make it longer.
    following = await txim.send()
    assert following.outcome == (RETRY if code == 70050 else SENT)
    assert tencent.commands.count(Command.SEND_MSG) == (1 if code == 70050 else 2)


@pytest.mark.parametrize("code", of(Policy.IMPORT))
async def test_is_imported_and_tried_once_more(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    assert (await txim.send(msg_random=9)).outcome == SENT
    imports, sends = [Command.ACCOUNT_IMPORT], [Command.SEND_MSG]
    assert tencent.commands == imports + sends + imports + sends
    first, second = tencent.bodies(Command.SEND_MSG)
    assert second.pop("MsgLifeTime") <= first.pop("MsgLifeTime")
    assert first == second


@pytest.mark.parametrize("code", of(Policy.IMPORT))
async def test_is_not_tried_a_third_time(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.always(Command.SEND_MSG, fail(code))
    result = await txim.send()
    assert told(result) == (RETRY, "IM_ACCOUNT_UNKNOWN", code)
    assert result.retry_after_seconds == 5
    assert len(tencent.asked) == 4


@pytest.mark.parametrize("code", of(Policy.RE_SIGN))
async def test_is_signed_again_and_tried_once_more(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    with capture_logs() as logs:
        assert (await txim.send()).outcome == SENT
    assert tencent.commands == [Command.ACCOUNT_IMPORT, Command.SEND_MSG, Command.SEND_MSG]
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert (line["event"], line["error_code"]) == ("txim_user_sig_refused", code)


@pytest.mark.parametrize("code", of(Policy.RE_SIGN))
async def test_two_refused_user_sigs_stop_the_app(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code), fail(code))
    with capture_logs() as logs:
        result = await txim.send()
    assert told(result) == (RETRY, FAILURES[code].reason, code)
    assert result.retry_after_seconds == 60
    assert told(await txim.send()) == (RETRY, "IM_CIRCUIT_OPEN", 0)
    assert tencent.commands.count(Command.SEND_MSG) == 2
    assert [line["error_code"] for line in logs if line["event"] == "txim_stopped"] == [code]


@pytest.mark.parametrize("code", sorted(OF_POLICY[Policy.STOP] - {70398}))
async def test_stops_the_app_and_loses_nothing(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code, info="buy something"))
    with capture_logs() as logs:
        result = await txim.send()
    assert told(result) == (RETRY, FAILURES[code].reason, code)
    assert result.retry_after_seconds == 60
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["event"], line["error_code"], line["said"]) == ("txim_stopped", code, "buy something")
    following = await txim.send()
    assert told(following) == (RETRY, "IM_CIRCUIT_OPEN", 0)
    assert 55 < following.retry_after_seconds <= 60
    assert tencent.commands.count(Command.SEND_MSG) == 1


async def test_an_app_full_of_accounts_goes_on_with_those_it_has(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start()
    assert (await txim.send("desk-1")).outcome == SENT
    tencent.always(Command.ACCOUNT_IMPORT, fail(70398))
    with capture_logs() as logs:
        assert told(await txim.send("desk-2")) == (RETRY, "IM_ACCOUNTS_FULL", 70398)
    assert "txim_stopped" in {line["event"] for line in logs}
    assert (await txim.send("desk-1")).outcome == SENT


@pytest.mark.parametrize("code", of(Policy.UNKNOWN))
async def test_may_have_been_done(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    result = await txim.send()
    assert told(result) == (UNKNOWN, "IM_TIMED_OUT", code)
    assert result.retry_after_seconds == 2


@pytest.mark.parametrize("code", of(Policy.FAIL))
async def test_is_given_up(code: int, txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.SEND_MSG, fail(code))
    result = await txim.send()
    assert told(result) == (REFUSED, FAILURES[code].reason, code)
    assert result.retry_after_seconds == 0
    assert (await txim.send()).outcome == SENT


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, "IM_CODE_UNLISTED"),
        (60099, "IM_CODE_UNLISTED"),
        (99999, "IM_CODE_UNLISTED"),
        (120000, "IM_CODE_UNLISTED"),
        (120001, "IM_CALLBACK_REFUSED"),
        (130000, "IM_CALLBACK_REFUSED"),
        (130001, "IM_CODE_UNLISTED"),
        (2**31 - 1, "IM_CODE_UNLISTED"),
    ],
)
async def test_a_code_that_is_not_listed_is_a_refusal(
    code: int, reason: str, txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.SEND_MSG, fail(code, info="a new one"))
    with capture_logs() as logs:
        assert told(await txim.send()) == (REFUSED, reason, code)
    (line,) = [line for line in logs if line["event"] == "txim_code_unlisted"]
    assert (line["log_level"], line["said"]) == ("warning", "a new one")


@pytest.mark.parametrize("failure", ALL)
async def test_in_a_batch_a_code_is_of_its_account_alone(failure: Failure, txim: Txim, tencent: TencentServer) -> None:
    code = failure.error_code
    listed = [{"To_Account": "desk-2", "ErrorCode": code}]
    partly = fail(0, info="", ActionStatus="SomeError", ErrorList=listed)
    tencent.script(Command.BATCH_SEND_MSG, partly, partly)
    results = await txim.send_all("desk-1", "desk-2", "desk-3")
    expected = result_of("desk-2", failure)
    assert [result.account for result in results] == ["desk-1", "desk-2", "desk-3"]
    assert told(results[0]) == told(results[2]) == (SENT, "", 0)
    outcome = {"RETRY": RETRY, "UNKNOWN": UNKNOWN, "REFUSED": REFUSED}[expected.outcome]
    assert told(results[1]) == (outcome, failure.reason, code)
    # Whatever is said about one account, the app may go on.
    assert (await txim.send("desk-1")).outcome == SENT


@pytest.mark.parametrize("code", of(Policy.UNKNOWN))
async def test_what_is_unknown_of_an_import_is_not_unknown_of_the_message(
    code: int, txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.ACCOUNT_IMPORT, fail(code))
    assert told(await txim.send()) == (RETRY, "IM_TIMED_OUT", code)
    assert tencent.commands == [Command.ACCOUNT_IMPORT]
