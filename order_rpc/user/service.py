"""Users: they register, log in and change their passwords. No transaction is open while a password is hashed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.errors import invalid_field
from mesh.ids import IdAllocator
from mesh.phones import normalise
from order_rpc.user import refusals, storage, tables
from order_rpc.user.attempts import LoginAttempts, attempt_as, attempt_as_nobody
from order_rpc.user.domain import User, name_key, normal_name, normal_password, refuse_name, refuse_password
from order_rpc.user.passwords import Passwords
from order_rpc.user.sessions import Sessions, Tokens


@dataclass(frozen=True, slots=True)
class Registration:
    """Who wants an account."""

    brand_id: int
    request_id: str
    user_name: str
    password: str
    user_mobile: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    user: User
    tokens: Tokens


class Users:
    """The users of brands. Another brand's user is not found."""

    def __init__(
        self, database: Database, ids: IdAllocator, passwords: Passwords, sessions: Sessions, attempts: LoginAttempts
    ) -> None:
        self._database = database
        self._ids = ids
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = attempts

    async def register(self, asked: Registration) -> LoggedIn:
        """Make an account; the same request finds what it made.

        Raises INVALID_REQUEST, PASSWORD_WEAK, USER_NAME_TAKEN, USER_MOBILE_TAKEN, KEY_REUSED, LOGIN_LOCKED, OVERLOADED.
        """
        wanted = _read(asked)
        async with self._database.read() as connection:
            known = await self._find_known(connection, wanted)
        # Before the hash, which costs so much more than to look.
        if known is None:
            return await self._create(wanted, asked.password)
        return await self._repeat(known, wanted, asked.password)

    async def log_in(self, brand_id: int, login: str, password: str) -> LoggedIn:
        """Answer tokens for a name or mobile number and its password. Raises LOGIN_WRONG, LOGIN_LOCKED, OVERLOADED."""
        mobile = normalise(login)
        login_key = mobile.e164 if mobile else name_key(login)
        user = None
        # What is nobody's name is not looked for: PostgreSQL takes no NUL.
        if mobile or not refuse_name(normal_name(login)):
            find = storage.read_user_of_mobile if mobile else storage.read_user_of_name
            async with self._database.read() as connection:
                user = await find(connection, brand_id, login_key)
        attempt = attempt_as(user) if user else attempt_as_nobody(brand_id, login_key)
        return await self._begin_session(user, password, attempt)

    async def get(self, brand_id: int, user_id: int) -> User:
        """Read a user. Raises USER_NOT_FOUND."""
        async with self._database.read() as connection:
            user = await storage.read_user(connection, brand_id, user_id)
        if user is None:
            raise refusals.user_not_found(user_id)
        return user

    async def change_password(self, brand_id: int, user_id: int, old_password: str, new_password: str) -> Tokens:
        """Change the password, and end all sessions for a new one; a repeat whose first answer was lost is another.

        Raises USER_NOT_FOUND, PASSWORD_WEAK, LOGIN_WRONG, LOGIN_LOCKED, OVERLOADED.
        """
        user = await self.get(brand_id, user_id)
        _check_password("new_password", new_password, user.user_name, user.user_mobile)
        attempt = attempt_as(user)
        try:
            await self._check(user, old_password, attempt)
        except refusals.LoginWrongError:
            # A repeat finds the new password to be the user's already.
            if not await self._passwords.is_right(user.user_password, normal_password(new_password)):
                raise
        user_password = await self._passwords.hash(normal_password(new_password))
        session_id = await self._sessions.allocate()
        async with self._database.write() as connection:
            await _lock_unchanged(connection, user)
            await storage.write_password(connection, user_id, user_password)
            await storage.delete_sessions_of(connection, user_id)
            await self._attempts.forgive(connection, attempt)
            return await self._sessions.begin(connection, session_id, user)

    async def _find_known(self, connection: AsyncConnection, wanted: User) -> User | None:
        """Find what the same request made. Raises USER_NAME_TAKEN, USER_MOBILE_TAKEN by another's.

        Each read may see what was committed since the one before, the same request's own account among it.
        """
        brand_id, request_id = wanted.brand_id, wanted.request_id
        known = await storage.read_user_of_request(connection, brand_id, request_id)
        if known is not None:
            return known
        named = await storage.read_user_of_name(connection, brand_id, wanted.user_name_key)
        if named is not None and named.request_id != request_id:
            raise refusals.name_taken()
        if named is None and wanted.user_mobile:
            reached = await storage.read_user_of_mobile(connection, brand_id, wanted.user_mobile)
            if reached is not None and reached.request_id != request_id:
                raise refusals.mobile_taken()
            return reached
        return named

    async def _create(self, wanted: User, password: str) -> LoggedIn:
        user_id, session_id = await self._ids.allocate(1), await self._sessions.allocate()
        user_password = await self._passwords.hash(normal_password(password))
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            row = storage.account_row(wanted) | {
                "user_id": user_id, "user_password": user_password, "user_reg_time_ms": now_ms,
            }  # fmt: skip
            await self._database.insert_ignore(connection, tables.account, [row])
            # Of several at once one has been written.
            known = await self._find_known(connection, wanted)
            if known is not None and known.user_id == user_id:
                return LoggedIn(known, await self._sessions.begin(connection, session_id, known))
        if known is None:
            raise RuntimeError("an account was not written, and none stands in its way")
        return await self._repeat(known, wanted, password)

    async def _repeat(self, known: User, wanted: User, password: str) -> LoggedIn:
        """Answer a request that was made before: whoever repeats it knows the password, and is logged in again."""
        if (known.user_name, known.user_mobile) != (wanted.user_name, wanted.user_mobile):
            raise refusals.key_reused(wanted.request_id)
        try:
            return await self._begin_session(known, password, attempt_as(known))
        except refusals.LoginWrongError:
            raise refusals.key_reused(wanted.request_id) from None

    async def _begin_session(self, user: User | None, password: str, attempt: str) -> LoggedIn:
        user = await self._check(user, password, attempt)
        session_id = await self._sessions.allocate()
        renewed = None
        if self._passwords.is_outdated(user.user_password):
            renewed = await self._passwords.hash(normal_password(password))
        async with self._database.write() as connection:
            await _lock_unchanged(connection, user)
            if renewed is not None:
                await storage.write_password(connection, user.user_id, renewed)
            await self._attempts.forgive(connection, attempt)
            return LoggedIn(user, await self._sessions.begin(connection, session_id, user))

    async def _check(self, user: User | None, password: str, attempt: str) -> User:
        """Raise LOGIN_WRONG unless the password is the user's. For nobody it takes as long.

        What is pushed back before its password is looked at is no attempt: else being busy would lock users out.
        """
        is_right = await self._passwords.is_right(
            user.user_password if user else None,
            normal_password(password),
            before=partial(self._attempts.count, attempt),
        )
        if user is None or not is_right:
            raise refusals.LoginWrongError
        return user


