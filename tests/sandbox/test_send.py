import re
from datetime import datetime, timedelta, timezone

import pytest

from tests.sandbox.harness import (
    ACCOUNT,
    OTHER_ACCOUNT,
    PASSWORD,
    PHONE,
    SIGNATURE,
    TEXT,
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


@pytest.mark.parametrize("path", ["/msg/send/json", "/msg/v1/send/json"])
async def test_an_accepted_send_answers_code_0_with_a_msgid_of_17_digits(sandbox: Sandbox, path: str) -> None:
    answer = await sandbox.send(path=path)

    assert answer["code"] == "0"
    assert answer["errorMsg"] == ""
    assert re.fullmatch(r"\d{17}", str(answer["msgId"]))
    assert re.fullmatch(r"\d{14}", str(answer["time"]))
    [message] = await sandbox.messages(msgid=str(answer["msgId"]))
    assert (message["phone"], message["content"], message["account"]) == (PHONE, TEXT, ACCOUNT)


async def test_msgids_are_unique_and_some_begin_with_zero(sandbox: Sandbox) -> None:
    msgids = [str((await sandbox.send())["msgId"]) for _ in range(200)]

    assert len(set(msgids)) == 200
    assert any(msgid.startswith("0") for msgid in msgids)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("101", {"account": "N9999999"}),
        ("102", {"password": "wrong"}),
        ("105", {"msg": f"{SIGNATURE}a sandbox-forbidden word"}),
        ("106", {"msg": SIGNATURE + "x" * (537 - len(SIGNATURE))}),
        ("107", {"phone": "12800000001"}),
        ("107", {"phone": f"{PHONE},1380000"}),
        ("108", {"phone": ""}),
        ("108", {"phone": ",".join([PHONE] * 1001)}),
        ("113", {"extend": "abc"}),
        ("116", {"msg": "no signature"}),
        ("116", {"msg": "【x】a signature of one character"}),
        ("116", {"msg": "【" + "x" * 17 + "】a signature of seventeen characters"}),
        ("116", {"msg": "in the 【middle】 it does not count"}),
        ("127", {"sendtime": "2026-01-01 10:00"}),
        ("127", {"sendtime": "202613010000"}),
        ("127", {"sendtime": "000001010000"}),
        ("128", {"msg": f"{SIGNATURE}half a pair: \ud800"}),
        ("128", {"uid": "\udfff"}),
        ("130", {"msg": ""}),
        ("130", {"phone": None}),
        ("130", {"account": None}),
        ("130", {"uid": 7}),
    ],
)
async def test_a_wrong_send_is_refused_with_its_code(sandbox: Sandbox, code: str, changes: dict[str, object]) -> None:
    answer = await sandbox.send(**changes)  # type: ignore[arg-type]  # wrong types are what is tested

    assert answer["code"] == code
    assert answer["msgId"] == ""
    assert answer["errorMsg"]
    stats = await sandbox.stats()
    assert stats["accepted_messages"] == 0
    assert stats["refusals"] == {code: 1}


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_object_is_refused_with_129(sandbox: Sandbox, body: bytes) -> None:
    async with sandbox.http.post(f"{sandbox.url}/msg/send/json", data=body) as response:
        assert response.status == 200
        assert section(await response.json())["code"] == "129"


@pytest.mark.parametrize(
    "msg",
    [SIGNATURE + "x" * (536 - len(SIGNATURE)), f"at the end it counts{SIGNATURE}", "【xx】", "【" + "x" * 16 + "】"],
)
async def test_the_limits_themselves_are_accepted(sandbox: Sandbox, msg: str) -> None:
    assert (await sandbox.send(msg=msg))["code"] == "0"


async def test_a_thousand_phones_share_one_msgid(sandbox: Sandbox, customer: Customer) -> None:
    phones = [f"139{each:08}" for each in range(1000)]

    answer = await sandbox.send(phone=",".join(phones))

    assert answer["code"] == "0"
    await eventually(lambda: len(customer.received) == 1000, "a receipt for each phone")
    assert {each.query["mobile"] for each in customer.received} == set(phones)
    assert {each.query["msgid"] for each in customer.received} == {answer["msgId"]}
    stats = await sandbox.stats()
    assert (stats["accepted_calls"], stats["accepted_messages"], stats["phones_per_call_max"]) == (1, 1000, 1000)


