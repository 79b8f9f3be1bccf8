from collections.abc import Mapping

import pytest

from tests.sandbox.harness import Json, Sandbox, quick_settings, rows, running_sandbox

IMPORT = "im_open_login_svc/account_import"
IMPORT_MANY = "im_open_login_svc/multiaccount_import"
CHECK = "im_open_login_svc/account_check"
STATUS = "openim/query_online_status"


async def accounts(sandbox: Sandbox, **query: str | int) -> list[Json]:
    return rows((await sandbox.get("/admin/txim/accounts", query))["accounts"])


async def states(sandbox: Sandbox, *names: str) -> dict[object, object]:
    answer = await sandbox.txim(STATUS, {"To_Account": list(names)})
    return {each["To_Account"]: each["State"] for each in rows(answer["QueryResult"])}


@pytest.mark.parametrize("name", ["UserID", "Identifier"])
async def test_an_account_is_imported_and_imported_again_with_another_nick(sandbox: Sandbox, name: str) -> None:
    ok = {"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""}
    assert await sandbox.txim(IMPORT, {name: "k1", "Nick": "kitchen main", "FaceUrl": ""}) == ok
    assert await sandbox.txim(IMPORT, {name: "k1"}) == ok
    [account] = await accounts(sandbox)
    assert (account["account"], account["nick"]) == ("k1", "kitchen main")

    await sandbox.txim(IMPORT, {name: "k1", "Nick": "kitchen cold"})

    assert [each["nick"] for each in await accounts(sandbox)] == ["kitchen cold"]


async def test_many_accounts_are_imported_and_those_that_fail_are_named(sandbox: Sandbox) -> None:
    answer = await sandbox.txim(IMPORT_MANY, {"AccountList": [{"UserID": "k1"}, {"UserID": "k" * 33}, {"UserID": "é"}]})
    assert (answer["ErrorCode"], answer["FailAccounts"]) == (0, ["k" * 33, "é"])

    answer = await sandbox.txim(IMPORT_MANY, {"Accounts": ["k2"]})

    assert answer["FailAccounts"] == []
    assert [each["account"] for each in await accounts(sandbox)] == ["k1", "k2"]


async def test_check_tells_imported_accounts_from_others(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")

    answer = await sandbox.txim(CHECK, {"CheckItem": [{"UserID": "k1"}, {"UserID": "k2"}]})

    assert answer["ResultItem"] == [
        {"UserID": "k1", "ResultCode": 0, "ResultInfo": "", "AccountStatus": "Imported"},
        {"UserID": "k2", "ResultCode": 0, "ResultInfo": "", "AccountStatus": "NotImported"},
    ]


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (IMPORT, {}),
        (IMPORT, {"UserID": ""}),
        (IMPORT, {"UserID": 7}),
        (IMPORT, {"UserID": "k" * 33}),
        (IMPORT, {"UserID": "k1", "Nick": 7}),
        (IMPORT, {"UserID": "k1", "FaceUrl": None}),
        (IMPORT_MANY, {}),
        (IMPORT_MANY, {"AccountList": []}),
        (IMPORT_MANY, {"AccountList": ["k1"]}),
        (IMPORT_MANY, {"AccountList": [{"UserID": f"k{each}"} for each in range(101)]}),
        (CHECK, {"CheckItem": {}}),
        (CHECK, {"CheckItem": [{"UserID": f"k{each}"} for each in range(101)]}),
    ],
)
async def test_a_wrong_field_is_refused_and_nothing_is_imported(sandbox: Sandbox, command: str, body: Json) -> None:
    answer = await sandbox.txim(command, body)

    assert (answer["ActionStatus"], answer["ErrorCode"]) == ("FAIL", 70402)
    assert await accounts(sandbox) == []


async def test_there_are_only_so_many_accounts() -> None:
    async with running_sandbox(quick_settings(txim_accounts_max=1)) as sandbox:
        await sandbox.import_accounts("k1")

        assert (await sandbox.txim(IMPORT, {"UserID": "k2"}))["ErrorCode"] == 70398
        assert (await sandbox.txim(IMPORT_MANY, {"Accounts": ["k1", "k2"]}))["FailAccounts"] == ["k2"]


