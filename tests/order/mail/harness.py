"""order_rmq with a real mail server beside it, and an order service that hears what became of its messages."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from redis.asyncio import Redis

from brandmesh.messaging.v1 import messaging_pb2 as pb
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceServicer, add_MessageServiceServicer_to_server
from mesh.bus.memory import MemoryBus
from mesh.bus.port import Message
from mesh.loopback import LOOPBACK, free_port
from mesh.redis_connection import connect_redis
from mesh.server import Server
from mesh.settings import RpcSettings
from order_rmq import wiring
from order_rmq.reminders import REMINDED_QUEUE
from order_rmq.settings import Settings

SELLER = "seller@example.com"
BUYER = "7/11"


@dataclass
class Mailroom:
    """A mail server: what it took, and what it is told to answer instead. aiosmtpd calls it."""

    mails: list[EmailMessage] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    """Answers to the next mails; an empty one takes the mail."""
    tries: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        self.tries += 1
        reply = self.replies.pop(0) if self.replies else ""
        if not reply:
            content = envelope.content
            assert isinstance(content, bytes)
            self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        return reply or "250 taken"


class Producer(MessageServiceServicer):
    """An order service as far as its messages go."""

    def __init__(self) -> None:
        self.settled: list[int] = []
        self.stopped: list[int] = []

    async def SettleMessages(  # noqa: N802  # the contract's name
        self,
        request: pb.SettleMessagesRequest,
        context: Any,  # noqa: ARG002  # gRPC hands it in
    ) -> pb.SettleMessagesResponse:
        self.settled += request.settled_ids
        self.stopped += request.stopped_ids
        return pb.SettleMessagesResponse()


@dataclass
class Post:
    """What a test of mail has."""

    bus: MemoryBus
    producer: Producer
    mailroom: Mailroom
    redis: Redis

    async def remind(self, msg_id: int = 1, *, order_id: str = "77", body: str = "", **fields: str) -> None:
        """Ask for a mail, as the order service does."""
        message = {
            "producer": "order",
            "msg_id": msg_id,
            "msg_topic": "order",
            "msg_tag": "reminded",
            "msg_key": order_id,
            "msg_body": body or json.dumps({"to": SELLER, "order_id": order_id, "buyer": BUYER} | fields),
        }
        await self.bus.publish(REMINDED_QUEUE, [Message(json.dumps(message).encode())])


@asynccontextmanager
async def open_post(redis_url: str, **changes: Any) -> AsyncIterator[Post]:
    """Run order_rmq between a mail server and a producer; `changes` are settings of order_rmq."""
    async with AsyncExitStack() as stack:
        producer = Producer()  # type: ignore[abstract]  # nobody calls the rest
        server = Server(RpcSettings(database_url="unused", listen=f"{LOOPBACK}:0", drain_seconds=0.5))
        service = pb.DESCRIPTOR.services_by_name["MessageService"]
        server.add(add_MessageServiceServicer_to_server, producer, service)
        await server.start()
        stack.push_async_callback(server.drain)
        mailroom, port = Mailroom(), free_port()
        listener = await asyncio.get_running_loop().create_server(lambda: SMTP(mailroom), LOOPBACK, port)
        stack.push_async_callback(listener.wait_closed)
        stack.callback(listener.close)
        settings = Settings(
            **{
                "peer_order": server.address,
                "redis_url": redis_url,
                "smtp_host": LOOPBACK,
                "smtp_port": port,
                "smtp_security": "none",
                "smtp_sender": "shop@example.com",
                "smtp_timeout_seconds": 2,
                "sweep_seconds": 3600,
                "drain_seconds": 2,
                **changes,
            }
        )
        redis = connect_redis(redis_url, "tests")
        stack.push_async_callback(redis.aclose)
        bus, stop = MemoryBus(), asyncio.Event()
        consuming = asyncio.create_task(wiring.consume(settings, bus, stop))
        try:
            yield Post(bus, producer, mailroom, redis)
        finally:
            stop.set()
            await consuming
