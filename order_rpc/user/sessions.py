"""Sessions: their tokens, and how they end."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.access_tokens import AccessTokens
from mesh.database import Database
from mesh.ids import IdAllocator
from order_rpc.user import refusals, storage
from order_rpc.user.domain import SESSIONS_MAX, Session, User

_TOKEN = re.compile(r"bmr_([1-9][0-9]{0,17})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})", re.ASCII)

log = telemetry.logger()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a user calls with."""

    access_token: str
    access_expires_at_ms: int
    refresh_token: str
    refresh_expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long tokens last."""

    access_ms: int
    refresh_ms: int


@dataclass(frozen=True, slots=True)
class _RefreshToken:
    """`bmr_<session id>.<what all tokens of the session have>.<what only this one has>`."""

    session_id: int
    secret: str
    own: str

    @property
    def text(self) -> str:
        return f"bmr_{self.session_id}.{self.secret}.{self.own}"


class Sessions:
    """The sessions of users. A session is a row while it stands."""

    def __init__(self, database: Database, ids: IdAllocator, access_tokens: AccessTokens, lifetimes: Lifetimes) -> None:
        self._database = database
        self._ids = ids
        self._access_tokens = access_tokens
        self._lifetimes = lifetimes

    async def allocate(self) -> int:
        """Answer the id of a session to begin, before the transaction that begins it."""
        return await self._ids.allocate(1)

    async def begin(self, connection: AsyncConnection, session_id: int, user: User) -> Tokens:
        """Begin a session of a user whom the caller locked. Sessions that are over, or too many, go."""
        now_ms = await self._database.now_ms(connection)
        known = await storage.list_sessions(connection, user.user_id)
        standing = [one.session_id for one in known if one.expires_at_ms > now_ms][: SESSIONS_MAX - 1]
        await storage.delete_sessions(connection, [one.session_id for one in known if one.session_id not in standing])
        token = _RefreshToken(session_id, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        expires_at_ms = now_ms + self._lifetimes.refresh_ms
        session = Session(
            session_id, user.brand_id, user.user_id, _sha256(token.secret), _sha256(token.own), expires_at_ms
        )
        await storage.insert_session(connection, session)
        return self._tokens(session, token, now_ms)

    async def refresh(self, brand_id: int, text: str) -> Tokens:
        """Answer new tokens for a session's latest refresh token; one used before ends it. Raises TOKEN_INVALID."""
        token = _read(text)
        async with self._database.write() as connection:
            session = await self._find(connection, brand_id, token)
            tokens = await self._rotate(connection, session, token) if session and token else None
        # Refused after the transaction: what ended the session stands.
        if tokens is None:
            raise refusals.token_invalid()
        return tokens

    async def end(self, brand_id: int, text: str) -> None:
        """End the session of a refresh token, be it the latest or one before it. One that is over stays so."""
        token = _read(text)
        async with self._database.write() as connection:
            session = await self._find(connection, brand_id, token)
            if session is not None:
                await storage.delete_sessions(connection, [session.session_id])

    @staticmethod
    async def _find(connection: AsyncConnection, brand_id: int, token: _RefreshToken | None) -> Session | None:
        """Find the session that a token was given out for, by the part that only its holders know."""
        session = await storage.lock_session(connection, token.session_id) if token else None
        if session is None or token is None or session.brand_id != brand_id:
            return None
        return session if hmac.compare_digest(session.secret_sha256, _sha256(token.secret)) else None

    async def _rotate(self, connection: AsyncConnection, session: Session, used: _RefreshToken) -> Tokens | None:
        now_ms = await self._database.now_ms(connection)
        token = _RefreshToken(session.session_id, used.secret, secrets.token_urlsafe(32))
        if session.expires_at_ms > now_ms and await storage.rotate_token(
            connection,
            session.session_id,
            used_sha256=_sha256(used.own),
            token_sha256=_sha256(token.own),
            expires_at_ms=now_ms + self._lifetimes.refresh_ms,
        ):
            return self._tokens(session, token, now_ms)
        if session.expires_at_ms > now_ms:
            # Its holder and somebody else have it, and nobody knows which is which.
            log.warning("a refresh token was used twice", brand_id=session.brand_id, user_id=session.user_id)
        await storage.delete_sessions(connection, [session.session_id])
        return None

    def _tokens(self, session: Session, token: _RefreshToken, now_ms: int) -> Tokens:
        # The claim is in whole seconds, and what is told of it is what it says.
        access_expires_at_ms = (now_ms + self._lifetimes.access_ms) // 1000 * 1000
        return Tokens(
            self._access_tokens.issue(session.brand_id, str(session.user_id), expires_at_ms=access_expires_at_ms),
            access_expires_at_ms,
            token.text,
            now_ms + self._lifetimes.refresh_ms,
        )


def _read(text: str) -> _RefreshToken | None:
    match = _TOKEN.fullmatch(text)
    return _RefreshToken(int(match[1]), match[2], match[3]) if match else None


def _sha256(secret: str) -> str:
    """Hash 256 random bits, which nobody finds by trying: a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()