async def test_an_imported_account_is_online_until_it_is_set_otherwise(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1", "k2", "k3")

    for account, state in (("k2", "PushOnline"), ("k3", "Offline")):
        await sandbox.post("/admin/txim/accounts", {"account": account, "state": state})

    assert await states(sandbox, "k3", "k2", "k1") == {"k3": "Offline", "k2": "PushOnline", "k1": "Online"}
    await sandbox.import_accounts("k3")
    assert await states(sandbox, "k3") == {"k3": "Offline"}


async def test_the_state_of_an_unknown_account_is_an_error_of_its_own(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")

    answer = await sandbox.txim(STATUS, {"To_Account": ["k1", "k2"]})

    assert (answer["ActionStatus"], answer["ErrorCode"]) == ("OK", 0)
    assert answer["QueryResult"] == [{"To_Account": "k1", "State": "Online"}]
    assert answer["ErrorList"] == [{"To_Account": "k2", "ErrorCode": 70107}]


@pytest.mark.parametrize(("code", "names"), [(90003, "k1"), (90011, ["k"] * 501)])
async def test_a_wrong_question_for_states_is_refused(sandbox: Sandbox, code: int, names: object) -> None:
    assert (await sandbox.txim(STATUS, {"To_Account": names}))["ErrorCode"] == code


async def test_settings_choose_the_first_state_and_the_older_field() -> None:
    settings = quick_settings(txim_imported_state="Offline", txim_online_state_field="Status")
    async with running_sandbox(settings) as sandbox:
        await sandbox.import_accounts("k1")

        answer = await sandbox.txim(STATUS, {"To_Account": ["k1"]})

        assert answer["QueryResult"] == [{"To_Account": "k1", "Status": "Offline"}]


async def test_the_admin_imports_shows_and_forgets_accounts(sandbox: Sandbox) -> None:
    await sandbox.post("/admin/txim/accounts", {"account": "k1", "nick": "kitchen main"})
    await sandbox.import_accounts("k2", "k3")
    await sandbox.im("k2")

    shown = await accounts(sandbox, skip=1, limit=1)
    assert [(each["account"], each["newest_sequence"]) for each in shown] == [("k2", 1)]
    assert [each["account"] for each in await accounts(sandbox, account="k1")] == ["k1"]
    assert await accounts(sandbox, account="nobody") == []

    assert await forget(sandbox, "/k2") == {"forgotten": 1}
    assert (await sandbox.im("k2"))["ErrorCode"] == 90012
    assert await forget(sandbox, "/k2") == {"forgotten": 0}
    assert await forget(sandbox) == {"forgotten": 2}
    assert await accounts(sandbox) == []


async def test_an_account_imported_again_begins_without_messages(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.im("k1")
    await forget(sandbox)
    await sandbox.import_accounts("k1")

    assert await sandbox.delivered(account="k1") == []
    assert len(await sandbox.delivered()) == 1


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("account", {}),
        ("account", {"account": "é"}),
        ("state", {"account": "k1", "state": "Asleep"}),
        ("colour", {"account": "k1", "colour": "red"}),
    ],
)
async def test_a_wrong_account_is_refused_by_name(sandbox: Sandbox, field: str, body: Json) -> None:
    status, answer = await sandbox.post_status("/admin/txim/accounts", body)

    assert status == 400
    assert field in str(answer["error"])


@pytest.mark.parametrize("what", ["messages", "accounts"])
@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"colour": "red"}])
async def test_a_wrong_query_is_refused(sandbox: Sandbox, what: str, query: Mapping[str, str]) -> None:
    async with sandbox.http.get(f"{sandbox.url}/admin/txim/{what}", params=query) as response:
        assert response.status == 400


async def forget(sandbox: Sandbox, account: str = "") -> object:
    async with sandbox.http.delete(f"{sandbox.url}/admin/txim/accounts{account}") as response:
        return await response.json()
