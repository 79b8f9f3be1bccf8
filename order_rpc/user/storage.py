"""The queries of the user service. Every function takes a connection whose transaction the caller opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from order_rpc.user.domain import Attempts, Session, User
from order_rpc.user.tables import account, login_attempt, session

_PRUNED_MAX = 20
"""More than come in with the one row that each pruning follows."""


# Accounts.


def account_row(user: User) -> dict[str, object]:
    """Write an account as a row."""
    return {name: getattr(user, name) for name in User.__slots__}


async def read_user(connection: AsyncConnection, brand_id: int, user_id: int) -> User | None:
    """Read a user of a brand."""
    return await _read_user(connection, brand_id, account.c.user_id == user_id)


async def lock_user(connection: AsyncConnection, brand_id: int, user_id: int) -> User | None:
    """Read a user, and let nobody else change it or begin a session of it until the transaction ends."""
    return await _read_user(connection, brand_id, account.c.user_id == user_id, for_update=True)


async def read_user_of_request(connection: AsyncConnection, brand_id: int, request_id: str) -> User | None:
    """Read the user that a request made."""
    return await _read_user(connection, brand_id, account.c.request_id == request_id)


async def read_user_of_name(connection: AsyncConnection, brand_id: int, user_name_key: str) -> User | None:
    """Read the user with a name."""
    return await _read_user(connection, brand_id, account.c.user_name_key == user_name_key)


async def read_user_of_mobile(connection: AsyncConnection, brand_id: int, user_mobile: str) -> User | None:
    """Read the user with a mobile number."""
    return await _read_user(connection, brand_id, account.c.user_mobile == user_mobile)


async def _read_user(
    connection: AsyncConnection, brand_id: int, condition: sa.ColumnElement[bool], *, for_update: bool = False
) -> User | None:
    statement = sa.select(account).where(account.c.brand_id == brand_id, condition)
    row = (await connection.execute(statement.with_for_update() if for_update else statement)).one_or_none()
    return User(*row) if row else None


async def write_password(connection: AsyncConnection, user_id: int, user_password: str) -> None:
    """Keep another hash."""
    statement = sa.update(account).where(account.c.user_id == user_id).values(user_password=user_password)
    await connection.execute(statement)


# Sessions.


async def insert_session(connection: AsyncConnection, one: Session) -> None:
    """Begin a session."""
    await connection.execute(sa.insert(session).values({name: getattr(one, name) for name in Session.__slots__}))


async def lock_session(connection: AsyncConnection, session_id: int) -> Session | None:
    """Read a session, and let nobody else change it until the transaction ends."""
    statement = sa.select(session).where(session.c.session_id == session_id).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    return Session(*row) if row else None


async def list_sessions(connection: AsyncConnection, user_id: int) -> list[Session]:
    """Read the sessions of a user, newest first."""
    statement = sa.select(session).where(session.c.user_id == user_id).order_by(session.c.session_id.desc())
    return [Session(*row) for row in await connection.execute(statement)]


async def rotate_token(
    connection: AsyncConnection, session_id: int, *, used_sha256: str, token_sha256: str, expires_at_ms: int
) -> bool:
    """Put another token in the place of the one that is used; answer whether that was still the latest."""
    statement = (
        sa.update(session)
        .where(session.c.session_id == session_id, session.c.token_sha256 == used_sha256)
        .values(token_sha256=token_sha256, expires_at_ms=expires_at_ms)
    )
    return (await connection.execute(statement)).rowcount == 1


async def delete_sessions(connection: AsyncConnection, session_ids: Sequence[int]) -> None:
    """End sessions."""
    if session_ids:
        await connection.execute(sa.delete(session).where(session.c.session_id.in_(session_ids)))


async def delete_sessions_of(connection: AsyncConnection, user_id: int) -> None:
    """End all sessions of a user."""
    await connection.execute(sa.delete(session).where(session.c.user_id == user_id))


# Attempts.


def attempts_row(login_sha256: str, attempts: Attempts) -> dict[str, Any]:
    """Write attempts as a row."""
    return {"login_sha256": login_sha256, **{name: getattr(attempts, name) for name in Attempts.__slots__}}


async def lock_attempts(connection: AsyncConnection, login_sha256: str) -> Attempts | None:
    """Read attempts, and let nobody else count on until the transaction ends."""
    columns = [login_attempt.c[name] for name in Attempts.__slots__]
    statement = sa.select(*columns).where(login_attempt.c.login_sha256 == login_sha256).with_for_update()
    row = (await connection.execute(statement)).one_or_none()
    return Attempts(*row) if row else None


async def write_attempts(connection: AsyncConnection, login_sha256: str, attempts: Attempts) -> None:
    """Keep another count."""
    values = {name: getattr(attempts, name) for name in Attempts.__slots__}
    statement = sa.update(login_attempt).where(login_attempt.c.login_sha256 == login_sha256).values(values)
    await connection.execute(statement)


async def prune_attempts(connection: AsyncConnection, now_ms: int) -> None:
    """Forget some attempts that count no more."""
    is_over = login_attempt.c.kept_until_ms < now_ms
    statement = sa.select(login_attempt.c.login_sha256).where(is_over).limit(_PRUNED_MAX)
    over = sorted((await connection.execute(statement)).scalars())
    if over:
        await connection.execute(sa.delete(login_attempt).where(login_attempt.c.login_sha256.in_(over), is_over))
