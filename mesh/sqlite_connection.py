"""aiosqlite, less its detour through a thread for statements that take microseconds.

A hop to the driver's thread and back costs some 100 us and two hand-overs of the interpreter's lock; a statement by
primary key takes 5. What may take long still goes to the thread: BEGIN, which waits for the write lock; COMMIT, which
waits for the disk; and many rows at once.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import aiosqlite

VALUES_AT_ONCE_MAX = 10_000
"""Values that one call may write in the event loop: some 1,000 rows, in 1 ms.

To have them written by the thread would free nobody: it gives up the interpreter's lock for each statement, and has it
back before the loop has noticed. The loop stands still until all are written, and for the two hand-overs besides.
"""


class _FileConnection(sqlite3.Connection):
    """A connection that gives up its transaction when it is closed.

    SQLite by itself keeps a closed connection, and the write lock with it, until the last statement is forgotten: those
    of a cancelled caller live in its traceback, for as long as the garbage collector takes its time.
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


class LoopConnection(aiosqlite.Connection):
    """A connection whose short statements run in the event loop itself. One transaction uses it at a time.

    A caller that is cancelled leaves its call to the thread. Until that is done, whatever follows queues behind it:
    SQLite's library crashes when one thread closes a connection that another one works on.
    """

    def __init__(self, open_file: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(open_file, iter_chunk_size=64)
        # A deque, because the loop fills it and the thread empties it.
        self._in_thread: deque[None] = deque()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        if not self._in_thread and not _may_take_long(fn.__name__, args):
            return fn(*args, **kwargs)

        def call() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                self._in_thread.pop()

        self._in_thread.append(None)
        return await super()._execute(call)  # type: ignore[no-untyped-call]  # aiosqlite's gap


def _may_take_long(name: str, arguments: Sequence[Any]) -> bool:
    match name:
        case "execute":
            return str(arguments[0]).startswith("BEGIN")
        case "executemany":
            return sum(map(len, arguments[1])) > VALUES_AT_ONCE_MAX
        case "cursor" | "fetchall" | "close" | "rollback":
            return False
    return True


async def connect(path: str, lock_timeout_seconds: float) -> LoopConnection:
    """Open a database file. Nothing but BEGIN below starts a transaction."""

    def open_file() -> sqlite3.Connection:
        return sqlite3.connect(
            path,
            timeout=lock_timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=_FileConnection,
        )

    connection = LoopConnection(open_file)
    connection._thread.daemon = True  # noqa: SLF001  # as SQLAlchemy does: a forgotten one must not keep the process
    await connection
    return connection
