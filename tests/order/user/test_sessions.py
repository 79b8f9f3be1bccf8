"""Tokens: how they follow each other, and what ends them."""

import pytest

from order_rpc.user import tables
from tests.order.user.harness import (
    OTHER_BRAND,
    OTHER_PASSWORD,
    PASSWORD,
    Accounts,
    outcomes,
    refused,
)


async def test_tokens_follow_each_other(accounts: Accounts) -> None:
    tokens = (await accounts.register("user")).tokens
    seen = {tokens.refresh_token}
    for _ in range(5):
        tokens = await accounts.refresh(tokens.refresh_token)
        seen.add(tokens.refresh_token)
        lasts_ms = tokens.refresh_expire_time.ToMilliseconds() - tokens.access_expire_time.ToMilliseconds()
        assert lasts_ms > 29 * 86_400_000
    assert len(seen) == 6
    assert len(await accounts.sessions()) == 1


async def test_a_refresh_token_that_is_used_twice_ends_its_session_and_no_other(accounts: Accounts) -> None:
    first = (await accounts.register("user")).tokens
    other = (await accounts.log_in("user")).tokens
    second = await accounts.refresh(first.refresh_token)
    await refused("TOKEN_INVALID", accounts.refresh(first.refresh_token))
    await refused("TOKEN_INVALID", accounts.refresh(second.refresh_token))
    assert await accounts.refresh(other.refresh_token)


async def test_of_many_who_use_one_refresh_token_at_once_one_wins_and_the_session_ends(accounts: Accounts) -> None:
    tokens = (await accounts.register("user")).tokens
    made, reasons = await outcomes(*(accounts.refresh(tokens.refresh_token) for _ in range(6)))
    assert (len(made), reasons) == (1, ["TOKEN_INVALID"] * 5)
    await refused("TOKEN_INVALID", accounts.refresh(made[0].refresh_token))
    assert await accounts.sessions() == []


async def test_a_token_that_was_never_given_out_ends_nothing(accounts: Accounts) -> None:
    tokens = (await accounts.register("user")).tokens
    head, secret, own = tokens.refresh_token.split(".")
    forged = "A" * 43
    for text in ("x", head, f"{head}.{forged}.{own}", f"bmr_1.{secret}.{own}", f"{tokens.refresh_token} "):
        await refused("TOKEN_INVALID", accounts.refresh(text))
    await refused("TOKEN_INVALID", accounts.refresh(tokens.refresh_token, OTHER_BRAND))
    await accounts.log_out(f"{head}.{forged}.{own}")
    await accounts.log_out(tokens.refresh_token, OTHER_BRAND)
    assert await accounts.refresh(tokens.refresh_token)


async def test_an_overdue_refresh_token_is_refused(accounts: Accounts) -> None:
    tokens = (await accounts.register("user")).tokens
    await accounts.set_all(tables.session, expires_at_ms=1)
    await refused("TOKEN_INVALID", accounts.refresh(tokens.refresh_token))
    assert await accounts.sessions() == []


async def test_logging_out_ends_the_session_and_a_repeat_changes_nothing(accounts: Accounts) -> None:
    tokens = (await accounts.register("user")).tokens
    other = (await accounts.log_in("user")).tokens
    for _ in range(2):
        await accounts.log_out(tokens.refresh_token)
    await accounts.log_out("never given out")
    await refused("TOKEN_INVALID", accounts.refresh(tokens.refresh_token))
    assert await accounts.refresh(other.refresh_token)


async def test_logging_out_with_a_used_token_ends_the_session_too(accounts: Accounts) -> None:
    first = (await accounts.register("user")).tokens
    second = await accounts.refresh(first.refresh_token)
    await accounts.log_out(first.refresh_token)
    await refused("TOKEN_INVALID", accounts.refresh(second.refresh_token))


async def test_a_user_has_so_many_sessions_and_the_oldest_goes(accounts: Accounts) -> None:
    oldest = (await accounts.register("user")).tokens
    second = (await accounts.log_in("user")).tokens
    for _ in range(19):
        await accounts.log_in("user")
    assert len(await accounts.sessions()) == 20
    await refused("TOKEN_INVALID", accounts.refresh(oldest.refresh_token))
    assert await accounts.refresh(second.refresh_token)


