"""Logging in: who is let in, what a guesser learns, and how long it has to wait."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters

from order_rpc.user import tables
from order_rpc.user.passwords import Passwords
from order_rpc.user.refusals import login_locked
from tests.order.user.harness import (
    OTHER_BRAND,
    OTHER_PASSWORD,
    PASSWORD,
    Accounts,
    outcomes,
    refused,
    running_accounts,
)


async def test_003_01_an_unknown_name_and_a_wrong_password_are_refused_alike(accounts: Accounts) -> None:
    await accounts.register("known", user_mobile="13800138000")
    told = [
        await refused("LOGIN_WRONG", accounts.log_in(name, password, brand_id))
        for name, password, brand_id in (
            ("known", OTHER_PASSWORD, 1001),
            ("13800138000", OTHER_PASSWORD, 1001),
            ("unknown", PASSWORD, 1001),
            ("13900139000", PASSWORD, 1001),
            ("no name at all!", PASSWORD, 1001),
            ("no\x00name", PASSWORD, 1001),
            ("known", PASSWORD, OTHER_BRAND),
        )
    ]
    assert len({(one.code, one.message, str(one.metadata)) for one in told}) == 1
    assert len(await accounts.sessions()) == 1


async def test_an_unknown_name_takes_the_time_of_a_hash(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash of the same parameters is looked at once, whether there is such a user or not."""
    looked_at: list[Parameters] = []
    verify = PasswordHasher.verify

    def note(hasher: PasswordHasher, kept: str, password: str) -> Any:
        looked_at.append(extract_parameters(kept))
        return verify(hasher, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", note)
    await accounts.register("known")
    for name in ("known", "unknown"):
        await refused("LOGIN_WRONG", accounts.log_in(name, OTHER_PASSWORD))
    known, unknown = looked_at
    assert known == unknown


@pytest.mark.parametrize("name", ["known", "unknown"])
async def test_attempts_are_locked_alike_whether_there_is_such_a_user(accounts: Accounts, name: str) -> None:
    await accounts.register("known")
    await accounts.failed_logins(name, 10)
    refusal = await refused("LOGIN_LOCKED", accounts.log_in(name))
    assert refusal.retry_after_seconds is not None
    assert 25 < refusal.retry_after_seconds <= 30
    assert (await accounts.register("another")).user.user_name == "another"


async def test_a_lock_is_over_in_time_and_doubles(accounts: Accounts) -> None:
    await accounts.register("known")
    await accounts.failed_logins("known", 10)
    for seconds in (60, 120, 240, 480, 900, 900):
        await accounts.set_all(tables.login_attempt, locked_until_ms=1)
        await accounts.failed_logins("known", 1)
        refusal = await refused("LOGIN_LOCKED", accounts.log_in("known"))
        assert refusal.retry_after_seconds is not None
        assert seconds - 5 < refusal.retry_after_seconds <= seconds
    await accounts.set_all(tables.login_attempt, locked_until_ms=1)
    assert await accounts.log_in("known")
    await accounts.failed_logins("known", 9)
    assert await accounts.log_in("known")


async def test_old_attempts_count_no_more(accounts: Accounts) -> None:
    await accounts.register("known")
    await accounts.failed_logins("known", 9)
    await accounts.set_all(tables.login_attempt, kept_until_ms=1)
    await accounts.failed_logins("known", 9)
    assert await accounts.log_in("known")


async def test_a_user_is_one_by_name_and_by_mobile_number(accounts: Accounts) -> None:
    await accounts.register("known", user_mobile="13800138000")
    await accounts.failed_logins("known", 5)
    await accounts.failed_logins("13800138000", 5)
    await refused("LOGIN_LOCKED", accounts.log_in("KNOWN"))


@pytest.mark.parametrize("spellings", [("13900139000", "+86 139-0013-9000"), ("Nobody", "nOB\uff4fDY")])
async def test_nobody_is_one_however_it_is_written_as_a_user_is(accounts: Accounts, spellings: tuple[str, str]) -> None:
    await accounts.failed_logins(spellings[0], 10)
    await refused("LOGIN_LOCKED", accounts.log_in(spellings[1]))


async def test_many_attempts_at_once_get_no_more_tries_than_one_after_the_other(accounts: Accounts) -> None:
    await accounts.register("known")
    _, reasons = await outcomes(*(accounts.log_in("known", OTHER_PASSWORD) for _ in range(40)))
    assert reasons.count("LOGIN_WRONG") == 10
    assert reasons.count("LOGIN_LOCKED") == 30


async def test_attempts_on_names_of_no_user_do_not_pile_up(accounts: Accounts) -> None:
    for number in range(15):
        await refused("LOGIN_WRONG", accounts.log_in(f"nobody-{number}"))
    await accounts.set_all(tables.login_attempt, kept_until_ms=1)
    await refused("LOGIN_WRONG", accounts.log_in("somebody"))
    assert len(await accounts.running.rows(tables.login_attempt)) == 1


async def test_a_hash_of_other_parameters_is_made_anew_by_the_next_login(tmp_path: Path) -> None:
    async with running_accounts(tmp_path) as accounts:
        await accounts.register("known")
        (before,) = await accounts.accounts()
        settings = accounts.running.settings
        url = settings.database_url
        async with running_accounts(tmp_path, database_url=url, password_memory_kib=16, password_rounds=2) as stronger:
            assert await stronger.log_in("known")
            (after,) = await stronger.accounts()
            assert "m=16,t=2" in after["user_password"]
            assert before["user_password"] != after["user_password"]
            assert await stronger.log_in("known")
            (still,) = await stronger.accounts()
            assert still == after
        assert await accounts.log_in("known")


@contextmanager
def passwords_behind_a_gate() -> Iterator[tuple[Passwords, threading.Event]]:
    """Passwords whose one thread is busy until the event is set."""
    with ThreadPoolExecutor(1) as executor:
        gate = threading.Event()
        executor.submit(gate.wait)
        try:
            yield Passwords(executor, memory_kib=8, rounds=1, at_once=1), gate
        finally:
            gate.set()


async def test_more_passwords_than_can_wait_are_pushed_back() -> None:
    with passwords_behind_a_gate() as (passwords, gate):
        tasks = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(40)]
        pushed_back, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert (len(pushed_back), len(waiting)) == (8, 32)
        gate.set()
        made, reasons = await outcomes(*tasks)
        assert (len(made), reasons) == (32, ["OVERLOADED"] * 8)
        assert await passwords.is_right(made[0], PASSWORD)


async def test_a_login_that_is_pushed_back_was_no_attempt(tmp_path: Path) -> None:
    slow: dict[str, int] = {"password_memory_kib": 19_456, "password_rounds": 2, "password_hashes_at_once": 1}
    async with running_accounts(tmp_path, **slow) as accounts:
        _, reasons = await outcomes(*(accounts.log_in(f"nobody-{number}") for number in range(80)))
        pushed_back = reasons.count("OVERLOADED")
        assert pushed_back
        # On a busy machine some may wait for longer than their callers do, counted or not.
        assert len(await accounts.running.rows(tables.login_attempt)) <= 80 - pushed_back


async def test_an_attempt_that_is_locked_leaves_its_place() -> None:
    async def refuse() -> None:
        raise login_locked(1000)

    with passwords_behind_a_gate() as (passwords, gate):
        for _ in range(40):
            await refused("LOGIN_LOCKED", passwords.is_right(None, PASSWORD, before=refuse))
        gate.set()
        assert await passwords.hash(PASSWORD)


async def test_a_caller_who_goes_leaves_its_place() -> None:
    with passwords_behind_a_gate() as (passwords, gate):
        for _ in range(4):
            tasks = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(32)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        gate.set()
        assert await passwords.hash(PASSWORD)