async def test_every_segment_of_every_phone_is_taken_off_the_balance_and_109_comes_when_it_is_short() -> None:
    async with running_sandbox(quick_settings(chuanglan_accounts=[account(ACCOUNT, 5)])) as sandbox:
        two_segments = SIGNATURE + "x" * 65

        assert (await sandbox.send(phone=f"{PHONE},13800000002", msg=two_segments))["code"] == "0"
        assert (await sandbox.post("/msg/balance/json", credentials()))["balance"] == "1"
        assert (await sandbox.send(msg=two_segments))["code"] == "109"
        assert (await sandbox.send())["code"] == "0"
        assert (await sandbox.send())["code"] == "109"
        assert section((await sandbox.stats())["balances"]) == {ACCOUNT: 0}


async def test_balance_is_a_string_and_its_code_a_number(sandbox: Sandbox) -> None:
    answer = await sandbox.post("/msg/balance/json", credentials())

    assert answer["code"] == 0
    assert answer["balance"] == "1000000000"
    assert (await sandbox.post("/msg/balance/json", credentials() | {"password": "wrong"}))["code"] == "102"


async def test_accounts_of_verification_and_marketing_are_there_by_default(sandbox: Sandbox) -> None:
    assert (await sandbox.send(account=OTHER_ACCOUNT, password=PASSWORD))["code"] == "0"
    [message] = await sandbox.messages(account=OTHER_ACCOUNT)
    assert message["phone"] == PHONE


async def test_variables_are_filled_and_malformed_groups_filtered_silently(sandbox: Sandbox) -> None:
    groups = [
        "13800000001,Li,801",
        "13800000002,Wang",  # a value is missing
        "13800000003,Zhao,802,extra",
        "123,Qian,803",  # no phone
        "13800000005,Sun,",
        f"13800000006,{'x' * 600},804",  # too long once filled
        "13800000007,sandbox-forbidden,805",
    ]

    answer = await sandbox.send_variable(SIGNATURE + "{$var}, room {$var} is ready", ";".join(groups))

    assert (answer["code"], answer["successNum"], answer["failNum"]) == ("0", "2", "5")
    contents = {each["phone"]: each["content"] for each in await sandbox.messages(msgid=str(answer["msgId"]))}
    assert contents == {
        "13800000001": SIGNATURE + "Li, room 801 is ready",
        "13800000005": SIGNATURE + "Sun, room  is ready",
    }
    assert (await sandbox.stats())["filtered_groups"] == 5


@pytest.mark.parametrize(
    ("code", "msg", "params"),
    [
        ("114", SIGNATURE + "{$var}", "13800000001"),
        ("114", SIGNATURE + "{$var}", ""),
        ("114", SIGNATURE + "{$var}", ";".join(["13800000001,x"] * 1001)),
        ("114", SIGNATURE + "{$var}" * 21, "13800000001" + ",x" * 21),
        ("116", "{$var}", "13800000001,x"),
    ],
)
async def test_a_wrong_variable_send_is_refused_with_its_code(
    sandbox: Sandbox, code: str, msg: str, params: str
) -> None:
    assert (await sandbox.send_variable(msg, params))["code"] == code


async def test_the_limits_of_a_variable_send_are_accepted(sandbox: Sandbox) -> None:
    group = "13800000001" + ",x" * 20

    answer = await sandbox.send_variable(SIGNATURE + "{$var}" * 20, ";".join([group] * 1000), report="false")

    assert (answer["code"], answer["successNum"], answer["failNum"]) == ("0", "1000", "0")


async def test_a_sendtime_in_the_past_means_now_and_one_in_the_future_holds_the_receipt(
    sandbox: Sandbox, customer: Customer
) -> None:
    beijing = timezone(timedelta(hours=8))
    later = datetime.now(beijing) + timedelta(hours=1)

    future = await sandbox.send(sendtime=f"{later:%Y%m%d%H%M}")
    past = [await sandbox.send(sendtime=each) for each in ("202001010000", "000101010000")]

    await eventually(lambda: len(customer.received) == 2, "the receipts of the past ones")
    assert {each.query["msgid"] for each in customer.received} == {each["msgId"] for each in past}
    [message] = await sandbox.messages(msgid=str(future["msgId"]))
    assert section(message["receipt"])["state"] == "pending"


