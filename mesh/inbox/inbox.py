"""A waiting room for what must be answered at once and handled soon: webhooks push, consumers take it from there.

It is several Redis lists, one chosen at random for each push, so that consumers share the work list by list. A consumer
holds a fenced lease on a list while it handles the first items of it; they leave the list only once they are handled.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import grpc
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import DomainError, overloaded
from mesh.inbox.item import InboxItem
from mesh.redis_connection import is_unavailable
from mesh.redis_script import LuaScript

LENGTH_MAX = 100_000
"""Items that one list may hold; beyond that the sender has to come again."""

_PACKAGE = "mesh.inbox"
_PUSH = LuaScript.from_files(_PACKAGE, "push.lua")
_CLAIM = LuaScript.from_files(_PACKAGE, "claim.lua", frees_memory=True)
_RENEW = LuaScript.from_files(_PACKAGE, "renew.lua")
_SETTLE = LuaScript.from_files(_PACKAGE, "settle.lua", frees_memory=True)


@dataclass(frozen=True, slots=True)
class InboxDepth:
    """Items that wait for a consumer, being handled or not, and items that wait to be tried again."""

    waiting: int
    later: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The first items of a list, and the token of the lease that covers them."""

    shard: int
    token: str
    items: Sequence[InboxItem]


class Inbox:
    """`shards` lists of name `name`, each bounded by `length_max`. The client is the caller's to close."""

    def __init__(self, redis: Redis, name: str, shards: int, length_max: int = LENGTH_MAX) -> None:
        self.name = name
        self.shards = shards
        self.wake_channel = f"inbox:{name}:wake"
        self.redis = redis
        self._length_max = length_max

    async def push(self, *bodies: bytes) -> None:
        """Append items, all or none, to one of the lists.

        Raises `DomainError`: RESOURCE_EXHAUSTED when the list is full, UNAVAILABLE when Redis cannot be reached or
        takes nothing now; either way the sender should send again, and what it sends twice is handled twice.
        """
        shard = secrets.randbelow(self.shards)
        items = [InboxItem.new(body).encode() for body in bodies]
        try:
            taken = await _PUSH.run(
                self.redis, self._keys(shard)[:2], (self.wake_channel, shard, self._length_max, *items)
            )
        except RedisError as error:
            if not is_unavailable(error):
                raise
            message = f"inbox {self.name} takes nothing now, send again"
            raise DomainError(grpc.StatusCode.UNAVAILABLE, "INBOX_UNAVAILABLE", message) from error
        if not taken:
            raise overloaded(f"inbox {self.name}")

    async def depth(self) -> InboxDepth:
        """Count over all lists."""
        waiting = later = 0
        for shard in range(self.shards):
            items_key, later_key, _ = self._keys(shard)
            waiting += await self.redis.llen(items_key)
            later += await self.redis.zcard(later_key)
        return InboxDepth(waiting, later)

    async def claim(self, shard: int, items_max: int, lease_seconds: float) -> Claim | None:
        """Take the lease of a list and show its first items; None if it is empty or another has the lease."""
        token = secrets.token_hex(16)
        reply = await _CLAIM.run(self.redis, self._keys(shard), (token, _milliseconds(lease_seconds), items_max))
        encoded = cast("list[bytes]", reply)
        if not encoded:
            return None
        return Claim(shard, token, [InboxItem.decode(item) for item in encoded])

    async def renew(self, claim: Claim, lease_seconds: float) -> bool:
        """Hold a lease for `lease_seconds` from now; answer whether it was still held."""
        lease_key = self._keys(claim.shard)[2]
        return bool(await _RENEW.run(self.redis, [lease_key], (claim.token, _milliseconds(lease_seconds))))

    async def settle(self, claim: Claim, again: Sequence[tuple[float, InboxItem]]) -> bool:
        """Take the claimed items off their list and let go of it; those in `again` go back after that many seconds.

        Answers whether the lease was still held. If not, nothing has changed, and the items are handled again.
        """
        pairs = [part for seconds, item in again for part in (_milliseconds(seconds), item.encode())]
        settled = await _SETTLE.run(self.redis, self._keys(claim.shard), (claim.token, len(claim.items), *pairs))
        return bool(settled)

    def _keys(self, shard: int) -> list[str]:
        tag = f"{{inbox:{self.name}:{shard}}}"
        return [f"{tag}:items", f"{tag}:later", f"{tag}:lease"]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
