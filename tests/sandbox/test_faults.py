import asyncio
import time

import aiohttp
import pytest

from tests.sandbox.harness import (
    ACCOUNT,
    PHONE,
    Customer,
    Sandbox,
    credentials,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    section,
)

SIGNATURE = "【海蓝汤泉】"
OTHER_ACCOUNT = "M1000001"


@pytest.mark.parametrize("code", ["103", "104", "109", "117", "999"])
async def test_answer_code_refuses_with_any_code_and_accepts_nothing(sandbox: Sandbox, code: str) -> None:
    await sandbox.fault("answer_code", code=code)

    answer = await sandbox.send()

    assert (answer["code"], answer["msgId"]) == (code, "")
    assert await sandbox.messages() == []
    assert (await sandbox.post("/msg/balance/json", credentials()))["balance"] == "1000000000"


async def test_count_bounds_how_often_a_fault_strikes(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="103", count=2)

    assert [(await sandbox.send())["code"] for _ in range(4)] == ["103", "103", "0", "0"]
    [shown] = rows((await sandbox.get("/admin/faults"))["faults"])
    assert (shown["kind"], shown["hits"], shown["count"]) == ("answer_code", 2, 2)


async def test_a_fault_can_be_limited_to_an_account(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="104", account=OTHER_ACCOUNT)

    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.send(account=OTHER_ACCOUNT))["code"] == "104"


async def test_a_fault_can_be_limited_to_operations(sandbox: Sandbox) -> None:
    await sandbox.fault("answer_code", code="104", operations=["pull_report", "balance"])

    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.post("/msg/balance/json", credentials()))["code"] == "104"
    assert (await sandbox.post("/msg/pull/report", credentials()))["ret"] == 1


async def test_probability_is_replayed_from_the_seed() -> None:
    async def codes(seed: int) -> list[object]:
        async with running_sandbox(quick_settings(seed=seed)) as sandbox:
            await sandbox.fault("answer_code", code="103", probability=0.5)
            first = [(await sandbox.send())["code"] for _ in range(40)]
            await sandbox.post("/admin/reset", {})
            await sandbox.fault("answer_code", code="103", probability=0.5)
            assert [(await sandbox.send())["code"] for _ in range(40)] == first
            return first

    of_seed_7 = await codes(7)
    assert set(of_seed_7) == {"0", "103"}
    assert await codes(7) == of_seed_7
    assert await codes(8) != of_seed_7


async def test_reset_and_remove_switch_faults_off(sandbox: Sandbox) -> None:
    first = await sandbox.fault("answer_code", code="103")
    await sandbox.fault("answer_code", code="104")
    assert (await sandbox.send())["code"] == "103"

    async with sandbox.http.delete(f"{sandbox.url}/admin/faults/{first}") as response:
        assert response.status == 200
    assert (await sandbox.send())["code"] == "104"
    async with sandbox.http.delete(f"{sandbox.url}/admin/faults/{first}") as response:
        assert response.status == 404

    await sandbox.post("/admin/reset", {})
    assert (await sandbox.send())["code"] == "0"
    assert (await sandbox.get("/admin/faults"))["faults"] == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("kind", {"kind": "no_such_fault"}),
        ("kind", {}),
        ("code", {"kind": "answer_code"}),
        ("code", {"kind": "answer_code", "code": "0"}),
        ("probability", {"kind": "hang", "probability": 0}),
        ("probability", {"kind": "hang", "probability": 1.1}),
        ("count", {"kind": "hang", "count": 0}),
        ("operations", {"kind": "hang", "operations": ["fly"]}),
        ("colour", {"kind": "hang", "colour": "red"}),
        ("statuses", {"kind": "fail_receipt", "statuses": {"UNDELIV": 0}}),
        ("object", []),
    ],
)
async def test_a_wrong_fault_is_refused_by_name(sandbox: Sandbox, field: str, body: object) -> None:
    status, answer = await sandbox.post_status("/admin/faults", body)

    assert status == 400
    assert field in str(answer["error"])


async def test_only_so_many_faults_can_be_on(sandbox: Sandbox) -> None:
    for _ in range(100):
        await sandbox.fault("integer_code")

    status, answer = await sandbox.post_status("/admin/faults", {"kind": "integer_code"})

    assert status == 400
    assert "100" in str(answer["error"])


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

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sandbox.send(uid="hung")

    assert len(await sandbox.messages(uid="hung")) == (1 if accepted else 0)
    assert (await sandbox.send())["code"] == "0"


async def test_hang_ends_by_closing_after_its_bound() -> None:
    async with running_sandbox(quick_settings(hang_seconds_max=0.1)) as sandbox:
        await sandbox.fault("hang")
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await sandbox.send()


async def test_hang_does_not_hold_up_the_stop() -> None:
    async with running_sandbox(quick_settings(stop_grace_seconds=30.0)) as sandbox:
        await sandbox.fault("hang")
        hanging = asyncio.create_task(sandbox.send())
        await eventually(lambda: _has_struck(sandbox), "the call hangs")

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
    sandbox: Sandbox, customer: Customer
) -> None:
    await sandbox.fault("slow_answer", delay_seconds=0.4)

    started_at = time.monotonic()
    slow = asyncio.create_task(sandbox.send())
    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert not slow.done()

    assert (await slow)["code"] == "0"
    assert time.monotonic() - started_at >= 0.4


