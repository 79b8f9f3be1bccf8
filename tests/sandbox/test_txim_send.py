import time

import pytest

from sandbox.txim import platform
from tests.sandbox.harness import (
    Json,
    Sandbox,
    custom_message,
    number,
    quick_settings,
    running_sandbox,
    text_message,
    txim_query,
)

LIMIT_BYTES = 12 * 1024


async def test_a_text_is_delivered_and_shown_with_all_that_came_with_it(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "desk")
    before_ms = time.time_ns() // 1_000_000

    answer = await sandbox.im(
        "k1",
        MsgRandom=4_294_967_295,
        MsgTimeStamp=1_700_000_000,
        MsgLifeTime=120,
        MsgSeq=93847636,
        SyncOtherMachine=2,
        From_Account="desk",
        CloudCustomData='{"event":"x"}',
    )

    key = "93847636_4294967295_1700000000"
    assert answer == {
        "ActionStatus": "OK",
        "ErrorCode": 0,
        "ErrorInfo": "",
        "MsgTime": 1_700_000_000,
        "MsgKey": key,
    }
    [message] = await sandbox.delivered()
    assert before_ms <= number(message.pop("received_at_ms")) <= time.time_ns() // 1_000_000
    assert message == {
        "sequence": 1,
        "account": "k1",
        "command": "sendmsg",
        "from": "desk",
        "text": "801房间下单了水饺2份,请注意",
        "custom_data": "",
        "cloud_custom_data": '{"event":"x"}',
        "msg_random": 4_294_967_295,
        "msg_time_stamp": 1_700_000_000,
        "life_time_seconds": 120,
        "msg_key": key,
    }


async def test_custom_data_is_delivered_as_it_came(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")

    await sandbox.txim("openim/sendmsg", custom_message('{"event":"清"}', To_Account="k1"))

    [message] = await sandbox.delivered()
    assert (message["text"], message["custom_data"], message["from"]) == ("", '{"event":"清"}', "administrator")
    assert (message["msg_time_stamp"], message["life_time_seconds"]) == (None, None)


async def test_messages_are_numbered_in_the_order_of_arrival_and_listed_by_account(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2")
    for text in ("a", "b", "c"):
        await sandbox.im_batch(["k1", "k2"], **text_message(text))
    await sandbox.im("k2")

    assert [each["sequence"] for each in await sandbox.delivered()] == [7, 6, 5, 4, 3, 2, 1]
    of_first = await sandbox.delivered(account="k1")
    assert [(each["sequence"], each["text"]) for each in of_first] == [(5, "c"), (3, "b"), (1, "a")]
    page = await sandbox.get("/admin/txim/messages", {"account": "k2", "limit": 2})
    assert page["next_before"] == 6
    rest = await sandbox.delivered(account="k2", before=6, limit=2)
    assert [each["sequence"] for each in rest] == [4, 2]
    assert await sandbox.delivered(account="nobody") == []


async def test_only_the_last_messages_are_kept_and_the_numbers_go_on() -> None:
    async with running_sandbox(quick_settings(txim_messages_kept_max=3)) as sandbox:
        await sandbox.import_accounts("k1", "k2")
        for account in ("k1", "k2", "k1", "k2", "k2"):
            await sandbox.im(account)

        assert [each["sequence"] for each in await sandbox.delivered()] == [5, 4, 3]
        assert [each["sequence"] for each in await sandbox.delivered(account="k1")] == [3]
        assert [each["sequence"] for each in await sandbox.delivered(account="k2")] == [5, 4]
        assert (await sandbox.stats("txim"))["delivered"] == 5


@pytest.mark.parametrize("in_batch", [False, True])
async def test_a_repeat_is_answered_ok_and_not_delivered_again(sandbox: Sandbox, in_batch: bool) -> None:
    await sandbox.import_accounts("k1", "k2")
    message = text_message(MsgTimeStamp=1_700_000_000)
    first = await sandbox.im("k1", **message)

    again = await sandbox.im_batch(["k1"], **message) if in_batch else await sandbox.im("k1", **message)

    assert (again["ErrorCode"], again["MsgKey"]) == (0, first["MsgKey"])
    assert len(await sandbox.delivered()) == 1
    assert (await sandbox.stats("txim"))["duplicates_dropped"] == 1
    for differing in ({"MsgRandom": 99}, {"MsgTimeStamp": 1_700_000_001}, {"To_Account": "k2"}):
        assert (await sandbox.txim("openim/sendmsg", message | {"To_Account": "k1"} | differing))["ErrorCode"] == 0
    assert len(await sandbox.delivered()) == 4


async def test_a_batch_that_is_repeated_reaches_only_those_it_had_not_reached(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    message = text_message(MsgTimeStamp=1_700_000_000)
    await sandbox.im_batch(["k1", "k2"], **message)
    await sandbox.import_accounts("k2")

    answer = await sandbox.im_batch(["k1", "k2"], **message)

    assert "ErrorList" not in answer
    assert [each["account"] for each in await sandbox.delivered()] == ["k2", "k1"]


async def test_without_a_time_the_second_of_arrival_counts(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    await sandbox.import_accounts("k1")
    message = text_message()
    keys: set[str] = set()
    for at_ms, delivered in ((1_700_000_000_000, 1), (1_700_000_000_999, 1), (1_700_000_001_000, 2)):
        monkeypatch.setattr(platform, "now_ms", lambda at_ms=at_ms: at_ms)
        keys.add(str((await sandbox.im("k1", **message))["MsgKey"]))
        assert len(await sandbox.delivered()) == delivered
    assert len(keys) == 2


async def test_a_repeat_is_known_until_its_memory_is_full() -> None:
    async with running_sandbox(quick_settings(txim_repeats_remembered_max=4)) as sandbox:
        await sandbox.import_accounts("k1")
        message = text_message(MsgTimeStamp=1)
        for each in [message, *[text_message(MsgTimeStamp=1) for _ in range(4)], message]:
            await sandbox.im("k1", **each)

        stats = await sandbox.stats("txim")
        assert (stats["delivered"], stats["duplicates_dropped"], stats["repeats_forgotten"]) == (6, 0, 4)


async def test_unknown_accounts_are_refused_one_by_one(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")

    assert (await sandbox.im("k2"))["ErrorCode"] == 90012
    assert (await sandbox.im("k1", From_Account="k2"))["ErrorCode"] == 20003
    partly = await sandbox.im_batch(["k2", "k1", "k3"])
    assert (partly["ActionStatus"], partly["ErrorCode"]) == ("OK", 0)
    assert partly["ErrorList"] == [
        {"To_Account": "k2", "ErrorCode": 70107},
        {"To_Account": "k3", "ErrorCode": 70107},
    ]
    none = await sandbox.im_batch(["k2"])
    assert (none["ActionStatus"], none["ErrorCode"]) == ("FAIL", 70107)
    assert none["ErrorList"] == [{"To_Account": "k2", "ErrorCode": 70107}]
    assert [each["account"] for each in await sandbox.delivered()] == ["k1"]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (90003, {"To_Account": None}),
        (90003, {"To_Account": ["k1"]}),
        (90003, {"To_Account": ""}),
        (90005, {"MsgRandom": None}),
        (90005, {"MsgRandom": "7"}),
        (90005, {"MsgRandom": True}),
        (90005, {"MsgRandom": 2**32}),
        (90005, {"MsgRandom": -1}),
        (90006, {"MsgTimeStamp": "1700000000"}),
        (90006, {"MsgTimeStamp": 1.5}),
        (90026, {"MsgLifeTime": 604_801}),
        (90026, {"MsgLifeTime": -1}),
        (90026, {"MsgLifeTime": "60"}),
        (90031, {"SyncOtherMachine": 3}),
        (90002, {"MsgBody": None}),
        (90007, {"MsgBody": {}}),
        (90010, {"MsgBody": []}),
        (90010, {"MsgBody": ["text"]}),
        (90010, {"MsgBody": [{"MsgType": "TIMTextElem"}]}),
        (90010, {"MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": 7}}]}),
        (90010, {"MsgBody": [{"MsgType": "TIMCustomElem", "MsgContent": {"Text": "x"}}]}),
        (90010, {"MsgBody": [{"MsgType": "TIMFaceElem", "MsgContent": {"Data": "x"}}]}),
        (90010, {"MsgBody": [{"MsgType": ["TIMTextElem"], "MsgContent": {"Text": "x"}}]}),
        (90010, {"CloudCustomData": {"event": "x"}}),
        (20003, {"From_Account": 7}),
    ],
)
async def test_a_wrong_field_is_refused_with_its_code(sandbox: Sandbox, code: int, changes: Json) -> None:
    await sandbox.import_accounts("k1")
    body = text_message(To_Account="k1") | changes
    answer = await sandbox.txim("openim/sendmsg", {name: value for name, value in body.items() if value is not None})

    assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", code)
    assert await sandbox.delivered() == []