async def test_sessions_that_are_over_go_with_the_next_login(accounts: Accounts) -> None:
    await accounts.register("user")
    await accounts.set_all(tables.session, expires_at_ms=1)
    await accounts.log_in("user")
    assert len(await accounts.sessions()) == 1


async def test_a_change_of_password_ends_all_sessions_but_its_own(accounts: Accounts) -> None:
    made = await accounts.register("user")
    other = (await accounts.log_in("user")).tokens
    tokens = await accounts.change_password(made.user.user_id, PASSWORD, OTHER_PASSWORD)
    for ended in (made.tokens, other):
        await refused("TOKEN_INVALID", accounts.refresh(ended.refresh_token))
    assert await accounts.refresh(tokens.refresh_token)
    await refused("LOGIN_WRONG", accounts.log_in("user", PASSWORD))
    assert await accounts.log_in("user", OTHER_PASSWORD)


async def test_a_change_of_password_that_is_refused_changes_nothing(accounts: Accounts) -> None:
    made = await accounts.register("user-17")
    before = await accounts.accounts()
    user_id = made.user.user_id
    await refused("LOGIN_WRONG", accounts.change_password(user_id, OTHER_PASSWORD, "an-Other-one-3"))
    await refused("PASSWORD_WEAK", accounts.change_password(user_id, PASSWORD, "user-17-17"), "new_password")
    await refused("INVALID_REQUEST", accounts.change_password(user_id, PASSWORD, "short"), "new_password")
    await refused("USER_NOT_FOUND", accounts.change_password(user_id, PASSWORD, OTHER_PASSWORD, OTHER_BRAND))
    assert await accounts.accounts() == before
    assert await accounts.refresh(made.tokens.refresh_token)


async def test_a_change_of_password_is_no_way_to_guess_it(accounts: Accounts) -> None:
    user_id = (await accounts.register("user")).user.user_id
    for _ in range(10):
        await refused("LOGIN_WRONG", accounts.change_password(user_id, OTHER_PASSWORD, "an-Other-one-3"))
    await refused("LOGIN_LOCKED", accounts.change_password(user_id, PASSWORD, "an-Other-one-3"))


async def test_a_change_of_password_whose_answer_was_lost_can_be_repeated(accounts: Accounts) -> None:
    user_id = (await accounts.register("user")).user.user_id
    lost = await accounts.change_password(user_id, PASSWORD, OTHER_PASSWORD)
    tokens = await accounts.change_password(user_id, PASSWORD, OTHER_PASSWORD)
    await refused("TOKEN_INVALID", accounts.refresh(lost.refresh_token))
    assert await accounts.refresh(tokens.refresh_token)
    assert await accounts.log_in("user", OTHER_PASSWORD)
    await refused("LOGIN_WRONG", accounts.change_password(user_id, PASSWORD, "an-Other-one-3"))


async def test_no_session_of_the_old_password_outlives_the_change(accounts: Accounts) -> None:
    user_id = (await accounts.register("user")).user.user_id
    changing = accounts.change_password(user_id, PASSWORD, OTHER_PASSWORD)
    made, reasons = await outcomes(changing, *(accounts.log_in("user", PASSWORD) for _ in range(8)))
    assert set(reasons) <= {"LOGIN_WRONG"}
    (session,) = await accounts.sessions()
    assert session["session_id"]
    assert len(made) + len(reasons) == 9


@pytest.mark.parametrize("rounds", range(3))
async def test_of_two_changes_of_password_at_once_one_wins(accounts: Accounts, rounds: int) -> None:
    user_id = (await accounts.register(f"user-{rounds}")).user.user_id
    news = ["an-Other-one-3", "yet-Another-one-4"]
    made, reasons = await outcomes(*(accounts.change_password(user_id, PASSWORD, new) for new in news))
    assert (len(made), reasons) == (1, ["LOGIN_WRONG"])
    assert len(await accounts.sessions()) == 1
