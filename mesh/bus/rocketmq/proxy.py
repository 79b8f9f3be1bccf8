"""RocketMQ's gRPC proxy: what is sent, received and settled goes through it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.errors import HandleExpiredError, TopicMissingError
from mesh.bus.rocketmq.names import TopicNames
from mesh.bus.rocketmq.protocol import MessagingServiceStub, definition, service
from mesh.bus.rocketmq.session import Metadata, Session

RECEIVE_MAX = 32
"""Messages that a proxy gives in one answer at most."""

REQUEST_SECONDS_MAX = 5.0

_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_WRONG_REQUEST = range(40000, 50000)
_TEMPORARY = {"REQUEST_TIMEOUT", "TOO_MANY_REQUESTS", "UNRECOGNIZED_CLIENT_TYPE", "CONSUMER_GROUP_NOT_FOUND"}
"""Codes of that range that do not say that asking again would not help."""
_TYPE_NOT_KNOWN = "expected type is UNSPECIFIED"
"""A proxy that started while all brokers of a topic were away does not know the topic's type, takes no message of any
type for it, and says MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, until it has asked again (RocketMQ 5.5)."""
_BROKER_NOT_FOUND = "cannot find broker"
"""A proxy that does not know where a broker is just now says INVALID_RECEIPT_HANDLE of all that came from it, or
BAD_REQUEST: the handles are good again once the broker is back (RocketMQ 5.5)."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. `deliver_at_ms` None means at once."""

    message_id: str
    body: bytes
    properties: Mapping[str, str] = field(default_factory=dict)
    deliver_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a message received is settled with."""

    message_id: str
    handle: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message received. `deliveries` counts this one too."""

    body: bytes
    properties: Mapping[str, str]
    deliveries: int
    receipt: Receipt


class Proxy:
    """A client of the proxy at `address`, and a member of the consumer groups of the topics that it receives from.

    Every call may raise BusUnavailableError, TopicMissingError included, and ValueError for what RocketMQ never takes.
    """

    def __init__(self, address: str, names: TopicNames, name: str) -> None:
        self._names = names
        self._name = name
        self._metadata = _metadata(name)
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._stub = MessagingServiceStub(self._channel)
        self._sessions: dict[str, Session] = {}

    async def send(self, topic: str, messages: Sequence[Outgoing]) -> None:
        """Append messages to a topic, all or none. Several at once must have no time of delivery."""
        request = service.SendMessageRequest(messages=[_message(topic, message) for message in messages])
        answer = await self._ask(self._stub.SendMessage, request, self._metadata)
        check(answer.status)

    async def receive(
        self, topic: str, broker: str, messages_max: int, invisible_seconds: int, poll_seconds: float
    ) -> list[Incoming]:
        """Take up to 32 messages that `broker` has ready, waiting up to `poll_seconds` for the first."""
        session = self._session(topic)
        await session.ready()
        request = service.ReceiveMessageRequest(batch_size=min(messages_max, RECEIVE_MAX))
        request.group.name = session.group
        request.message_queue.topic.name = topic
        request.message_queue.broker.name = broker
        request.filter_expression.type = definition.TAG
        request.filter_expression.expression = "*"
        request.invisible_duration.FromSeconds(invisible_seconds)
        request.long_polling_timeout.FromMilliseconds(round(poll_seconds * 1000))
        received = []
        with _unavailable():
            timeout = REQUEST_SECONDS_MAX + poll_seconds
            async for answer in self._stub.ReceiveMessage(request, metadata=session.metadata, timeout=timeout):
                if answer.HasField("message"):
                    received.append(_incoming(answer.message))
                elif answer.HasField("status") and answer.status.code != definition.MESSAGE_NOT_FOUND:
                    check(answer.status)
        return received

    async def acknowledge(self, topic: str, receipts: Sequence[Receipt]) -> set[str]:
        """Settle messages. Answers the handles that have expired: their messages stay unsettled."""
        entries = [service.AckMessageEntry(message_id=one.message_id, receipt_handle=one.handle) for one in receipts]
        session = self._session(topic)
        request = service.AckMessageRequest(entries=entries)
        request.group.name = session.group
        request.topic.name = topic
        answer = await self._ask(self._stub.AckMessage, request, session.metadata)
        # A request that is refused as a whole, for example by a proxy that has too many, has no entries.
        told = [(entry.receipt_handle, entry.status) for entry in answer.entries]
        expired = set()
        for handle, status in told or [(one.handle, answer.status) for one in receipts]:
            try:
                check(status)
            except HandleExpiredError:
                expired.add(handle)
        return expired

    async def hide(self, topic: str, receipt: Receipt, seconds: float) -> Receipt:
        """Have a message delivered again in `seconds`; the receipt answered replaces the old one.

        Raises HandleExpiredError.
        """
        request = service.ChangeInvisibleDurationRequest(receipt_handle=receipt.handle, message_id=receipt.message_id)
        session = self._session(topic)
        request.group.name = session.group
        request.topic.name = topic
        request.invisible_duration.FromMilliseconds(round(seconds * 1000))
        answer = await self._ask(self._stub.ChangeInvisibleDuration, request, session.metadata)
        check(answer.status)
        return Receipt(receipt.message_id, answer.receipt_handle)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        await self._channel.close()

    def _session(self, topic: str) -> Session:
        """Answer the membership of the group that reads a topic. A client is of one group, so each has its own name."""
        group = self._names.group(topic)
        if group not in self._sessions:
            self._sessions[group] = Session(self._stub, _metadata(self._name), group)
        return self._sessions[group]

    async def _ask(self, method: Any, request: Any, metadata: Metadata) -> Any:
        with _unavailable():
            return await method(request, metadata=metadata, timeout=REQUEST_SECONDS_MAX)


