"""The messages that a service was given: each has its effect once, in one transaction with the row that says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.messages.domain import REMARK_CHARACTERS_MAX, ConsumedStatus, ReceivedMessage
from mesh.messages.outbox import Outbox
from mesh.outage import is_outage
from mesh.poison import handle_apart
from mesh.statements import execute_many

ATTEMPTS_MAX = 16
"""Tries of one message: with the pauses between them some three quarters of an hour."""

Effect = Callable[[AsyncConnection, Sequence[ReceivedMessage]], Awaitable[None]]
"""What messages of one topic and tag do, all within the transaction that is handed in.

Many at once, so that their rows can be locked in one order. Raises DomainError to refuse one, which comes again, and
ValueError for one that no further attempt will make readable; the others are then tried without it.
"""

log = telemetry.logger(part="inbox of messages")


@dataclass(frozen=True, slots=True)
class Consumed:
    """What became of a message. `remark` says why it is not applied."""

    status: ConsumedStatus
    remark: str = ""


class Inbox:
    """Applies messages to one service, by (topic, tag)."""

    def __init__(
        self,
        database: Database,
        service: str,
        table: sa.Table,
        effects: Mapping[tuple[str, str], Effect],
        *,
        outbox: Outbox | None = None,
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        """`table` is the service's `consumed_message_table`; what effects write to `outbox` is published after them."""
        self._database = database
        self._service = service
        self._table = table
        self._effects = effects
        self._outbox = outbox
        self._attempts_max = attempts_max
        named = (table.c.producer == sa.bindparam("of_producer"), table.c.msg_id == sa.bindparam("of_msg_id"))
        self._succeed = (
            sa.update(table)
            .where(*named)
            .values(
                consumer_status=int(ConsumedStatus.SUCCEEDED),
                consumer_times=table.c.consumer_times + 1,
                consumer_timestamp_ms=sa.bindparam("now_ms"),
                remark="",
            )
        )

    async def consume(self, messages: Sequence[ReceivedMessage]) -> list[Consumed]:
        """Apply messages; one result each, in order. One that is refused does not keep the others from their effect."""
        failures: dict[tuple[str, int], Exception] = {}

        async def apply(some: Sequence[ReceivedMessage]) -> Sequence[Exception | None]:
            await self._apply(some)
            return [None] * len(some)

        results = await handle_apart(apply, messages, lambda error: error)
        if self._outbox is not None:
            await self._outbox.publish()
        for message, error in zip(messages, results, strict=True):
            if error is not None:
                failures[message.name] = error
        told = [await self._fail(one, failures[one.name]) if one.name in failures else None for one in messages]
        return [one or Consumed(ConsumedStatus.SUCCEEDED) for one in told]

    async def _apply(self, messages: Sequence[ReceivedMessage]) -> None:
        """Apply all in one transaction, or none: those that are applied already are left as they are."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            statuses = await self._lock(connection, messages, now_ms)
            fresh = {one.name: one for one in messages if statuses[one.name] is not ConsumedStatus.SUCCEEDED}
            await self._take_effect(connection, list(fresh.values()))
            if fresh:
                marks = [{"of_producer": producer, "of_msg_id": msg_id, "now_ms": now_ms} for producer, msg_id in fresh]
                await execute_many(connection, self._succeed, marks)

    async def _take_effect(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        by_kind: dict[tuple[str, str], list[ReceivedMessage]] = {}
        for message in messages:
            by_kind.setdefault((message.topic, message.tag), []).append(message)
        for (topic, tag), some in sorted(by_kind.items()):
            effect = self._effects.get((topic, tag))
            if effect is None:
                raise _UnknownMessageError(f"{self._service} does not know {topic}.{tag}")
            await effect(connection, some)

    async def _lock(
        self, connection: AsyncConnection, messages: Sequence[ReceivedMessage], now_ms: int
    ) -> dict[tuple[str, int], ConsumedStatus]:
        """Make the rows exist, and hold them: who has a message in hand too waits, and then sees what came of it."""
        table = self._table
        await self._database.insert_ignore(connection, table, [_row(message, now_ms) for message in messages])
        found: dict[tuple[str, int], ConsumedStatus] = {}
        for producer in sorted({message.producer for message in messages}):
            ids = sorted({message.msg_id for message in messages if message.producer == producer})
            statement = (
                sa.select(table.c.msg_id, table.c.consumer_status)
                .where(table.c.producer == producer, table.c.msg_id.in_(ids))
                .order_by(table.c.msg_id)
                .with_for_update()
            )
            for row in await connection.execute(statement):
                found[producer, row.msg_id] = ConsumedStatus(row.consumer_status)
        return found

    async def _fail(self, message: ReceivedMessage, error: Exception) -> Consumed:
        """Count an attempt that failed. What failed for an outage is nobody's attempt."""
        remark = str(error)[:REMARK_CHARACTERS_MAX]
        if is_outage(error):
            return Consumed(ConsumedStatus.PROCESSING, remark)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            status = (await self._lock(connection, [message], now_ms))[message.name]
            if status is ConsumedStatus.SUCCEEDED:
                return Consumed(status)
            times = await self._times(connection, message) if status is ConsumedStatus.PROCESSING else 0
            is_last = isinstance(error, _UnknownMessageError | ValueError) or times + 1 >= self._attempts_max
            status = ConsumedStatus.FAILED if is_last else ConsumedStatus.PROCESSING
            await connection.execute(
                sa.update(self._table)
                .where(self._table.c.producer == message.producer, self._table.c.msg_id == message.msg_id)
                .values(
                    consumer_status=int(status),
                    consumer_times=times + 1,
                    consumer_timestamp_ms=now_ms,
                    remark=remark,
                )
            )
        tell = log.error if is_last else log.warning
        tell(
            "message refused", service=self._service, topic=message.topic, tag=message.tag, key=message.key, why=remark
        )
        return Consumed(status, remark)

    async def _times(self, connection: AsyncConnection, message: ReceivedMessage) -> int:
        table = self._table
        statement = sa.select(table.c.consumer_times).where(
            table.c.producer == message.producer, table.c.msg_id == message.msg_id
        )
        return int((await connection.execute(statement)).scalar_one())

    async def list(self, status: ConsumedStatus | None, before: tuple[int, int] | None, limit: int) -> list[Any]:
        """Read rows, the last tried first. `before` is (consumer_timestamp_ms, msg_id) of the last one read."""
        table = self._table
        order = (table.c.consumer_timestamp_ms, table.c.msg_id)
        statement = sa.select(table).order_by(*(column.desc() for column in order)).limit(limit)
        if status is not None:
            statement = statement.where(table.c.consumer_status == int(status))
        if before is not None:
            statement = statement.where(sa.tuple_(*order) < sa.tuple_(*before))
        async with self._database.read() as connection:
            return list(await connection.execute(statement))


class _UnknownMessageError(Exception):
    """No effect is known for the message: no further attempt will change that."""


def _row(message: ReceivedMessage, now_ms: int) -> dict[str, Any]:
    return {
        "producer": message.producer,
        "msg_id": message.msg_id,
        "msg_topic": message.topic,
        "msg_tag": message.tag,
        "msg_key": message.key,
        "msg_body": message.body_text,
        "consumer_status": int(ConsumedStatus.PROCESSING),
        "consumer_times": 0,
        "consumer_timestamp_ms": now_ms,
        "remark": "",
    }
