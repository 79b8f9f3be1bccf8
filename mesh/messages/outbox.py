"""The messages that a service has written: in its transactions, then on the bus, until their consumers have them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import telemetry
from mesh.bulk_rows import update_rows
from mesh.bus.port import Bus, BusUnavailableError, Message
from mesh.coalesce import Coalescer
from mesh.database import Database
from mesh.errors import DomainError
from mesh.ids import first_id_at
from mesh.message_queues import queue_of
from mesh.messages.domain import KEPT_MS_PRODUCED, NewMessage, ProducedStatus, republish_at_ms
from mesh.statements import IN_MAX, read_in, select_in

PUBLISH_MAX = 500
"""Messages that one pass publishes: read, handed to the bus and marked together."""

PUT_OFF_MS = 2_000
"""How long a message waits whose queue took nothing while others did."""

PASSES_MAX = 10
"""Passes for those who have just committed: what has piled up beyond that, they do not wait for."""

_OPEN = (ProducedStatus.PENDING, ProducedStatus.PUBLISHED)

log = telemetry.logger(part="outbox")


class Outbox:
    """Writes and publishes the messages of one service.

    Publish first and mark then: a crash between the two makes a duplicate, the other way round a loss.
    """

    def __init__(self, database: Database, bus: Bus, service: str, table: sa.Table) -> None:
        """`table` is the service's `produced_message_table`."""
        self._database = database
        self._bus = bus
        self._service = service
        self._table = table
        self._hold = select_in(table, "id").order_by(table.c.id).with_for_update()
        # One pass at a time takes what all callers have just committed.
        self._publishing: Coalescer[None, None] = Coalescer(
            self._publish_new, name=f"the outbox of {service}", batch_max=10_000, pending_max=100_000
        )
        self._written_count = 0

    @property
    def written_count(self) -> int:
        """How many messages were added so far, some of them in transactions that are not committed."""
        return self._written_count

    async def add(self, connection: AsyncConnection, messages: Sequence[NewMessage]) -> None:
        """Write messages in the caller's transaction. Raises ValueError for a body that is too long."""
        now_ms = await self._database.now_ms(connection)
        rows = [
            {
                "group_name": message.to,
                "msg_topic": message.topic,
                "msg_tag": message.tag,
                "msg_key": message.key,
                "msg_body": message.encode_body(),
                "msg_status": int(ProducedStatus.PENDING),
                "publish_times": 0,
                "create_time_ms": now_ms,
                "deliver_at_ms": now_ms + int(message.delay_seconds * 1000),
                "due_at_ms": now_ms,
            }
            for message in messages
        ]
        if rows:
            if connection.dialect.name == "sqlite":
                await self._number(connection, rows, now_ms)
            await connection.execute(sa.insert(self._table), rows)
            self._written_count += len(rows)

    async def _number(self, connection: AsyncConnection, rows: Sequence[dict[str, Any]], now_ms: int) -> None:
        """Give messages numbers that none before had.

        Servers do so by themselves; SQLite counts on from the last row that is left, and consumers, who know numbers
        for longer than this service does, would take new messages for those that were forgotten here.
        """
        newest = (await connection.execute(sa.select(sa.func.max(self._table.c.id)))).scalar_one()
        first = max((newest or 0) + 1, first_id_at(now_ms))
        for number, row in enumerate(rows, first):
            row["id"] = number

    async def publish(self) -> None:
        """Publish what was committed until now. Raises nothing: what cannot be published now is left to the sweep."""
        try:
            await self._publishing.submit(None)
        except DomainError as error:
            log.warning("messages wait for the sweep", service=self._service, error=str(error))

    async def close(self) -> None:
        """Finish what is being published."""
        await self._publishing.close()

    async def _publish_new(self, callers: Sequence[None]) -> Sequence[None]:
        try:
            for _ in range(PASSES_MAX):
                if await self.publish_due(PUBLISH_MAX, only_new=True) < PUBLISH_MAX:
                    break
        except Exception as error:  # noqa: BLE001  # whatever it is, what was committed stands, and the sweep will tell
            log.warning("messages wait for the sweep", service=self._service, error=str(error))
        return [None] * len(callers)

    async def publish_due(self, messages_max: int, *, only_new: bool = False) -> int:
        """Publish what is due, the longest due first; answer how many. Raises BusUnavailableError.

        What was published before is due again when its consumer should have been heard of by now. A queue that takes
        nothing just now keeps nothing from the others, not even where its messages are the first.
        """
        statuses = (ProducedStatus.PENDING,) if only_new else _OPEN
        table = self._table
        async with self._database.read() as connection:
            now_ms = await self._database.now_ms(connection)
            statement = (
                sa.select(table)
                .where(table.c.msg_status.in_([int(status) for status in statuses]), table.c.due_at_ms <= now_ms)
                .order_by(table.c.due_at_ms, table.c.id)
                .limit(messages_max)
            )
            rows = (await connection.execute(statement)).all()
        published, left, error = await self._hand_over(rows, now_ms)
        await self._mark_published(published, now_ms)
        if error is not None:
            if published or len(rows) == messages_max:
                log.warning("messages wait for the sweep", service=self._service, error=str(error))
                await self._put_off(left, now_ms)
            raise error
        return len(rows)

    async def _hand_over(
        self, rows: Sequence[Any], now_ms: int
    ) -> tuple[list[Any], list[Any], BusUnavailableError | None]:
        """Give messages to the bus: of each queue those that are to come within one second in one call, never early.

        Answers which it has taken and which not, and why not.
        """
        headers = telemetry.inject_headers()
        by_queue: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for row in rows:
            delay_seconds = max(-(-(row.deliver_at_ms - now_ms) // 1000), 0)
            by_queue[queue_of(row.msg_topic, row.msg_tag, row.group_name), delay_seconds].append(row)

        async def publish(queue: str, delay_seconds: int, some: Sequence[Any]) -> BusUnavailableError | None:
            try:
                await self._bus.publish(queue, [Message(self._encode(row), headers) for row in some], delay_seconds)
            except BusUnavailableError as error:
                return error
            return None

        # At once: one that does not answer within its time is not to take the others' as well.
        errors = await asyncio.gather(*(publish(*key, some) for key, some in by_queue.items()))
        published: list[Any] = []
        left: list[Any] = []
        for some, error in zip(by_queue.values(), errors, strict=True):
            (published if error is None else left).extend(some)
        return published, left, next((error for error in errors if error is not None), None)

    def _encode(self, row: Any) -> bytes:
        return orjson.dumps(
            {
                "producer": self._service,
                "msg_id": row.id,
                "msg_topic": row.msg_topic,
                "msg_tag": row.msg_tag,
                "msg_key": row.msg_key,
                "msg_body": row.msg_body,
            }
        )

    async def _mark_published(self, rows: Sequence[Any], now_ms: int) -> None:
        if not rows:
            return
        async with self._database.write() as connection:
            held = await read_in(connection, self._hold, [row.id for row in rows])
            marks = [
                (
                    int(ProducedStatus.PUBLISHED),
                    row.publish_times + 1,
                    republish_at_ms(row.deliver_at_ms, max(now_ms, row.deliver_at_ms)),
                    row.id,
                )
                for row in held
                if row.msg_status in _OPEN
            ]
            await update_rows(connection, self._table, ("msg_status", "publish_times", "due_at_ms"), ("id",), marks)

    async def _put_off(self, rows: Sequence[Any], now_ms: int) -> None:
        """Have the next pass look at others first."""
        async with self._database.write() as connection:
            marks = [
                (now_ms + PUT_OFF_MS, row.id) for row in await read_in(connection, self._hold, [r.id for r in rows])
            ]
            await update_rows(connection, self._table, ("due_at_ms",), ("id",), marks)

    async def settle(self, settled_ids: Sequence[int], stopped_ids: Sequence[int]) -> None:
        """Note what became of messages at their consumers. A repeat changes nothing.

        A message that is both is settled: it was applied, though another copy of it was given up.
        """
        targets = {
            **dict.fromkeys(stopped_ids, ProducedStatus.STOPPED),
            **dict.fromkeys(settled_ids, ProducedStatus.SETTLED),
        }
        async with self._database.write() as connection:
            held = await read_in(connection, self._hold, targets)
            moves = [(int(targets[row.id]), row.id) for row in held if row.msg_status != ProducedStatus.SETTLED]
            await update_rows(connection, self._table, ("msg_status",), ("id",), moves)

    async def requeue(self, msg_id: int) -> ProducedStatus | None:
        """Have a stopped message published anew; answer where it stood, None where there is none."""
        table = self._table
        async with self._database.write() as connection:
            held = await read_in(connection, self._hold, [msg_id])
            if not held:
                return None
            stood = ProducedStatus(held[0].msg_status)
            if stood is ProducedStatus.STOPPED:
                # Due at once: what is left of the pause since it was last published has lost its meaning.
                values = {
                    "msg_status": int(ProducedStatus.PENDING),
                    "due_at_ms": await self._database.now_ms(connection),
                }
                await connection.execute(sa.update(table).where(table.c.id == msg_id).values(values))
        return stood

    async def forget(self, rows_max: int) -> int:
        """Remove messages that were settled long ago, the oldest first; answer how many."""
        table = self._table
        async with self._database.write() as connection:
            before_ms = await self._database.now_ms(connection) - KEPT_MS_PRODUCED
            statement = (
                sa.select(table.c.id)
                .where(table.c.msg_status == int(ProducedStatus.SETTLED), table.c.due_at_ms < before_ms)
                .order_by(table.c.due_at_ms)
                .limit(rows_max)
            )
            ids = sorted((await connection.execute(statement)).scalars())
            for start in range(0, len(ids), IN_MAX):
                await connection.execute(sa.delete(table).where(table.c.id.in_(ids[start : start + IN_MAX])))
        return len(ids)

    async def list(self, status: ProducedStatus | None, before_id: int | None, limit: int) -> list[Any]:
        """Read rows, newest first."""
        table = self._table
        statement = sa.select(table).order_by(table.c.id.desc()).limit(limit)
        if status is not None:
            statement = statement.where(table.c.msg_status == int(status))
        if before_id is not None:
            statement = statement.where(table.c.id < before_id)
        async with self._database.read() as connection:
            return list(await connection.execute(statement))
