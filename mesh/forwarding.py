"""What the consumer process does with messages: hand each to its service, and tell its producer what came of it.

It has no database, and so stands beside `mesh.messages`, which is made of tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import grpc
import orjson
from google.protobuf.json_format import ParseDict, ParseError

from brandmesh.messaging.v1 import messaging_pb2 as pb
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from mesh import telemetry
from mesh.bus.port import Delivery
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.message_queues import QUEUE_PREFIX, service_of
from mesh.worker import Dead, Done, Outcome, Retry, Route

BATCH_MAX = 100

log = telemetry.logger(part="forwarding")

PeerOf = Callable[[str], Peer]
"""The way to the process that has a service. Raises KeyError for one that is not known."""


class Forwarding:
    """Forwards messages between services, each a whole batch at a time."""

    def __init__(self, peer_of: PeerOf) -> None:
        self._peer_of = peer_of

    def route(self) -> Route:
        """All queues of messages. They are tried again until their service has had enough of them."""
        return Route(
            name="messages",
            prefix=QUEUE_PREFIX,
            handler=self.handle,
            concurrency=2,
            batch_max=BATCH_MAX,
        )

    async def handle(self, queue: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Forward a batch of one queue."""
        read = [read_message(delivery) for delivery in deliveries]
        messages = [one for one in read if isinstance(one, pb.Message)]
        outcomes = iter(await self._forward(service_of(queue), messages) if messages else ())
        return [one if isinstance(one, Dead) else next(outcomes) for one in read]

    async def _forward(self, service: str, messages: Sequence[pb.Message]) -> list[Outcome]:
        try:
            peer = self._peer_of(service)
        except KeyError:
            return await self._stop(messages, f"there is no service {service}")
        stub = MessageServiceStub(peer.channel)
        try:
            response = await peer.call(
                stub.ConsumeMessages, pb.ConsumeMessagesRequest(service=service, messages=messages)
            )
        except DomainError as error:
            # Of several the worker finds out which one it is. That one no further attempt makes valid.
            if error.code is grpc.StatusCode.INVALID_ARGUMENT and len(messages) == 1:
                return await self._stop(messages, f"is not valid: {error}")
            raise
        results = list(zip(messages, response.results, strict=True))
        await self.settle(
            [message for message, result in results if result.status == pb.CONSUMED_STATUS_SUCCEEDED],
            [message for message, result in results if result.status == pb.CONSUMED_STATUS_FAILED],
        )
        return [_outcome(result) for result in response.results]

    async def _stop(self, messages: Sequence[pb.Message], reason: str) -> list[Outcome]:
        """Give messages up. Their producers are told: they would publish them again and again."""
        await self.settle([], messages)
        return [Dead(reason)] * len(messages)

    async def settle(self, settled: Sequence[pb.Message], stopped: Sequence[pb.Message] = ()) -> None:
        """Tell producers what became of their messages.

        The message of one that cannot be told comes again, and it is told of that then.
        """
        by_producer: dict[str, pb.SettleMessagesRequest] = defaultdict(pb.SettleMessagesRequest)
        for message in settled:
            by_producer[message.producer].settled_ids.append(message.msg_id)
        for message in stopped:
            by_producer[message.producer].stopped_ids.append(message.msg_id)
        for producer, request in by_producer.items():
            request.service = producer
            try:
                peer = self._peer_of(producer)
                await peer.call(MessageServiceStub(peer.channel).SettleMessages, request)
            except (DomainError, KeyError) as error:
                log.warning("a producer was not told", producer=producer, error=str(error))


def read_message(delivery: Delivery) -> pb.Message | Dead:
    """Read a message as its producer published it, or say why it is none."""
    try:
        return ParseDict(orjson.loads(delivery.body), pb.Message())
    except (ValueError, TypeError, ParseError) as error:
        return Dead(f"cannot be read: {error}")


def _outcome(result: pb.ConsumeResult) -> Outcome:
    match result.status:
        case pb.CONSUMED_STATUS_SUCCEEDED:
            return Done()
        case pb.CONSUMED_STATUS_FAILED:
            return Dead(result.remark)
        case _:
            return Retry(result.remark)
