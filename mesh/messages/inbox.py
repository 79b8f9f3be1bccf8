"""The messages that a service was given: each has its effect once, in one transaction with the row that says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.database import Database
from mesh.messages.domain import KEPT_MS_CONSUMED, REMARK_CHARACTERS_MAX, ConsumedStatus, ReceivedMessage
from mesh.messages.outbox import Outbox
from mesh.outage import is_outage
from mesh.poison import handle_apart
from mesh.statements import IN_MAX, by_primary_key, execute_many, read_in

ATTEMPTS_MAX = 16
"""Tries of one message: with the pauses between them some twenty minutes."""

Effect = Callable[[AsyncConnection, Sequence[ReceivedMessage]], Awaitable[None]]
"""What messages of one topic and tag do, all within the transaction that is handed in.

Many at once, so that their rows can be locked in one order. Raises DomainError to refuse one, which comes again, and
ValueError for one that no further attempt will make readable; the others are then tried without it.
"""

Position = tuple[int, int, int]
"""Where a page ended: consumer_timestamp_ms and msg_id of its last row, and how many rows with these were seen by then:
two producers may have numbered a message alike.
"""

_ALIKE_MAX = 100
"""Producers that a service can have at most, and so rows with one position."""

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
        columns = (
            table.c.producer,
            table.c.msg_id,
            table.c.msg_topic,
            table.c.msg_tag,
            table.c.msg_key,
            table.c.consumer_status,
            table.c.consumer_times,
        )
        self._hold = (
            by_primary_key(sa.select(*columns), table)
            .where(
                table.c.producer == sa.bindparam("of_producer"),
                table.c.msg_id.in_(sa.bindparam("wanted", expanding=True)),
            )
            .order_by(table.c.msg_id)
            .with_for_update()
        )
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

        # A message that comes twice at once is one attempt.
        once = list({message.name: message for message in messages}.values())
        written_before = self._outbox.written_count if self._outbox is not None else 0
        errors = await handle_apart(apply, once, lambda error: error)
        # Most effects write none, and looking for messages costs more than such an effect.
        if self._outbox is not None and self._outbox.written_count != written_before:
            await self._outbox.publish()
        for message, error in zip(once, errors, strict=True):
            if error is not None:
                failures[message.name] = error
        told = {one.name: await self._fail(one, failures[one.name]) for one in once if one.name in failures}
        return [told.get(one.name, Consumed(ConsumedStatus.SUCCEEDED)) for one in messages]

    async def _apply(self, messages: Sequence[ReceivedMessage]) -> None:
        """Apply all in one transaction, or none: those that are applied already are left as they are."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            held = await self._lock(connection, messages, now_ms)
            fresh = {one.name: one for one in messages if held[one.name].status is not ConsumedStatus.SUCCEEDED}
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
    ) -> dict[tuple[str, int], _Held]:
        """Make the rows exist, and hold them: who has a message in hand too waits, and then sees what came of it.

        Raises _NumberTakenError where a row is that of another message.
        """
        ordered = sorted(messages, key=lambda message: message.name)
        await self._database.insert_ignore(connection, self._table, [_row(message, now_ms) for message in ordered])
        by_name = {message.name: message for message in messages}
        held: dict[tuple[str, int], _Held] = {}
        for producer in sorted({message.producer for message in messages}):
            ids = [message.msg_id for message in messages if message.producer == producer]
            for row in await read_in(connection, self._hold, ids, of_producer=producer):
                message = by_name[producer, row.msg_id]
                if (row.msg_topic, row.msg_tag, row.msg_key) != (message.topic, message.tag, message.key):
                    raise _NumberTakenError(
                        f"{producer}'s message {row.msg_id} was {row.msg_topic}.{row.msg_tag} {row.msg_key} before:"
                        " was its database restored without raising its numbers?"
                    )
                held[message.name] = _Held(ConsumedStatus(row.consumer_status), row.consumer_times)
        return held

    async def _fail(self, message: ReceivedMessage, error: Exception) -> Consumed:
        """Count an attempt that failed. What failed for an outage is nobody's attempt.

        A message that was given up stays so: a copy of it that was still under way, and each time that an operator
        requeues it, is one more attempt and not as many as before.
        """
        remark = str(error)[:REMARK_CHARACTERS_MAX]
        if is_outage(error):
            return Consumed(ConsumedStatus.PROCESSING, remark)
        if isinstance(error, _NumberTakenError):
            # The row says what became of the other one.
            self._tell(ConsumedStatus.FAILED, message, remark)
            return Consumed(ConsumedStatus.FAILED, remark)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            held = (await self._lock(connection, [message], now_ms))[message.name]
            if held.status is ConsumedStatus.SUCCEEDED:
                return Consumed(held.status)
            times = held.times + 1
            is_last = isinstance(error, _UnknownMessageError | ValueError) or times >= self._attempts_max
            status = ConsumedStatus.FAILED if is_last or held.status is ConsumedStatus.FAILED else held.status
            await connection.execute(
                sa.update(self._table)
                .where(self._table.c.producer == message.producer, self._table.c.msg_id == message.msg_id)
                .values(
                    consumer_status=int(status),
                    consumer_times=times,
                    consumer_timestamp_ms=now_ms,
                    remark=remark,
                )
            )
        self._tell(status, message, remark)
        return Consumed(status, remark)

    def _tell(self, status: ConsumedStatus, message: ReceivedMessage, remark: str) -> None:
        tell = log.error if status is ConsumedStatus.FAILED else log.warning
        tell(
            "message refused", service=self._service, topic=message.topic, tag=message.tag, key=message.key, why=remark
        )

    async def forget(self, rows_max: int) -> int:
        """Remove messages that were applied long ago, the oldest first; answer how many."""
        table = self._table
        async with self._database.write() as connection:
            before_ms = await self._database.now_ms(connection) - KEPT_MS_CONSUMED
            statement = (
                sa.select(table.c.producer, table.c.msg_id)
                .where(
                    table.c.consumer_status == int(ConsumedStatus.SUCCEEDED), table.c.consumer_timestamp_ms < before_ms
                )
                .order_by(table.c.consumer_timestamp_ms, table.c.msg_id)
                .limit(rows_max)
            )
            rows = sorted(tuple(row) for row in await connection.execute(statement))
            for producer in sorted({producer for producer, _ in rows}):
                ids = [msg_id for other, msg_id in rows if other == producer]
                for start in range(0, len(ids), IN_MAX):
                    named = (table.c.producer == producer, table.c.msg_id.in_(ids[start : start + IN_MAX]))
                    await connection.execute(sa.delete(table).where(*named))
        return len(rows)

    async def list(self, status: ConsumedStatus | None, before: Position | None, limit: int) -> list[Any]:
        """Read rows, the last tried first, on from where `before` ended."""
        seen = min(max(before[2], 0), _ALIKE_MAX) if before is not None else 0
        statuses = list(ConsumedStatus) if status is None else [status]
        async with self._database.read() as connection:
            # Each status from its own end of the index: few rows have failed among very many that have not.
            rows = [
                row
                for one in statuses
                for row in await connection.execute(self._last_tried(one, before).limit(seen + limit))
            ]
        rows.sort(key=lambda row: (-row.consumer_timestamp_ms, -row.msg_id, row.producer))
        return rows[seen : seen + limit]

    def _last_tried(self, status: ConsumedStatus, before: Position | None) -> sa.Select[Any]:
        table = self._table
        order = (table.c.consumer_timestamp_ms, table.c.msg_id)
        statement = sa.select(table).where(table.c.consumer_status == int(status))
        if before is not None:
            statement = statement.where(sa.tuple_(*order) <= sa.tuple_(*before[:2]))
        return statement.order_by(*(column.desc() for column in order), table.c.producer)


@dataclass(frozen=True, slots=True)
class _Held:
    """Where a message stands whose row is locked."""

    status: ConsumedStatus
    times: int


def position_after(rows: Sequence[Any], before: Position | None) -> Position:
    """Say where a page of `Inbox.list` ended, the one after `before`."""
    at_ms, msg_id = rows[-1].consumer_timestamp_ms, rows[-1].msg_id
    seen = sum((row.consumer_timestamp_ms, row.msg_id) == (at_ms, msg_id) for row in rows)
    if before is not None and before[:2] == (at_ms, msg_id):
        seen += before[2]
    return at_ms, msg_id, seen


class _NumberTakenError(Exception):
    """Another message had this number before."""


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
