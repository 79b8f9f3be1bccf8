"""Two services that talk by messages: a shop that writes them, and a storehouse that counts what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from brandmesh.messaging.v1 import messaging_pb2 as pb
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub, add_MessageServiceServicer_to_server
from mesh.bus.memory import MemoryBus
from mesh.bus.port import Bus, BusUnavailableError, Delivery, Message
from mesh.channel import Peer
from mesh.database import Database
from mesh.forwarding import Forwarding
from mesh.messages import (
    Inbox,
    Mailbox,
    Mailboxes,
    NewMessage,
    Outbox,
    ReceivedMessage,
    consumed_message_table,
    produced_message_table,
)
from mesh.messages.servicer import MessageServicer
from mesh.server import Server
from mesh.settings import RpcSettings
from mesh.worker import RetryPolicy, Route, Worker
from tests.databases import trial_database

QUEUE = "message.order.cancelled.store"
NOW = RetryPolicy(first_delay_seconds=0.001, delay_seconds_max=0.001)
ATTEMPTS_MAX = 3

metadata = sa.MetaData()
produced = produced_message_table(metadata, "shop")
consumed = consumed_message_table(metadata, "store")
orders = sa.Table("trial_order", metadata, sa.Column("order_id", sa.String(40), primary_key=True))
counts = sa.Table(
    "trial_count",
    metadata,
    sa.Column("order_id", sa.String(40), primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
)

Refusal = Callable[[ReceivedMessage], Exception | None]


class SwitchedBus(MemoryBus):
    """A bus that can be away for publishers, and loses what it confirmed when told to."""

    is_away = False
    is_leaky = False
    calls = 0
    queue_away = ""

    async def publish(self, queue: str, messages: Sequence[Message], delay_seconds: float = 0) -> None:
        if self.is_away or queue == self.queue_away:
            raise BusUnavailableError("switched off")
        self.calls += 1
        if not self.is_leaky:
            await super().publish(queue, messages, delay_seconds)


class Store:
    """The effect: counts how often each order was heard of. `refuse` says which messages it does not want, and why."""

    def __init__(self) -> None:
        self.refuse: Refusal = lambda _: None
        self.before_commit: Callable[[], Awaitable[None]] | None = None

    async def count(self, connection: AsyncConnection, messages: Sequence[ReceivedMessage]) -> None:
        for message in sorted(messages, key=lambda one: one.key):
            await count_order(connection, message.key)
            error = self.refuse(message)
            if error is not None:
                raise error
        if self.before_commit is not None:
            await self.before_commit()


async def count_order(connection: AsyncConnection, order_id: str) -> None:
    """Count once more: not harmless when repeated, so that a repeat shows."""
    found = sa.update(counts).where(counts.c.order_id == order_id).values(times=counts.c.times + 1)
    if not (await connection.execute(found)).rowcount:
        await connection.execute(sa.insert(counts).values(order_id=order_id, times=1))


def cancelled(order_id: object, **changes: Any) -> NewMessage:
    return NewMessage(**{"to": "store", "topic": "order", "tag": "cancelled", "key": str(order_id), **changes})


def received(msg_id: int, key: object = None, **changes: Any) -> ReceivedMessage:
    values = {"producer": "shop", "topic": "order", "tag": "cancelled", "body_text": "{}", **changes}
    return ReceivedMessage(msg_id=msg_id, key=str(msg_id if key is None else key), **values)


@dataclass
class Post:
    """Both services on one database, served over gRPC, and what a consumer process does."""

    database: Database
    bus: Bus
    outbox: Outbox
    inbox: Inbox
    store: Store
    peer: Peer

    def __post_init__(self) -> None:
        self.stub = MessageServiceStub(self.peer.channel)
        self.forwarding = Forwarding({"shop": self.peer, "store": self.peer}.__getitem__)

    async def write(self, *messages: NewMessage) -> None:
        """Cancel orders: the rows and the messages in one transaction."""
        async with self.database.write() as connection:
            for message in messages:
                await connection.execute(sa.insert(orders).values(order_id=message.key))
            await self.outbox.add(connection, messages)

    async def send(self, *messages: NewMessage) -> None:
        await self.write(*messages)
        await self.outbox.publish()

    async def sweep(self, messages_max: int = 1000) -> int:
        request = pb.PublishMessagesRequest(messages_max=messages_max)
        return (await self.peer.call(self.stub.PublishMessages, request)).published_count

    async def forget(self, rows_max: int = 1000) -> int:
        request = pb.ForgetMessagesRequest(rows_max=rows_max)
        return (await self.peer.call(self.stub.ForgetMessages, request)).forgotten_count

    async def requeue(self, msg_id: int, service: str = "shop") -> None:
        await self.peer.call(self.stub.RequeueMessage, pb.RequeueMessageRequest(service=service, msg_id=msg_id))

    async def take(self) -> list[Delivery]:
        """Take what is on the queue now off it."""
        deliveries = await self.bus.receive(QUEUE, 1000, 30)
        await self.bus.ack(deliveries)
        return deliveries

    async def keys_taken(self) -> list[str]:
        return [orjson.loads(delivery.body)["msg_key"] for delivery in await self.take()]

    async def rows(self, table: sa.Table) -> list[Any]:
        async with self.database.read() as connection:
            return list(await connection.execute(sa.select(table).order_by(*table.primary_key.columns)))

    async def counted(self) -> dict[str, int]:
        return {row.order_id: row.times for row in await self.rows(counts)}

    async def only(self, table: sa.Table) -> Any:
        """Read the one row that there is."""
        (row,) = await self.rows(table)
        return row

    async def pass_time(self, passed_ms: int) -> None:
        """Have everything happened so much earlier."""
        async with self.database.write() as connection:
            for table in (produced, consumed):
                times = [column for column in table.c if column.name.endswith("_ms")]
                await connection.execute(sa.update(table).values({column: column - passed_ms for column in times}))

    @asynccontextmanager
    async def consuming(self, retry: RetryPolicy = NOW) -> AsyncIterator[None]:
        """Run a consumer process's worker."""
        route = self.forwarding.route()
        quick = Route(
            name=route.name,
            prefix=route.prefix,
            handler=route.handler,
            concurrency=route.concurrency,
            batch_max=route.batch_max,
            retry=retry,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(self.bus, [quick]).run(stop, 2))
        try:
            yield
        finally:
            stop.set()
            await task


@asynccontextmanager
async def open_post(directory: Path, bus: Bus | None = None) -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(trial_database(directory, metadata))
        bus = bus or SwitchedBus()
        outbox = Outbox(database, bus, "shop", produced)
        stack.push_async_callback(outbox.close)
        store = Store()
        effects: Mapping[tuple[str, str], Any] = {("order", "cancelled"): store.count}
        inbox = Inbox(database, "store", consumed, effects, attempts_max=ATTEMPTS_MAX)
        mailboxes = Mailboxes()
        mailboxes.add("shop", Mailbox(outbox=outbox))
        mailboxes.add("store", Mailbox(inbox=inbox))
        server = Server(RpcSettings(database_url="unused", listen="127.0.0.1:0", drain_seconds=0.5))
        service = pb.DESCRIPTOR.services_by_name["MessageService"]
        server.add(add_MessageServiceServicer_to_server, MessageServicer(mailboxes), service)
        await server.start()
        stack.push_async_callback(server.drain)
        peer = Peer("services", server.address)
        stack.push_async_callback(peer.close)
        yield Post(database, bus, outbox, inbox, store, peer)
