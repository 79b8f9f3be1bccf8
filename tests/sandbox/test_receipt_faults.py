import asyncio
import time

from tests.sandbox.harness import (
    ACCOUNT,
    OTHER_ACCOUNT,
    PHONE,
    RESEND,
    SIGNATURE,
    Customer,
    Json,
    Sandbox,
    eventually,
    number,
    rows,
    section,
    unanswered,
)


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

    async with unanswered(sandbox.send()):
        await eventually(lambda: len(customer.received) == 1, "the receipt")
    customer.gate.set()

    await eventually(sandbox.settled, "the receipt is acknowledged")
    assert (await sandbox.receipts())["acknowledged"] == 1


async def test_duplicate_receipt_is_pushed_again_though_acknowledged(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("duplicate_receipt", copies=3, count=1)
    await sandbox.send()
    await sandbox.send(phone="13800000002")

    await eventually(lambda: len(customer.received) == 4, "three copies and one receipt")
    await eventually(sandbox.settled, "both receipts are acknowledged")
    assert [each.query["mobile"] for each in customer.received].count(PHONE) == 3
    receipts = await sandbox.receipts()
    assert (receipts["created"], receipts["acknowledged"]) == (2, 2)


async def test_duplicate_receipt_that_nobody_took_can_be_pulled_once(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("duplicate_receipt")
    customer.answering((200, RESEND))
    await sandbox.send()

    await eventually(lambda: len(customer.received) == 6, "three attempts for each copy")
    await eventually(lambda: _has_no_push_under_way(sandbox), "the attempts are used up")
    assert len(await sandbox.pull("report")) == 1
    assert await sandbox.pull("report") == []


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
    at_seconds = {each.query["uid"]: each.at_seconds for each in customer.received}
    assert at_seconds["late"] - started_at >= 0.4
    delays_ms = {str(each["uid"]): _receipt_delay_ms(each) for each in await sandbox.messages()}
    assert delays_ms == {"late": 420, "usual": 20}


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


def _receipt_delay_ms(message: Json) -> int:
    return number(section(message["receipt"])["reported_at_ms"]) - number(message["accepted_at_ms"])


async def _has_no_push_under_way(sandbox: Sandbox) -> bool:
    [message] = await sandbox.messages()
    return len(rows(section(message["receipt"])["pushes"])) == 6
