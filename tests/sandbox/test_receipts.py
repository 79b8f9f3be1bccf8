import re
import time

import pytest

from tests.sandbox.harness import (
    ACKNOWLEDGED,
    OTHER_ACCOUNT,
    PHONE,
    RESEND,
    SIGNATURE,
    Customer,
    Sandbox,
    account,
    credentials,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    section,
)


async def test_a_receipt_is_pushed_with_every_documented_parameter(sandbox: Sandbox, customer: Customer) -> None:
    answer = await sandbox.send(uid="记录 7&x=1")

    await eventually(sandbox.settled, "the receipt is acknowledged")
    [push] = customer.received
    query = push.query
    assert push.path == "/receipt"
    assert (query["receiver"], query["pswd"]) == ("sandbox-receiver", "sandbox-pswd")
    assert (query["msgid"], query["mobile"], query["uid"]) == (answer["msgId"], PHONE, "记录 7&x=1")
    assert (query["status"], query["statusDesc"], query["length"]) == ("DELIVRD", "短信发送成功", "1")
    assert re.fullmatch(r"\d{10}", query["reportTime"])
    assert re.fullmatch(r"\d{12}", query["notifyTime"])
    assert "statusDesc=%E7%9F%AD" in push.raw_query
    [message] = await sandbox.messages(phone=PHONE)
    [attempt] = rows(section(message["receipt"])["pushes"])
    assert (attempt["http_status"], attempt["answer"], attempt["acknowledged"]) == (200, ACKNOWLEDGED, True)


