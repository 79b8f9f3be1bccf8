"""Lua scripts that the server may forget and is then told again, one at a time or many at once."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import NamedTuple, TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import (
    ConnectionError,  # noqa: A004  # redis-py names it so
    NoScriptError,
    RedisError,
)

from mesh.coalesce import Coalescer
from mesh.errors import DomainError

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "int | bytes | list[Reply] | None"


class LuaScript:
    """One script, called by its hash.

    A server that does not know the hash (restarted, flushed, failed over) gets the source along with the call.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def from_files(cls, package: str, *names: str, frees_memory: bool = False) -> LuaScript:
        """Read a script from the Lua files of a package, the first ones being its head.

        A server that is out of memory refuses scripts that write, except those said to free memory in the end.
        """
        folder = files(package) / "lua"
        source = "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
        return cls("#!lua flags=allow-oom\n" + source if frees_memory else source)

    async def run(self, redis: Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """Run it as one step that no other command comes between."""
        try:
            return await self._call(redis.evalsha(self.sha, len(keys), *keys, *arguments))
        except NoScriptError:
            return await self._call(redis.eval(self.source, len(keys), *keys, *arguments))

    @staticmethod
    async def _call(reply: Awaitable[object]) -> Reply:
        return cast("Reply", await reply)


_TOGETHER_MAX = 256
_PENDING_MAX = 20_000
_IN_FLIGHT_MAX = 2


class _Call(NamedTuple):
    script: LuaScript
    keys: Sequence[str]
    arguments: Sequence[Argument]


class JointScripts:
    """Runs scripts for many callers: those called while others are under way go to the server in one write.

    A call by itself costs the client three times as much as one among others (some 60 us), and the server, which syncs
    its file before it answers, a sync. Scripts of one caller run in the order in which it calls them, with those of
    others in between.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._coalescer: Coalescer[_Call, Reply] = Coalescer(
            self._run_all,
            name=name,
            batch_max=_TOGETHER_MAX,
            pending_max=_PENDING_MAX,
            in_flight_max=_IN_FLIGHT_MAX,
        )

    async def run(self, script: LuaScript, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        """Run a script as one step that no other command comes between. Raises RedisError."""
        try:
            return await self._coalescer.submit(_Call(script, keys, arguments))
        except DomainError as error:
            raise ConnectionError(error.message) from error

    async def close(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._coalescer.close()

    async def _run_all(self, calls: Sequence[_Call]) -> Sequence[Reply | BaseException]:
        try:
            replies = await self._send("EVALSHA", [(call.script.sha, call) for call in calls])
            forgotten = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            told = await self._send("EVAL", [(calls[place].script.source, calls[place]) for place in forgotten])
        except RedisError as error:
            return [error] * len(calls)
        for place, reply in zip(forgotten, told, strict=True):
            replies[place] = reply
        return replies

    async def _send(self, command: str, calls: Sequence[tuple[str, _Call]]) -> list[Reply | BaseException]:
        pipeline = self._redis.pipeline(transaction=False)
        for script, (_, keys, arguments) in calls:
            pipeline.execute_command(command, script, len(keys), *keys, *arguments)
        return cast("list[Reply | BaseException]", await pipeline.execute(raise_on_error=False))
