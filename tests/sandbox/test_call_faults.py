import asyncio
import time

import aiohttp
import pytest

from tests.sandbox.harness import (
    PHONE,
    SIGNATURE,
    Customer,
    Pauses,
    Sandbox,
    credentials,
    eventually,
    quick_settings,
    running_sandbox,
    unanswered,
)


@pytest.mark.parametrize("code", ["103", "104", "109", "117", "999"])
async def test_answer_code_refuses_with_any_code_and_accepts_nothing(sandbox: Sandbox, code: str) -> None:
    await sandbox.fault("answer_code", code=code)

    answer = await sandbox.send()

    assert (answer["code"], answer["msgId"]) == (code, "")
    assert await sandbox.messages() == []
    assert (await sandbox.post("/msg/balance/json", credentials()))["balance"] == "1000000000"


async def test_lose_response_accepts_and_closes_without_an_answer(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("lose_response", count=1)

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await sandbox.send(uid="lost")

    await eventually(lambda: len(customer.received) == 1, "the receipt comes all the same")
    assert customer.received[0].query["uid"] == "lost"
    assert len(await sandbox.messages(uid="lost")) == 1
    assert (await sandbox.send())["code"] == "0"


@pytest.mark.parametrize("accepted", [True, False])
async def test_hang_never_answers(sandbox: Sandbox, accepted: bool) -> None:
    await sandbox.fault("hang", count=1, accepted=accepted)

    async with unanswered(sandbox.send(uid="hung")):
        await eventually(sandbox.has_struck, "the call hangs")
        assert (await sandbox.send())["code"] == "0"

    assert len(await sandbox.messages(uid="hung")) == (1 if accepted else 0)


async def test_hang_ends_by_closing_after_its_bound() -> None:
    async with running_sandbox(quick_settings(hang_seconds_max=0.1)) as sandbox:
        await sandbox.fault("hang")
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await sandbox.send()


async def test_hang_does_not_hold_up_the_stop() -> None:
    async with running_sandbox(quick_settings(stop_grace_seconds=30.0)) as sandbox:
        await sandbox.fault("hang")
        hanging = asyncio.create_task(sandbox.send())
        await eventually(sandbox.has_struck, "the call hangs")

        async with asyncio.timeout(5):
            await sandbox.stop()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await hanging


@pytest.mark.parametrize(("status", "accepted"), [(500, False), (503, False), (500, True)])
async def test_http_error_answers_5xx(sandbox: Sandbox, status: int, accepted: bool) -> None:
    await sandbox.fault("http_error", status=status, accepted=accepted)

    async with sandbox.http.post(
        f"{sandbox.url}/msg/send/json", json={**credentials(), "msg": SIGNATURE, "phone": PHONE}
    ) as response:
        assert response.status == status
    assert len(await sandbox.messages()) == (1 if accepted else 0)


async def test_slow_answer_comes_after_the_delay_and_the_message_is_accepted_before(
    sandbox: Sandbox, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sandbox.fault("slow_answer", delay_seconds=0.4)
    pauses = Pauses(monkeypatch)

    started_at = time.monotonic()
    slow = asyncio.create_task(sandbox.send())
    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert not slow.done()
    pauses.let_go.set()

    assert (await slow)["code"] == "0"
    assert time.monotonic() - started_at >= 0.4


async def test_a_caller_who_gives_up_on_a_slow_answer_was_accepted_once(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("slow_answer", delay_seconds=30)

    async with unanswered(sandbox.send(uid="impatient")):
        await eventually(sandbox.has_struck, "the answer is slow")

    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert len(await sandbox.messages(uid="impatient")) == 1


async def test_integer_code_is_a_number_in_success_and_refusal(sandbox: Sandbox) -> None:
    await sandbox.fault("integer_code")

    assert (await sandbox.send())["code"] == 0
    assert (await sandbox.send(phone="1"))["code"] == 107