async def test_a_caller_who_gives_up_on_a_slow_answer_was_accepted_once(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("slow_answer", delay_seconds=30)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sandbox.send(uid="impatient")

    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert len(await sandbox.messages(uid="impatient")) == 1


async def test_integer_code_is_a_number_in_success_and_refusal(sandbox: Sandbox) -> None:
    await sandbox.fault("integer_code")

    assert (await sandbox.send())["code"] == 0
    assert (await sandbox.send(phone="1"))["code"] == 107


async def test_filter_group_makes_a_variable_send_partial(sandbox: Sandbox) -> None:
    await sandbox.fault("filter_group", count=2)
    params = ";".join(f"1380000000{each},x" for each in range(5))

    answer = await sandbox.send_variable(SIGNATURE + "{$var}", params)

    assert (answer["code"], answer["successNum"], answer["failNum"]) == ("0", "3", "2")
    assert len(await sandbox.messages(msgid=str(answer["msgId"]))) == 3


async def test_receipt_first_pushes_before_it_answers(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("receipt_first")
    customer.gate.clear()

    sending = asyncio.create_task(sandbox.send(phone=f"{PHONE},13800000002"))
    await eventually(lambda: len(customer.received) == 2, "both receipts")
    assert not sending.done()
    customer.gate.set()

    answer = await sending
    assert answer["code"] == "0"
    assert {each.query["msgid"] for each in customer.received} == {answer["msgId"]}


async def test_receipt_first_survives_a_caller_who_gives_up(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("receipt_first")
    customer.gate.clear()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sandbox.send()
    customer.gate.set()

    await eventually(sandbox.settled, "the receipt is acknowledged")
    assert (await sandbox.receipts())["acknowledged"] == 1


async def test_duplicate_receipt_is_pushed_again_though_acknowledged(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("duplicate_receipt", copies=3, count=1)
    await sandbox.send()
    await sandbox.send(phone="13800000002")

    await eventually(lambda: len(customer.received) == 4, "three copies and one receipt")
    assert [each.query["mobile"] for each in customer.received].count(PHONE) == 3
    receipts = await sandbox.receipts()
    assert (receipts["created"], receipts["acknowledged"]) == (2, 2)


async def test_reorder_receipt_lets_later_receipts_overtake(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("reorder_receipt", spread_seconds=0.5)
    sent = [(await sandbox.send(uid=f"{each:02}"))["msgId"] for each in range(20)]

    await eventually(lambda: len(customer.received) == 20, "every receipt")
    received = [each.query["msgid"] for each in customer.received]
    assert sorted(received) == sorted(map(str, sent))
    assert received != sent


async def test_delay_receipt_comes_late(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("delay_receipt", delay_seconds=0.4, count=1)
    started_at = time.monotonic()
    await sandbox.send(uid="late")
    await sandbox.send(uid="usual")

    await eventually(lambda: len(customer.received) == 2, "both receipts")
    assert [each.query["uid"] for each in customer.received] == ["usual", "late"]
    assert customer.received[1].at_seconds - started_at >= 0.4


async def test_drop_receipt_leaves_none_to_push_or_pull(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("drop_receipt", count=1)
    await sandbox.send(uid="dropped")
    await sandbox.send(uid="usual")

    await eventually(lambda: len(customer.received) == 1, "the usual receipt")
    assert customer.received[0].query["uid"] == "usual"
    assert await sandbox.pull("report") == []
    [message] = await sandbox.messages(uid="dropped")
    assert message["receipt"] is None
    assert message["report"] is True


async def test_fail_receipt_draws_statuses_by_weight(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("fail_receipt", statuses={"UNDELIV": 3, "UNKNOWN": 1})
    phones = ",".join(f"139{each:08}" for each in range(400))
    await sandbox.send(phone=phones)

    await eventually(lambda: len(customer.received) == 400, "every receipt")
    statuses = [each.query["status"] for each in customer.received]
    assert set(statuses) == {"UNDELIV", "UNKNOWN"}
    assert 250 <= statuses.count("UNDELIV") <= 350
    assert {each.query["statusDesc"] for each in customer.received} == {"短信发送失败", "未知状态"}


async def test_billed_length_differs_from_the_estimate(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("billed_length", difference=2, account=ACCOUNT)
    await sandbox.send()
    await sandbox.send(account=OTHER_ACCOUNT)
    await eventually(lambda: len(customer.received) == 2, "both receipts")
    assert sorted(each.query["length"] for each in customer.received) == ["1", "3"]

    await sandbox.post("/admin/reset", {})
    await sandbox.fault("billed_length", difference=-5)
    await sandbox.send(msg=SIGNATURE + "x" * 100)
    await eventually(lambda: len(customer.received) == 3, "the third receipt")
    assert customer.received[2].query["length"] == "1"


async def _has_struck(sandbox: Sandbox) -> bool:
    [fault] = rows((await sandbox.get("/admin/faults"))["faults"])
    return section(fault)["hits"] == 1
