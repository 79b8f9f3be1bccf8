"""Hashes of passwords, made in a few threads: each takes tens of milliseconds of a core, and memory on purpose."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from mesh.errors import overloaded

Answer = TypeVar("Answer")

_WAITING_FOR_EACH = 32
"""Passwords that may wait for one thread: about a second of work. One more is pushed back."""


class Passwords:
    """Argon2id. Hashes carry their parameters, so that these may change."""

    def __init__(self, executor: Executor, *, memory_kib: int, rounds: int, at_once: int) -> None:
        """`executor` has `at_once` threads, which take so often `memory_kib` of memory at most."""
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())
        self._executor = executor
        self._places = threading.BoundedSemaphore(at_once * _WAITING_FOR_EACH)

    async def hash(self, password: str) -> str:
        """Make a hash to keep. Raises OVERLOADED."""
        return await self._run(lambda: self._hasher.hash(password))

    async def is_right(
        self, user_password: str | None, password: str, *, before: Callable[[], Awaitable[None]] | None = None
    ) -> bool:
        """Whether a password is that of a hash; None is nobody's, which takes as long.

        `before` is done once it is sure that the password will be looked at. Raises what that raises, and OVERLOADED.
        """
        return await self._run(lambda: self._verify(user_password or self._nobodys, password), before)

    def is_outdated(self, user_password: str) -> bool:
        """Whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(user_password)

    def _verify(self, user_password: str, password: str) -> bool:
        try:
            return self._hasher.verify(user_password, password)
        except VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], Answer], before: Callable[[], Awaitable[None]] | None = None) -> Answer:
        if not self._places.acquire(blocking=False):
            raise overloaded("the check of passwords")
        try:
            if before is not None:
                await before()
            future = self._executor.submit(work)
        except BaseException:
            self._places.release()
            raise
        # A thread goes on when its caller has gone, and holds its place for as long.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)
