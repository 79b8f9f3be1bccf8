"""Who is admitted: decided in Redis, many at a time and one after the other, before anything is written.

The rows are the truth, and check everything again. What Redis has of a sale is read from its rows when it has nothing,
and only keeps those away from the database who would get nothing there. All keys of a sale have one hash tag.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, cast

import grpc
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mesh.errors import DomainError
from mesh.redis_connection import is_unavailable
from mesh.redis_script import Argument, LuaScript, Reply
from order_rpc.flash_sale.domain import FlashSale, Refusal

KEPT_AFTER_END_MS = 3_600_000
"""How long Redis knows a sale beyond its end, and one that had ended when it was read."""

KEPT_MS_MAX = 86_400_000
"""How long Redis knows a sale at most. Who wants something of it then has it read anew; what nobody wants goes."""

_PACKAGE = "order_rpc.flash_sale"
_ADMIT = LuaScript.from_files(_PACKAGE, "admit.lua")
_SETTLE = LuaScript.from_files(_PACKAGE, "settle.lua")
_LOAD = LuaScript.from_files(_PACKAGE, "load.lua")
_LOOK = LuaScript.from_files(_PACKAGE, "look.lua")

_SEEN = 9
_CALL_BYTES = 6


class Verdict(StrEnum):
    """What Redis says of a request, apart from refusals."""

    ADMITTED = "ADMITTED"  # next: its row is written, or it is settled otherwise
    SEEN = "SEEN"  # the request came before: its row says what became of it


_VERDICTS: dict[int, Verdict | Refusal] = {0: Verdict.ADMITTED, _SEEN: Verdict.SEEN, **{one: one for one in Refusal}}


class Outcome(StrEnum):
    """What became of something that was admitted."""

    KEPT = "kept"  # its row holds one of the stock
    KNOWN = "known"  # its row holds none
    UNDONE = "undone"  # there is no row
    LIMIT = "limit"  # there is no row, for others have reached the limit of its user
    GONE = "gone"  # there is no row, for others have taken all there was


class Settled(NamedTuple):
    user_id: int
    request_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """What Redis has of a sale. `old` are (user_id, request_id) that were admitted long ago and never settled."""

    version: str
    revision: int
    left_number: int
    pending_count: int
    old: Sequence[tuple[int, str]]


class Admission:
    """The part of flash sales that is in Redis. Each call may raise ADMISSION_UNAVAILABLE."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def admit(
        self, brand_id: int, flash_sale_id: int, requests: Sequence[tuple[int, str]]
    ) -> list[Verdict | Refusal] | None:
        """Decide over up to 1,000 (user_id, request_id), in order; None when the sale is not known here."""
        # A connection that breaks is made anew, and the call with it: what it admitted the first time stays admitted.
        call = secrets.token_urlsafe(_CALL_BYTES)
        # As one text: the client and the server would look at each of many arguments by itself.
        lines = "\n".join([f"{user_id} {request_id}" for user_id, request_id in requests])
        reply = await self._run(_ADMIT, flash_sale_id, [brand_id, lines, call])
        return None if reply is None else [_VERDICTS[int(cast("int", code))] for code in cast("list[Reply]", reply)]

    async def settle(self, flash_sale_id: int, settled: Sequence[Settled]) -> None:
        """Note what became of those that were admitted. A repeat changes nothing."""
        if settled:
            await self._run(_SETTLE, flash_sale_id, [part for one in settled for part in one])

    async def load(
        self,
        sale: FlashSale,
        holding: Sequence[tuple[int, str]],
        now_ms: int,
        *,
        version: str = "",
        may_be_new: bool = True,
    ) -> bool:
        """Take a sale from its rows, as they were at `now_ms` of their database; answer whether it was taken.

        `holding` are (user_id, request_id) that hold one of the stock. What is here already stays, unless it is of an
        older revision, or still of the `version` given. A sale that is not here is taken only if it `may_be_new`.
        """
        kept_ms = min(max(sale.end_time_ms - now_ms, 0) + KEPT_AFTER_END_MS, KEPT_MS_MAX)
        arguments: list[Argument] = [
            version, sale.revision, sale.brand_id, sale.start_time_ms - now_ms, sale.end_time_ms - now_ms,
            sale.left_number, sale.per_user_limit, kept_ms, int(may_be_new),
        ]  # fmt: skip
        arguments += [part for one in holding for part in one]
        return bool(await self._run(_LOAD, sale.flash_sale_id, arguments))

    async def look(self, flash_sale_id: int, old_ms: int, old_max: int) -> Seen | None:
        """Say what is here of a sale; None when nothing is."""
        reply = await self._run(_LOOK, flash_sale_id, [old_ms, old_max])
        if reply is None:
            return None
        version, revision, left, pending, *names = cast("list[bytes | int]", reply)
        old = [cast("bytes", name).decode().split(" ", 1) for name in names]
        return Seen(
            version=cast("bytes", version).decode(),
            revision=int(revision),
            left_number=int(left),
            pending_count=int(pending),
            old=[(int(user_id), request_id) for user_id, request_id in old],
        )

    async def _run(self, script: LuaScript, flash_sale_id: int, arguments: Sequence[Argument]) -> Reply:
        try:
            return await script.run(self._redis, keys_of(flash_sale_id), arguments)
        except RedisError as error:
            if not is_unavailable(error):
                raise
            message = "who is admitted to flash sales cannot be decided now; repeat with the same request_id"
            raise DomainError(
                grpc.StatusCode.UNAVAILABLE, "ADMISSION_UNAVAILABLE", message, retry_after_seconds=1
            ) from error


def keys_of(flash_sale_id: int) -> list[str]:
    """Name the keys of a sale, which the hash tag keeps on one node of a cluster."""
    return [f"flash_sale:{{{flash_sale_id}}}:{part}" for part in ("state", "users", "requests", "pending")]