def _metadata(name: str) -> Metadata:
    """Say who a client is: one of this process, of whom there is no other."""
    client_id = f"{name}@{socket.gethostname()}@{os.getpid()}@{os.urandom(4).hex()}"
    return (("x-mq-client-id", client_id), ("x-mq-language", "PYTHON"), ("x-mq-protocol", "v2"))


def _message(topic: str, outgoing: Outgoing) -> Any:
    message = definition.Message(body=outgoing.body, user_properties=outgoing.properties)
    message.topic.name = topic
    system = message.system_properties
    system.message_id = outgoing.message_id
    system.message_type = definition.NORMAL if outgoing.deliver_at_ms is None else definition.DELAY
    system.body_encoding = definition.IDENTITY
    system.born_timestamp.GetCurrentTime()
    if outgoing.deliver_at_ms is not None:
        system.delivery_timestamp.FromMilliseconds(outgoing.deliver_at_ms)
    return message


def _incoming(message: Any) -> Incoming:
    system = message.system_properties
    return Incoming(
        body=message.body,
        properties=dict(message.user_properties),
        deliveries=system.delivery_attempt,
        receipt=Receipt(system.message_id, system.receipt_handle),
    )


def check(status: Any) -> None:
    """Raise what a status means: BusUnavailableError, or one of its kinds, where asking again may help; ValueError."""
    if status.code == definition.OK:
        return
    code = definition.Code.Name(status.code)
    message = f"RocketMQ: {code}: {status.message}"
    if _TYPE_NOT_KNOWN in status.message or _BROKER_NOT_FOUND in status.message:
        raise BusUnavailableError(message)
    if status.code == definition.INVALID_RECEIPT_HANDLE:
        raise HandleExpiredError(message)
    if status.code == definition.TOPIC_NOT_FOUND:
        raise TopicMissingError(message)
    if status.code in _WRONG_REQUEST and code not in _TEMPORARY:
        raise ValueError(message)
    raise BusUnavailableError(message)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise BusUnavailableError(f"RocketMQ: {error.code().name}: {error.details()}") from error
