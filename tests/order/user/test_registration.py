"""Making accounts: what is refused, what is taken, and that it happens once."""

import asyncio
from typing import Any

import pytest

from tests.order.user.harness import BRAND, OTHER_BRAND, OTHER_PASSWORD, PASSWORD, Accounts, outcomes, refused


async def test_003_01_a_user_registers_and_is_logged_in(accounts: Accounts) -> None:
    made = await accounts.register("小李.Li-7", user_mobile="138 0013 8000")
    assert (made.user.user_name, made.user.user_mobile, made.user.user_score) == ("小李.Li-7", "+8613800138000", 0)
    assert made.user.user_reg_time.ToMilliseconds() > 1_700_000_000_000
    assert await accounts.get(made.user.user_id) == made.user
    token = accounts.read(made.tokens.access_token)
    assert (token.brand_id, token.user_id) == (BRAND, made.user.user_id)
    assert await accounts.refresh(made.tokens.refresh_token)
    assert (await accounts.log_in("小李.li-7")).user == made.user
    assert (await accounts.log_in("+86 13800138000")).user == made.user


async def test_nothing_secret_is_stored_as_it_is(accounts: Accounts) -> None:
    made = await accounts.register("keeper")
    (row,), (session,) = await accounts.accounts(), await accounts.sessions()
    assert row["user_password"].startswith("$argon2id$")
    stored = repr((row, session))
    assert PASSWORD not in stored
    assert not any(part in stored for part in made.tokens.refresh_token.split(".")[1:])


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"user_name": "x"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "with space"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "a\u200bb"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "<script>"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "-._"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "\ufdfa" * 10}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "\ufb03" * 64}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "13800138000"}, "INVALID_REQUEST", "user_name"),
        ({"user_name": "138-0013-8000"}, "INVALID_REQUEST", "user_name"),
        ({"user_mobile": "12345"}, "INVALID_REQUEST", "user_mobile"),
        ({"user_mobile": "010-12345678"}, "INVALID_REQUEST", "user_mobile"),
        ({"request_id": ""}, "INVALID_REQUEST", "request_id"),
        ({"brand_id": 0}, "INVALID_REQUEST", "brand_id"),
        ({"password": "Short-1"}, "INVALID_REQUEST", "password"),
        ({"password": "x" * 129}, "INVALID_REQUEST", "password"),
        ({"password": "Password123"}, "PASSWORD_WEAK", "password"),
        ({"password": "abcabcabcabc"}, "PASSWORD_WEAK", "password"),
        ({"password": "ABCDEFGHIJ"}, "PASSWORD_WEAK", "password"),
        ({"password": "hgfedcba"}, "PASSWORD_WEAK", "password"),
        ({"password": "I-am-Newcomer"}, "PASSWORD_WEAK", "password"),
        ({"password": "my13800138000", "user_mobile": "13800138000"}, "PASSWORD_WEAK", "password"),
    ],
)
async def test_003_01_a_bad_registration_is_refused_by_field_and_writes_nothing(
    accounts: Accounts, fields: dict[str, Any], reason: str, field: str
) -> None:
    refusal = await refused(reason, accounts.register(**{"user_name": "newcomer", **fields}), field)
    assert refusal.violations[0].description
    assert await accounts.accounts() == []


async def test_a_weak_password_is_told_all_that_is_wrong_with_it(accounts: Accounts) -> None:
    refusal = await refused("PASSWORD_WEAK", accounts.register("aaaa", password="aaaaaaaa"), "password")
    assert [violation.description for violation in refusal.violations] == [
        "has less than 5 different characters",
        "holds the user's name or mobile number",
    ]


@pytest.mark.parametrize("again", ["Straße", "STRASSE", "strasse", "\uff33trasse"])
async def test_003_01_a_name_that_looks_the_same_is_taken(accounts: Accounts, again: str) -> None:
    await accounts.register("straSSe")
    await refused("USER_NAME_TAKEN", accounts.register(again), "user_name")
    assert len(await accounts.accounts()) == 1