def _read(asked: Registration) -> User:
    """Read a registration as the account that it asks for. Raises INVALID_REQUEST, PASSWORD_WEAK."""
    user_name = normal_name(asked.user_name)
    mobile = normalise(asked.user_mobile) if asked.user_mobile else None
    if asked.user_mobile and mobile is None:
        raise invalid_field("user_mobile", "is not a valid mobile number: 11 digits for mainland China, or E.164")
    if fault := refuse_name(user_name):
        raise invalid_field("user_name", fault)
    if normalise(user_name):
        # It might be another user's, who logs in with it.
        raise invalid_field("user_name", "is a mobile number; give it as user_mobile and choose another name")
    user_mobile = mobile.e164 if mobile else None
    _check_password("password", asked.password, user_name, user_mobile)
    return User(
        user_id=0,
        brand_id=asked.brand_id,
        request_id=asked.request_id,
        user_name=user_name,
        user_name_key=name_key(user_name),
        user_password="",
        user_mobile=user_mobile,
        user_score=0,
        user_reg_time_ms=0,
    )


def _check_password(field: str, password: str, user_name: str, user_mobile: str | None) -> None:
    national = user_mobile.removeprefix("+86") if user_mobile else ""
    weaknesses = refuse_password(normal_password(password), names=(user_name, national))
    if weaknesses:
        raise refusals.password_weak(field, weaknesses)


async def _lock_unchanged(connection: AsyncConnection, user: User) -> None:
    """Raise LOGIN_WRONG when the password that was checked is the user's no more."""
    now = await storage.lock_user(connection, user.brand_id, user.user_id)
    if now is None or now.user_password != user.user_password:
        raise refusals.LoginWrongError
