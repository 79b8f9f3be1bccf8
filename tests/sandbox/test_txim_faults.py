import asyncio
import time

import aiohttp
import pytest

from tests.sandbox.harness import (
    Pauses,
    Sandbox,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    section,
    text_message,
    txim_query,
    unanswered,
)


@pytest.mark.parametrize("code", [60008, 70001, 90012, 20003, 70050, 60020, 999_999])
async def test_any_error_is_answered_and_nothing_is_delivered(sandbox: Sandbox, code: int) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_error", code=code, count=1)

    answers = [await sandbox.im("k1") for _ in range(2)]

    assert [(answer["ActionStatus"], answer["ErrorCode"]) for answer in answers] == [("FAIL", code), ("OK", 0)]
    assert answers[0]["ErrorInfo"]
    assert len(await sandbox.delivered()) == 1
    assert section((await sandbox.stats("txim"))["refusals"]) == {str(code): 1}


async def test_an_error_after_acceptance_is_settled_by_the_repeat(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_error", code=60008, accepted=True, count=1)
    message = text_message(MsgTimeStamp=1)

    assert [(await sandbox.im("k1", **message))["ErrorCode"] for _ in range(2)] == [60008, 0]

    stats = await sandbox.stats("txim")
    assert (stats["delivered"], stats["duplicates_dropped"]) == (1, 1)


async def test_a_lost_response_was_carried_out(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_lose_response", count=1)
    message = text_message(MsgTimeStamp=1)

    with pytest.raises(aiohttp.ClientConnectionError):
        await sandbox.im("k1", **message)

    assert len(await sandbox.delivered()) == 1
    assert (await sandbox.im("k1", **message))["ErrorCode"] == 0
    assert len(await sandbox.delivered()) == 1


@pytest.mark.parametrize("accepted", [True, False])
async def test_hang_never_answers(sandbox: Sandbox, accepted: bool) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_hang", count=1, accepted=accepted)

    async with unanswered(sandbox.im("k1")):
        await eventually(sandbox.has_struck, "the call hangs")
        assert (await sandbox.im("k1"))["ErrorCode"] == 0

    assert len(await sandbox.delivered()) == (2 if accepted else 1)


async def test_hang_ends_by_closing_after_its_bound_and_with_the_sandbox() -> None:
    async with running_sandbox(quick_settings(hang_seconds_max=0.1, stop_grace_seconds=30.0)) as sandbox:
        await sandbox.fault("txim_hang")
        with pytest.raises(aiohttp.ClientConnectionError):
            await sandbox.im("k1")
    async with running_sandbox(quick_settings(stop_grace_seconds=30.0)) as sandbox:
        await sandbox.fault("txim_hang")
        hanging = asyncio.create_task(sandbox.im("k1"))
        await eventually(sandbox.has_struck, "the call hangs")
        async with asyncio.timeout(5):
            await sandbox.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging


@pytest.mark.parametrize(("status", "accepted"), [(500, False), (503, False), (502, True)])
async def test_http_error_answers_5xx(sandbox: Sandbox, status: int, accepted: bool) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_http_error", status=status, accepted=accepted)

    body = text_message(To_Account="k1")
    async with sandbox.http.post(f"{sandbox.url}/v4/openim/sendmsg", params=txim_query(), json=body) as response:
        assert response.status == status
    assert len(await sandbox.delivered()) == (1 if accepted else 0)


async def test_slow_answer_comes_after_the_delay_and_the_message_before(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_slow_answer", delay_seconds=0.4)
    pauses = Pauses(monkeypatch)

    started_at = time.monotonic()
    slow = asyncio.create_task(sandbox.im("k1"))
    await eventually(lambda: _has_delivered(sandbox), "the delivery")
    assert not slow.done()
    pauses.let_go.set()

    assert (await slow)["ErrorCode"] == 0
    assert time.monotonic() - started_at >= 0.4


async def test_a_batch_fails_for_some_of_its_recipients(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2", "k3")
    await sandbox.fault("txim_fail_recipient", code=90994, account="k2", count=1)
    message = text_message(MsgTimeStamp=1)

    answers = [await sandbox.im_batch(["k1", "k2", "k3"], **message) for _ in range(2)]

    assert (answers[0]["ActionStatus"], answers[0]["ErrorCode"]) == ("OK", 0)
    assert answers[0]["ErrorList"] == [{"To_Account": "k2", "ErrorCode": 90994}]
    assert "ErrorList" not in answers[1]
    assert [each["account"] for each in await sandbox.delivered()] == ["k2", "k3", "k1"]


async def test_a_batch_that_fails_for_all_fails(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2")
    await sandbox.fault("txim_fail_recipient", code=90994)

    answer = await sandbox.im_batch(["k1", "k2"])

    assert (answer["ActionStatus"], answer["ErrorCode"], len(rows(answer["ErrorList"]))) == ("FAIL", 90994, 2)
    # It is a fault of batches alone.
    assert (await sandbox.im("k1"))["ErrorCode"] == 0


async def test_forgotten_accounts_are_unknown_until_they_are_imported_again(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2")
    await sandbox.fault("txim_forget_account", account="k1", count=1)

    partly = await sandbox.im_batch(["k1", "k2"])

    assert partly["ErrorList"] == [{"To_Account": "k1", "ErrorCode": 70107}]
    assert (await sandbox.im("k1"))["ErrorCode"] == 90012
    await sandbox.import_accounts("k1")
    assert (await sandbox.im("k1"))["ErrorCode"] == 0


async def test_a_fault_can_be_limited_to_commands_and_accounts(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2")
    await sandbox.fault("txim_error", code=60008, commands=["query_online_status"], account="k2")

    async def codes(command: str) -> list[object]:
        return [(await sandbox.txim(command, {"To_Account": [each]}))["ErrorCode"] for each in ("k1", "k2")]

    assert await codes("openim/query_online_status") == [0, 60008]
    assert (await sandbox.im("k2"))["ErrorCode"] == 0


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("code", {"kind": "txim_error"}),
        ("code", {"kind": "txim_error", "code": 0}),
        ("status", {"kind": "txim_http_error", "status": 200}),
        ("commands", {"kind": "txim_hang", "commands": ["fly"]}),
        ("delay_seconds", {"kind": "txim_slow_answer"}),
        ("commands", {"kind": "txim_fail_recipient", "code": 1, "commands": ["sendmsg"]}),
    ],
)
async def test_a_wrong_fault_is_refused_by_name(sandbox: Sandbox, field: str, body: object) -> None:
    status, answer = await sandbox.post_status("/admin/faults", body)

    assert status == 400
    assert field in str(answer["error"])


async def _has_delivered(sandbox: Sandbox) -> bool:
    return len(await sandbox.delivered()) == 1