async def test_messages_are_found_by_each_field_and_paged_newest_first(sandbox: Sandbox) -> None:
    for each in range(5):
        await sandbox.send(phone=f"1380000000{each}", uid=f"u{each % 2}")

    assert [each["phone"] for each in await sandbox.messages(uid="u1")] == ["13800000003", "13800000001"]
    assert len(await sandbox.messages(uid="u0", phone="13800000002")) == 1
    assert await sandbox.messages(uid="u1", phone="13800000002") == []
    first = await sandbox.get("/admin/messages", {"limit": 2})
    second = await sandbox.get("/admin/messages", {"limit": 2, "before": str(first["next_before"])})
    third = await sandbox.get("/admin/messages", {"limit": 2, "before": str(second["next_before"])})
    pages = [[each["phone"] for each in rows(page["messages"])] for page in (first, second, third)]
    assert pages == [["13800000004", "13800000003"], ["13800000002", "13800000001"], ["13800000000"]]
    assert third["next_before"] == 0
    [indexed] = await sandbox.messages(uid="u1", before=3)
    assert indexed["phone"] == "13800000001"


async def test_a_wrong_filter_is_refused_by_name(sandbox: Sandbox) -> None:
    for query in ("limit=0", "limit=1001", "before=x", "colour=red"):
        async with sandbox.http.get(f"{sandbox.url}/admin/messages?{query}") as response:
            assert response.status == 400
            assert query.split("=")[0] in str(section(await response.json())["error"])


async def test_only_the_last_messages_are_kept_and_found() -> None:
    settings = quick_settings(chuanglan_messages_kept_max=3)
    async with running_sandbox(settings) as sandbox:
        for each in range(5):
            await sandbox.send(phone=f"1380000000{each}", uid="same")

        kept = ["13800000004", "13800000003", "13800000002"]
        assert [each["phone"] for each in await sandbox.messages()] == kept
        assert [each["phone"] for each in await sandbox.messages(uid="same")] == kept
        assert await sandbox.messages(phone="13800000001") == []
        assert [each["phone"] for each in await sandbox.messages(before=4)] == ["13800000002"]
        assert (await sandbox.stats())["accepted_messages"] == 5


async def test_duplicates_are_counted_by_phone_content_and_uid(sandbox: Sandbox) -> None:
    await sandbox.send(uid="a")
    await sandbox.send(uid="b")
    await sandbox.send(phone="13800000002", uid="a")
    assert (await sandbox.stats())["duplicates"] == 0

    await sandbox.send(uid="a")
    await sandbox.send(uid="a")
    await sandbox.send(uid="b")

    stats = await sandbox.stats()
    assert (stats["duplicates"], stats["duplicate_messages"], stats["duplicate_keys_forgotten"]) == (2, 3, 0)
    examples = rows(stats["duplicate_examples"])
    assert {(each["uid"], each["times"]) for each in examples} == {("a", 3), ("b", 2)}


async def test_duplicates_are_remembered_within_bounds_and_what_is_forgotten_is_told() -> None:
    async with running_sandbox(quick_settings(chuanglan_duplicate_keys_max=4)) as sandbox:
        for uid in ("a", "b", "c", "a", "d", "e", "f", "b"):
            await sandbox.send(uid=uid)

        stats = await sandbox.stats()
        assert stats["duplicates"] == 1  # "a" again while remembered; "b" again after it was forgotten
        assert int(str(stats["duplicate_keys_forgotten"])) > 0


async def test_a_body_beyond_the_bound_is_refused() -> None:
    async with running_sandbox(quick_settings(body_bytes_max=1000)) as sandbox:
        body = b'{"msg":"' + b"x" * 2000 + b'"}'
        async with sandbox.http.post(f"{sandbox.url}/msg/send/json", data=body) as response:
            assert response.status == 413