async def test_uid_is_absent_from_the_receipt_when_none_was_sent(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.send()

    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert "uid" not in customer.received[0].query


@pytest.mark.parametrize("report", ["false", "", "TRUE", None])
async def test_without_report_true_no_receipt_ever_comes(
    sandbox: Sandbox, customer: Customer, report: str | None
) -> None:
    await sandbox.send(report=report)
    await sandbox.send(phone="13800000009")

    await eventually(lambda: len(customer.received) == 1, "the other message's receipt")
    assert customer.received[0].query["mobile"] == "13800000009"
    assert (await sandbox.receipts())["created"] == 1
    assert await sandbox.pull("report") == []


@pytest.mark.parametrize(("characters", "segments"), [(7, 1), (70, 1), (71, 2), (134, 2), (135, 3), (536, 8)])
async def test_length_is_the_billed_segments_signature_included(
    sandbox: Sandbox, customer: Customer, characters: int, segments: int
) -> None:
    await sandbox.send(msg=SIGNATURE + "x" * (characters - len(SIGNATURE)))

    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert customer.received[0].query["length"] == str(segments)


@pytest.mark.parametrize("refusal", [(200, RESEND), (200, "ok"), (200, "[]"), (500, ACKNOWLEDGED), (302, ACKNOWLEDGED)])
async def test_any_other_answer_is_asked_again(sandbox: Sandbox, customer: Customer, refusal: tuple[int, str]) -> None:
    customer.answering(refusal, (200, '{ "clcode": "000000" }'))

    await sandbox.send()

    await eventually(lambda: len(customer.received) == 2, "the second attempt")
    first, second = customer.received
    assert second.at_seconds - first.at_seconds >= 0.05
    await eventually(sandbox.settled, "the receipt is settled")
    assert section((await sandbox.stats())["receipts"])["acknowledged"] == 1
    assert await sandbox.pull("report") == []


async def test_after_three_attempts_the_receipt_can_be_pulled_once(sandbox: Sandbox, customer: Customer) -> None:
    customer.answering((200, RESEND))
    answer = await sandbox.send(uid="r1")

    await eventually(sandbox.settled, "the attempts are used up")
    assert len(customer.received) == 3
    [row] = await sandbox.pull("report")
    assert (row["msgId"], row["mobile"], row["uid"]) == (answer["msgId"], PHONE, "r1")
    assert (row["status"], row["statusDesc"], row["length"]) == ("DELIVRD", "短信发送成功", "1")
    assert re.fullmatch(r"\d{10}", str(row["reportTime"]))
    assert re.fullmatch(r"\d{12}", str(row["notifyTime"]))
    assert await sandbox.pull("report") == []
    [message] = await sandbox.messages()
    receipt = section(message["receipt"])
    assert receipt["state"] == "pulled"
    assert [each["answer"] for each in rows(receipt["pushes"])] == [RESEND] * 3


async def test_a_customer_who_cannot_be_reached_gets_three_attempts(customer: Customer) -> None:
    async with running_sandbox(quick_settings(chuanglan_receipt_url="http://127.0.0.1:1/receipt")) as sandbox:
        await sandbox.send()

        await eventually(sandbox.settled, "the attempts are used up")
        [message] = await sandbox.messages()
        pushes = rows(section(message["receipt"])["pushes"])
        assert [each["http_status"] for each in pushes] == [0, 0, 0]
        assert "Connect" in str(pushes[0]["answer"])
        await sandbox.push_to(customer)
        await sandbox.send(phone="13800000002")
        await eventually(lambda: len(customer.received) == 1, "the receipt at the new address")


async def test_an_address_that_cannot_be_looked_up_fails_the_attempt_and_nothing_else(sandbox: Sandbox) -> None:
    for host in ("x" * 70, "does-not-exist.invalid"):
        await sandbox.post("/admin/targets", {"chuanglan_receipt_url": f"http://{host}/receipt"})
        await sandbox.send(uid=host)

        await eventually(sandbox.settled, "the attempts are used up")
        [message] = await sandbox.messages(uid=host)
        pushes = rows(section(message["receipt"])["pushes"])
        assert [each["http_status"] for each in pushes] == [0, 0, 0]


async def test_an_answer_that_never_comes_counts_as_a_failed_attempt(customer: Customer) -> None:
    async with running_sandbox(quick_settings(push_timeout_seconds=0.1)) as sandbox:
        await sandbox.push_to(customer)
        customer.gate.clear()
        await sandbox.send()

        await eventually(sandbox.settled, "the attempts are used up")
        [message] = await sandbox.messages()
        pushes = rows(section(message["receipt"])["pushes"])
        assert [str(each["answer"]).partition(":")[0] for each in pushes] == ["TimeoutError"] * 3


async def test_without_an_address_receipts_wait_to_be_pulled_by_their_account() -> None:
    async with running_sandbox(quick_settings()) as sandbox:
        await sandbox.send(phone=",".join(f"139{each:08}" for each in range(130)))
        await eventually(sandbox.settled, "the receipts wait to be pulled")

        assert await sandbox.pull("report", account=OTHER_ACCOUNT) == []
        assert len(await sandbox.pull("report")) == 20
        assert len(await sandbox.pull("report", count=5)) == 5
        assert len(await sandbox.pull("report", count="500")) == 100
        assert len(await sandbox.pull("report", count=100)) == 5
        assert (await sandbox.receipts())["pulled"] == 130


async def test_a_wrong_pull_answers_ret_1(sandbox: Sandbox) -> None:
    wrong_password = await sandbox.post("/msg/pull/report", credentials() | {"password": "wrong"})
    assert wrong_password["ret"] == 1
    assert "102" in str(wrong_password["error"])
    for count in (0, "x", True, "9" * 5000):
        wrong_count = await sandbox.post("/msg/pull/report", {**credentials(), "count": count})
        assert wrong_count["ret"] == 1
        assert "count" in str(wrong_count["error"])


async def test_a_receipt_can_be_pulled_only_for_its_time() -> None:
    async with running_sandbox(quick_settings(chuanglan_pull_retention_seconds=0.05)) as sandbox:
        await sandbox.send()
        await eventually(sandbox.settled, "the receipt waits to be pulled")
        settled_at = time.monotonic()
        await eventually(lambda: time.monotonic() > settled_at + 0.1, "its time is over")

        assert await sandbox.pull("report") == []
        assert (await sandbox.receipts())["forgotten"] == 1


async def test_only_so_many_receipts_wait_and_the_oldest_give_way() -> None:
    async with running_sandbox(quick_settings(chuanglan_pull_kept_max=2)) as sandbox:
        for each in range(3):
            await sandbox.send(phone=f"1380000000{each}")
            await eventually(sandbox.settled, "the receipt waits to be pulled")

        assert [row["mobile"] for row in await sandbox.pull("report")] == ["13800000001", "13800000002"]
        assert (await sandbox.receipts())["forgotten"] == 1


async def test_receipts_beyond_the_pending_bound_are_left_to_be_pulled(customer: Customer) -> None:
    settings = quick_settings(pending_pushes_max=2, chuanglan_receipt_delay_seconds=0.3)
    async with running_sandbox(settings) as sandbox:
        await sandbox.push_to(customer)
        await sandbox.send(phone="13800000001,13800000002,13800000003")

        assert [row["mobile"] for row in await sandbox.pull("report")] == ["13800000003"]
        await eventually(lambda: len(customer.received) == 2, "the other two are pushed")


async def test_an_account_with_addresses_of_its_own_pushes_there(customer: Customer) -> None:
    own = {"receipt_url": f"{customer.url}/own/receipt", "uplink_url": f"{customer.url}/own/uplink"}
    accounts = [account("N1000001", 100), account(OTHER_ACCOUNT, 100).model_copy(update=own)]
    async with running_sandbox(quick_settings(chuanglan_accounts=accounts)) as sandbox:
        await sandbox.push_to(customer)
        for name in ("N1000001", OTHER_ACCOUNT):
            await sandbox.send(**credentials() | {"account": name})
            await sandbox.post("/admin/uplink", {"mobile": PHONE, "msg": "TD", "account": name})
        await eventually(lambda: len(customer.received) == 4, "everything is pushed")
    assert sorted(each.path for each in customer.received) == ["/own/receipt", "/own/uplink", "/receipt", "/uplink"]


async def test_an_address_with_a_query_of_its_own_keeps_it(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.post("/admin/targets", {"chuanglan_receipt_url": f"{customer.url}/hook?brand=7"})
    await sandbox.send()

    await eventually(lambda: len(customer.received) == 1, "the receipt")
    assert customer.received[0].query["brand"] == "7"
    assert customer.received[0].query["mobile"] == PHONE


async def test_an_uplink_is_pushed_with_every_documented_parameter(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.post("/admin/uplink", {"mobile": PHONE, "msg": "退订 & more", "destcode": "106900001"})

    await eventually(lambda: len(customer.received) == 1, "the uplink")
    [push] = customer.received
    assert push.path == "/uplink"
    assert (push.query["receiver"], push.query["pswd"]) == ("sandbox-receiver", "sandbox-pswd")
    assert (push.query["mobile"], push.query["msg"], push.query["destcode"]) == (PHONE, "退订 & more", "106900001")
    assert push.query["spCode"] == "106900001"
    assert re.fullmatch(r"\d{10}", push.query["moTime"])
    assert re.fullmatch(r"\d{12}", push.query["notifyTime"])
    assert "isems" not in push.query
    assert "emshead" not in push.query


async def test_an_uplink_in_parts_can_be_put_together_again(sandbox: Sandbox, customer: Customer) -> None:
    text = "这是一条很长的回复内容分成三段"
    await sandbox.post("/admin/uplink", {"mobile": PHONE, "msg": text, "parts": 3})

    await eventually(lambda: len(customer.received) == 3, "the parts")
    heads = [each.query["emshead"].split(",") for each in customer.received]
    assert len({head[0] for head in heads}) == 1
    assert {head[1] for head in heads} == {"3"}
    assert sorted(head[2] for head in heads) == ["1", "2", "3"]
    assert {each.query["isems"] for each in customer.received} == {"1"}
    parts = sorted(customer.received, key=lambda each: int(each.query["emshead"].split(",")[2]))
    assert "".join(each.query["msg"] for each in parts) == text


async def test_single_parts_can_be_sent_in_any_order(sandbox: Sandbox, customer: Customer) -> None:
    for count, head in enumerate(("9,2,2", "9,2,1"), start=1):
        await sandbox.post("/admin/uplink", {"mobile": PHONE, "msg": head, "emshead": head})
        await eventually(lambda count=count: len(customer.received) == count, "the part")

    assert [each.query["emshead"] for each in customer.received] == ["9,2,2", "9,2,1"]


async def test_an_uplink_nobody_took_can_be_pulled_once(sandbox: Sandbox, customer: Customer) -> None:
    customer.answering((200, RESEND))
    await sandbox.post("/admin/uplink", {"mobile": PHONE, "msg": "TD", "destcode": "106900001"})

    await eventually(lambda: sandbox.settled("uplinks"), "the attempts are used up")
    assert len(customer.received) == 3
    [row] = await sandbox.pull("mo")
    assert (row["mobile"], row["messageContent"]) == (PHONE, "TD")
    assert (row["destCode"], row["spCode"]) == ("106900001", "106900001")
    assert await sandbox.pull("mo") == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("mobile", {"mobile": "1"}),
        ("msg", {"msg": ""}),
        ("msg", {"msg": "half a pair: \ud800"}),
        ("account", {"account": "nobody"}),
        ("emshead", {"emshead": "1,2"}),
        ("emshead", {"emshead": "1,2,1", "parts": 2}),
        ("colour", {"colour": "red"}),
    ],
)
async def test_a_wrong_uplink_is_refused_by_name(sandbox: Sandbox, field: str, changes: dict[str, object]) -> None:
    status, answer = await sandbox.post_status("/admin/uplink", {"mobile": PHONE, "msg": "TD"} | changes)

    assert status == 400
    assert field in str(answer["error"])
