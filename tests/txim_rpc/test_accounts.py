"""Accounts are imported when they are needed, once however many need them, and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
import sqlalchemy as sa

from mesh.database import Database
from mesh.testing import eventually
from tests.sms_rmq.providers.scripted_server import Answer, http
from tests.txim_rpc.conftest import StartTxim
from tests.txim_rpc.harness import (
    REFUSED,
    RETRY,
    SENT,
    Txim,
    make_settings,
    refused,
    running_txim,
    told,
)
from tests.txim_rpc.tencent_server import SUCCESS, TencentServer, fail, ok
from txim_rpc import tables
from txim_rpc.accounts import PENDING_MAX, Accounts
from txim_rpc.commands import Commands
from txim_rpc.domain import Account, Command
from txim_rpc.settings import Settings
from txim_rpc.wiring import build_tencent, open_session

IMPORTS = (Command.ACCOUNT_IMPORT, Command.MULTIACCOUNT_IMPORT)


def gate() -> tuple[asyncio.Event, Answer]:
    """Answer with success once the event is set."""
    opened = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        await opened.wait()
        await http(SUCCESS)(writer)

    return opened, answer


def imported(tencent: TencentServer) -> list[list[str]]:
    """Which accounts each import named."""
    return [
        [body["UserID"]] if "UserID" in body else [one["UserID"] for one in body["AccountList"]]
        for body in (asked.body for asked in tencent.asked if asked.command in IMPORTS)
    ]


async def rows(database_url: str) -> dict[str, str]:
    """The remembered accounts with their nicks."""
    database = Database(database_url)
    async with database.read() as connection:
        found = {row.account: row.nick for row in await connection.execute(sa.select(tables.imported_account))}
    await database.close()
    return found


@asynccontextmanager
async def running_accounts(settings: Settings) -> AsyncIterator[Accounts]:
    """Build what keeps the accounts, without the rpcs before it."""
    database = Database(settings.database_url)
    async with open_session(settings) as session:
        commands = Commands(build_tencent(settings, session))
        async with aclosing(Accounts(database, commands, cached_max=settings.accounts_cached_max)) as accounts:
            yield accounts
    await database.close()


async def test_an_account_is_imported_before_the_first_message_and_not_again(
    txim: Txim, tencent: TencentServer, database_url: str
) -> None:
    for _ in range(3):
        assert (await txim.send("desk-1", nick="Desk 1")).outcome == SENT
    assert tencent.commands == [Command.ACCOUNT_IMPORT, *[Command.SEND_MSG] * 3]
    assert await rows(database_url) == {"desk-1": "Desk 1"}


async def test_imported_accounts_are_remembered_over_a_restart(database_url: str, tencent: TencentServer) -> None:
    settings = make_settings(database_url, tencent.url)
    async with running_txim(settings) as txim:
        await txim.send("desk-1")
        await txim.send_all("desk-2", "desk-3")
    before = imported(tencent)
    async with running_txim(settings) as txim:
        await txim.send("desk-2")
        await txim.send_all("desk-1", "desk-2", "desk-3", "desk-4")
    assert imported(tencent) == [*before, ["desk-4"]]


async def test_more_accounts_than_are_kept_in_memory(start: StartTxim, tencent: TencentServer) -> None:
    txim = await start(accounts_cached_max=1000, batch_recipients_per_minute=10_000_000)
    names = [f"desk-{number}" for number in range(1500)]
    for begin in (0, 500, 1000, 0, 500, 1000):
        results = await txim.send_all(*names[begin : begin + 500])
        assert {result.outcome for result in results} == {SENT}
    assert [name for names in imported(tencent) for name in names] == names


async def test_those_that_are_used_stay_in_memory(tencent: TencentServer, database_url: str) -> None:
    async with running_accounts(make_settings(database_url, tencent.url, accounts_cached_max=1000)) as accounts:
        names = [f"desk-{number}" for number in range(1000)]
        for begin in (0, 500):
            await accounts.ensure([Account(name) for name in names[begin : begin + 500]])
        await accounts.ensure([Account("desk-0")])
        await accounts.ensure([Account("another")])
        assert list(accounts._cached) == [*names[2:], "desk-0", "another"]


async def test_many_messages_to_one_new_account_share_an_import(txim: Txim, tencent: TencentServer) -> None:
    opened, answer = gate()
    tencent.script(Command.ACCOUNT_IMPORT, answer)
    sends = [asyncio.ensure_future(txim.send("desk-1")) for _ in range(20)]
    await tencent.has_been_asked(1)
    sends += [asyncio.ensure_future(txim.send("desk-1")) for _ in range(20)]
    opened.set()
    assert {result.outcome for result in await asyncio.gather(*sends)} == {SENT}
    assert imported(tencent) == [["desk-1"]]


async def test_accounts_that_wait_for_an_import_go_together_a_hundred_at_a_time(
    tencent: TencentServer, database_url: str
) -> None:
    opened, answer = gate()
    tencent.script(Command.ACCOUNT_IMPORT, answer)
    async with running_accounts(make_settings(database_url, tencent.url)) as accounts:
        waiting = [asyncio.ensure_future(accounts.ensure([Account("desk-0")]))]
        await tencent.has_been_asked(1)
        waiting += [asyncio.ensure_future(accounts.ensure([Account(f"desk-{n % 151}")])) for n in range(300)]
        await eventually(lambda: accounts._imports._pending_count == 300)
        opened.set()
        assert await asyncio.gather(*waiting) == [{}] * 301
    assert [len(names) for names in imported(tencent)] == [1, 99, 51]
    assert len({name for names in imported(tencent) for name in names}) == 151


async def test_more_accounts_than_may_wait_are_put_back(tencent: TencentServer, database_url: str) -> None:
    opened, answer = gate()
    tencent.script(Command.ACCOUNT_IMPORT, answer)
    async with running_accounts(make_settings(database_url, tencent.url)) as accounts:
        first = asyncio.ensure_future(accounts.ensure([Account("desk-0")]))
        await tencent.has_been_asked(1)
        many = [Account(f"desk-{number}") for number in range(500)]
        waiting = [asyncio.ensure_future(accounts.ensure(many)) for _ in range(PENDING_MAX // 500)]
        await eventually(lambda: accounts._imports._pending_count == PENDING_MAX)
        put_back = await accounts.ensure([Account("desk-501"), Account("desk-502")])
        assert {name: failure.reason for name, failure in put_back.items()} == {
            "desk-501": "IM_RATE_LIMITED",
            "desk-502": "IM_RATE_LIMITED",
        }
        opened.set()
        assert await asyncio.gather(first, *waiting) == [{}] * (len(waiting) + 1)


async def test_an_import_outlives_the_sender_that_asked_first(txim: Txim, tencent: TencentServer) -> None:
    opened, answer = gate()
    tencent.script(Command.ACCOUNT_IMPORT, answer)
    first = asyncio.ensure_future(txim.send("desk-1"))
    await tencent.has_been_asked(1)
    second = asyncio.ensure_future(txim.send("desk-1"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    opened.set()
    assert (await second).outcome == SENT
    assert imported(tencent) == [["desk-1"]]


async def test_an_account_that_tencent_forgot_is_imported_again(
    txim: Txim, tencent: TencentServer, database_url: str
) -> None:
    await txim.send("desk-1", nick="Desk 1")
    tencent.script(Command.SEND_MSG, fail(90012))
    assert (await txim.send("desk-1", nick="Desk one")).outcome == SENT
    assert imported(tencent) == [["desk-1"], ["desk-1"]]
    assert await rows(database_url) == {"desk-1": "Desk one"}


async def test_an_account_that_stays_unknown_is_imported_again_by_the_next_message(
    txim: Txim, tencent: TencentServer, database_url: str
) -> None:
    tencent.script(Command.SEND_MSG, fail(90012), fail(90012))
    assert told(await txim.send()) == (RETRY, "IM_ACCOUNT_UNKNOWN", 90012)
    assert await rows(database_url) == {}
    assert (await txim.send()).outcome == SENT
    assert imported(tencent) == [["desk-1"]] * 3


async def test_an_account_that_is_not_taken_fails_alone(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.MULTIACCOUNT_IMPORT, ok(FailAccounts=["desk-2"]))
    results = await txim.send_all("desk-1", "desk-2", "desk-3")
    assert [told(result) for result in results] == [(SENT, "", 0), (RETRY, "IM_IMPORT_FAILED", 0), (SENT, "", 0)]
    assert [body["To_Account"] for body in tencent.bodies(Command.BATCH_SEND_MSG)] == [["desk-1", "desk-3"]]
    assert (await txim.send("desk-2")).outcome == SENT
    assert imported(tencent)[-1] == ["desk-2"]


async def test_an_account_that_spoils_an_import_fails_alone(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.MULTIACCOUNT_IMPORT, fail(70402), ok(), fail(70402))
    tencent.script(Command.ACCOUNT_IMPORT, ok(), fail(70402))
    results = await txim.send_all("desk-1", "desk-2", "desk-3", "desk-4")
    assert imported(tencent) == [
        ["desk-1", "desk-2", "desk-3", "desk-4"],
        ["desk-1", "desk-2"],
        ["desk-3", "desk-4"],
        ["desk-3"],
        ["desk-4"],
    ]
    refusal = (REFUSED, "IM_REQUEST_MALFORMED", 70402)
    assert [told(result) for result in results] == [*[(SENT, "", 0)] * 3, refusal]


async def test_nobody_is_sent_to_when_nobody_could_be_imported(txim: Txim, tencent: TencentServer) -> None:
    tencent.script(Command.MULTIACCOUNT_IMPORT, fail(70500))
    results = await txim.send_all("desk-1", "desk-2")
    assert {told(result) for result in results} == {(RETRY, "IM_INTERNAL_ERROR", 70500)}
    assert tencent.commands == [Command.MULTIACCOUNT_IMPORT]


@pytest.mark.parametrize("fields", [{"FailAccounts": "desk-1"}, {"FailAccounts": [1]}])
async def test_an_import_whose_answer_cannot_be_read(
    fields: dict[str, object], txim: Txim, tencent: TencentServer
) -> None:
    tencent.script(Command.MULTIACCOUNT_IMPORT, ok(**fields))
    results = await txim.send_all("desk-1", "desk-2")
    assert {told(result) for result in results} == {(RETRY, "IM_ANSWER_UNREADABLE", 0)}


async def test_importing_gives_a_new_nick(txim: Txim, tencent: TencentServer, database_url: str) -> None:
    await txim.import_account("desk-1", "Desk 1")
    await txim.import_account("desk-1", "Desk one")
    await txim.import_account("desk-2")
    assert tencent.bodies(Command.ACCOUNT_IMPORT) == [
        {"UserID": "desk-1", "Nick": "Desk 1"},
        {"UserID": "desk-1", "Nick": "Desk one"},
        {"UserID": "desk-2"},
    ]
    assert await rows(database_url) == {"desk-1": "Desk one", "desk-2": ""}
    await txim.send("desk-1")
    assert tencent.commands[-1] is Command.SEND_MSG


async def test_importing_many_names_those_that_failed(txim: Txim, tencent: TencentServer, database_url: str) -> None:
    tencent.script(Command.MULTIACCOUNT_IMPORT, ok(FailAccounts=["desk-2", "somebody-else"]))
    assert await txim.import_accounts("desk-1", "desk-2", "desk-3") == ["desk-2"]
    assert sorted(await rows(database_url)) == ["desk-1", "desk-3"]


async def test_importing_many_names_an_account_once(txim: Txim, tencent: TencentServer) -> None:
    with refused("INVALID_REQUEST") as caught:
        await txim.import_accounts("desk-1", "desk-1")
    assert [violation.field for violation in caught.value.violations] == ["accounts[1].account"]
    assert tencent.asked == []
