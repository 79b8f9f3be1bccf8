"""Telling from an Authorization header whose request it is."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

from gateway.keys.domain import ApiKey, key_id_of
from gateway.keys.storage import find_key
from gateway.refusals import credential_refused, key_missing
from mesh.database import Database

SCHEME = "bearer "
_LOCKS = 64


class KeyRing:
    """Finds keys in the database and remembers them for a few seconds.

    That is how long a revoked key may still work. Ids that do not exist are remembered as well, so that a caller with
    a wrong key costs no query a request. What is remembered is bounded; the oldest goes first.
    """

    def __init__(self, database: Database, *, cache_seconds: float, cache_keys_max: int = 10_000) -> None:
        self._database = database
        self._cache_seconds = cache_seconds
        self._cache_keys_max = cache_keys_max
        self._cache: OrderedDict[str, tuple[ApiKey | None, float]] = OrderedDict()
        # Requests that miss the same key wait for one query.
        self._locks = [asyncio.Lock() for _ in range(_LOCKS)]

    async def authenticate(self, authorization: Sequence[str]) -> ApiKey:
        """Answer the key of a request with these Authorization headers.

        Raises KEY_MISSING, KEY_INVALID or KEY_EXPIRED as ProblemError, and UNAVAILABLE as DomainError when the
        database is away: a key that cannot be checked is not let in.
        """
        if not authorization:
            raise key_missing()
        text = authorization[0]
        if len(authorization) > 1 or not text.lower().startswith(SCHEME):
            raise credential_refused("KEY_INVALID", "send one Authorization header: Bearer <key>")
        text = text[len(SCHEME) :].strip()
        key_id = key_id_of(text)
        key = await self._find(key_id) if key_id else None
        if key is None or not key.is_text(text) or key.revoked_at_ms is not None:
            raise credential_refused("KEY_INVALID", "this API key is not known or was revoked")
        if key.is_expired(time.time_ns() // 1_000_000):
            raise credential_refused("KEY_EXPIRED", "this API key's time is over; ask for a new one")
        return key

    async def _find(self, key_id: str) -> ApiKey | None:
        remembered = self._cache.get(key_id)
        if remembered is not None and remembered[1] > time.monotonic():
            return remembered[0]
        async with self._locks[hash(key_id) % _LOCKS]:
            remembered = self._cache.get(key_id)
            if remembered is not None and remembered[1] > time.monotonic():
                return remembered[0]
            async with self._database.read() as connection:
                key = await find_key(connection, key_id)
            self._remember(key_id, key)
            return key

    def _remember(self, key_id: str, key: ApiKey | None) -> None:
        self._cache[key_id] = (key, time.monotonic() + self._cache_seconds)
        self._cache.move_to_end(key_id)
        while len(self._cache) > self._cache_keys_max:
            self._cache.popitem(last=False)
