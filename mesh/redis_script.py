"""Lua scripts that the server may forget and is then told again."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import TypeAlias, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "int | bytes | list[Reply] | None"


class LuaScript:
    """One script, called by its hash.

    A server that does not know the hash (restarted, flushed, failed over) gets the source along with the call.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

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
            return await self._call(redis.evalsha(self._sha, len(keys), *keys, *arguments))
        except NoScriptError:
            return await self._call(redis.eval(self._source, len(keys), *keys, *arguments))

    @staticmethod
    async def _call(reply: Awaitable[object]) -> Reply:
        return cast("Reply", await reply)