async def test_names_that_differ_by_an_accent_are_two(accounts: Accounts) -> None:
    await accounts.register("rene")
    await accounts.register("rené")
    assert len(await accounts.accounts()) == 2


async def test_003_01_a_mobile_number_is_taken_however_it_is_written(accounts: Accounts) -> None:
    await accounts.register("first", user_mobile="13800138000")
    await refused("USER_MOBILE_TAKEN", accounts.register("second", user_mobile="+86 138-0013-8000"), "user_mobile")
    assert len(await accounts.accounts()) == 1


async def test_brands_have_users_of_their_own(accounts: Accounts) -> None:
    one = await accounts.register("same", user_mobile="13800138000", request_id="same")
    other = await accounts.register("same", user_mobile="13800138000", request_id="same", brand_id=OTHER_BRAND)
    assert one.user.user_id != other.user.user_id
    await refused("USER_NOT_FOUND", accounts.get(one.user.user_id, OTHER_BRAND))
    await refused("USER_NOT_FOUND", accounts.get("404"))


async def test_a_repeat_answers_the_same_user_and_makes_no_other(accounts: Accounts) -> None:
    first = await accounts.register("twice", request_id="once")
    again = await accounts.register("twice", request_id="once")
    assert again.user == first.user
    assert accounts.read(again.tokens.access_token).user_id == first.user.user_id
    assert len(await accounts.accounts()) == 1


@pytest.mark.parametrize(
    "changed", [{"user_name": "other"}, {"password": OTHER_PASSWORD}, {"user_mobile": "13800138000"}]
)
async def test_a_repeat_with_another_body_is_refused(accounts: Accounts, changed: dict[str, Any]) -> None:
    await accounts.register("twice", request_id="once")
    await refused("KEY_REUSED", accounts.register(**{"user_name": "twice", "request_id": "once", **changed}))
    assert len(await accounts.accounts()) == 1


async def test_repeats_are_no_way_to_guess_a_password(accounts: Accounts) -> None:
    await accounts.register("twice", request_id="once")
    for _ in range(10):
        await refused("KEY_REUSED", accounts.register("twice", request_id="once", password=OTHER_PASSWORD))
    await refused("LOGIN_LOCKED", accounts.register("twice", request_id="once", password=OTHER_PASSWORD))
    await refused("LOGIN_LOCKED", accounts.log_in("twice"))


async def test_003_01_of_many_who_want_one_name_at_once_one_gets_it(accounts: Accounts) -> None:
    made, reasons = await outcomes(*(accounts.register("wanted") for _ in range(20)))
    assert len(made) == 1
    assert reasons == ["USER_NAME_TAKEN"] * 19
    assert [row["user_id"] for row in await accounts.accounts()] == [int(made[0].user.user_id)]
    assert len(await accounts.sessions()) == 1


async def test_of_many_who_want_one_mobile_number_at_once_one_gets_it(accounts: Accounts) -> None:
    calls = (accounts.register(f"user-{number}", user_mobile="13800138000") for number in range(10))
    made, reasons = await outcomes(*calls)
    assert (len(made), reasons) == (1, ["USER_MOBILE_TAKEN"] * 9)
    assert len(await accounts.accounts()) == 1


async def test_one_request_made_many_times_at_once_makes_one_user(accounts: Accounts) -> None:
    made, reasons = await outcomes(*(accounts.register("eager", request_id="once") for _ in range(8)))
    assert reasons == []
    assert len({one.user.user_id for one in made}) == 1
    assert len(await accounts.accounts()) == 1


async def test_a_caller_who_goes_leaves_an_account_or_none_and_a_repeat_finds_it(accounts: Accounts) -> None:
    for pause_seconds in (0.0, 0.001, 0.003, 0.01, 0.03):
        request_id = f"gone-{pause_seconds}"
        task = asyncio.create_task(accounts.register(f"gone-{pause_seconds}", request_id=request_id))
        await asyncio.sleep(pause_seconds)
        task.cancel()
        await asyncio.wait([task])
        again = await accounts.register(f"gone-{pause_seconds}", request_id=request_id)
        assert again.user.user_name == f"gone-{pause_seconds}"
    assert len(await accounts.accounts()) == 5
