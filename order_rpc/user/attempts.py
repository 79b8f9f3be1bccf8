"""Counting who tries to log in as whom, so that guessing a password takes years."""

from __future__ import annotations

import hashlib

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from order_rpc.user import refusals, storage, tables
from order_rpc.user.domain import Attempts, User, after_attempt

_NEVER = Attempts(failed_count=0, locked_until_ms=0, kept_until_ms=0)


def attempt_as(user: User) -> str:
    """Name attempts to log in as a user, by whatever name."""
    return _sha256(f"user {user.user_id}")


def attempt_as_nobody(brand_id: int, login_key: str) -> str:
    """Name attempts to log in by what is nobody's name: counted and locked alike, so that a lock tells nothing."""
    return _sha256(f"nobody {brand_id} {login_key}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class LoginAttempts:
    """An attempt counts as failed from before its password is looked at until it is forgiven.

    So many at once get no more tries than one after the other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, login_sha256: str) -> None:
        """Count an attempt. Raises LOGIN_LOCKED."""
        if not await self._count_known(login_sha256):
            await self._insert(login_sha256)
            await self._count_known(login_sha256)

    @staticmethod
    async def forgive(connection: AsyncConnection, login_sha256: str) -> None:
        """Let attempts that led to the right password count no more."""
        await storage.write_attempts(connection, login_sha256, _NEVER)

    async def _count_known(self, login_sha256: str) -> bool:
        async with self._database.write() as connection:
            attempts = await storage.lock_attempts(connection, login_sha256)
            if attempts is None:
                return False
            now_ms = await self._database.now_ms(connection)
            if attempts.locked_until_ms > now_ms:
                raise refusals.login_locked(attempts.locked_until_ms - now_ms)
            await storage.write_attempts(connection, login_sha256, after_attempt(attempts, now_ms))
            return True

    async def _insert(self, login_sha256: str) -> None:
        # In a transaction of its own: two that insert one row and then lock it would each wait for the other.
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            await storage.prune_attempts(connection, now_ms)
            # Kept, so that nobody prunes it before it is counted on.
            row = storage.attempts_row(login_sha256, after_attempt(None, now_ms))
            await self._database.insert_ignore(connection, tables.login_attempt, [{**row, "failed_count": 0}])