@pytest.mark.parametrize("accounts", [None, "k1", [], ["k1", 7], [""]])
async def test_a_batch_needs_an_array_of_accounts(sandbox: Sandbox, accounts: object) -> None:
    answer = await sandbox.txim("openim/batchsendmsg", text_message(To_Account=accounts))

    assert answer["ErrorCode"] == 90003


async def test_a_batch_has_five_hundred_recipients_at_most(sandbox: Sandbox) -> None:
    accounts = [f"k{each}" for each in range(501)]
    for start in range(0, 501, 100):
        await sandbox.import_accounts(*accounts[start : start + 100])

    assert (await sandbox.im_batch(accounts))["ErrorCode"] == 90011
    assert await sandbox.delivered() == []
    assert (await sandbox.im_batch(accounts[:500]))["ErrorCode"] == 0
    assert (await sandbox.stats("txim"))["delivered"] == 500


async def test_a_message_has_twelve_kilobytes_at_most(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    longest = "请" * (LIMIT_BYTES // 3)

    assert (await sandbox.im("k1", **text_message(longest)))["ErrorCode"] == 0
    assert (await sandbox.im("k1", **text_message(longest + "x")))["ErrorCode"] == 93000
    assert (await sandbox.im("k1", **text_message(longest), CloudCustomData="x"))["ErrorCode"] == 93000
    assert len(await sandbox.delivered()) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"To_Account":"\\ud83d"}'])
async def test_a_body_that_is_no_json_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    url = f"{sandbox.url}/v4/openim/sendmsg"
    async with sandbox.http.post(url, params=txim_query(), data=body) as response:
        assert (response.status, (await response.json())["ErrorCode"]) == (200, 60003)


async def test_an_escaped_emoji_is_a_character(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")

    await sandbox.im("k1", **text_message("\U0001f35c"))

    [message] = await sandbox.delivered()
    assert message["text"] == "\U0001f35c"


async def test_an_unknown_command_is_refused(sandbox: Sandbox) -> None:
    assert (await sandbox.txim("openim/fly", {}))["ErrorCode"] == 60009
