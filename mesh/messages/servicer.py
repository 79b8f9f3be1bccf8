"""Proto in, one call, proto out: the messages of the services in one process."""

from __future__ import annotations

from typing import Any

import grpc

from brandmesh.messaging.v1 import messaging_pb2 as pb
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceServicer
from mesh import pages
from mesh.bus.port import BusUnavailableError
from mesh.errors import DomainError
from mesh.messages.domain import ConsumedStatus, ProducedStatus, ReceivedMessage
from mesh.messages.inbox import position_after
from mesh.messages.mailbox import Mailboxes
from mesh.timestamps import to_timestamp

Context = Any
"""grpc.aio's context, which no method here reads."""


class MessageServicer(MessageServiceServicer):
    """What the consumer process and operators call."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes

    async def ConsumeMessages(self, request: pb.ConsumeMessagesRequest, context: Context) -> pb.ConsumeMessagesResponse:
        inbox = self._mailboxes.inbox(request.service)
        results = await inbox.consume([_received(message) for message in request.messages])
        return pb.ConsumeMessagesResponse(
            results=[pb.ConsumeResult(status=_to_consumed(one.status), remark=one.remark) for one in results]
        )

    async def SettleMessages(self, request: pb.SettleMessagesRequest, context: Context) -> pb.SettleMessagesResponse:
        await self._mailboxes.outbox(request.service).settle(request.settled_ids, request.stopped_ids)
        return pb.SettleMessagesResponse()

    async def PublishMessages(self, request: pb.PublishMessagesRequest, context: Context) -> pb.PublishMessagesResponse:
        published_count, failure = 0, None
        for outbox in self._mailboxes.outboxes():
            try:
                published_count += await outbox.publish_due(request.messages_max)
            except BusUnavailableError as error:
                failure = error
        if failure is not None:
            message = "the message bus is away; what waits for it is published later"
            raise DomainError(
                grpc.StatusCode.UNAVAILABLE, "BUS_UNAVAILABLE", message, retry_after_seconds=2
            ) from failure
        return pb.PublishMessagesResponse(published_count=published_count)

    async def ForgetMessages(self, request: pb.ForgetMessagesRequest, context: Context) -> pb.ForgetMessagesResponse:
        counts = [await box.forget(request.rows_max) for box in self._mailboxes.all()]
        return pb.ForgetMessagesResponse(forgotten_count=sum(counts))

    async def ListProducedMessages(
        self, request: pb.ListProducedMessagesRequest, context: Context
    ) -> pb.ListProducedMessagesResponse:
        page = pages.PageRequest.of(request.page_size, request.page_token)
        after = page.after(1)
        status = ProducedStatus(request.status - 1) if request.status else None
        outbox = self._mailboxes.outbox(request.service)
        rows = await outbox.list(status, after[0] if after else None, page.size + 1)
        kept, token = pages.cut(rows, page.size, lambda row: (row.id,))
        return pb.ListProducedMessagesResponse(
            messages=[_produced(row, request.service) for row in kept], next_page_token=token
        )

    async def ListConsumedMessages(
        self, request: pb.ListConsumedMessagesRequest, context: Context
    ) -> pb.ListConsumedMessagesResponse:
        page = pages.PageRequest.of(request.page_size, request.page_token)
        after = page.after(3)
        before = (after[0], after[1], after[2]) if after else None
        status = ConsumedStatus(request.status - 1) if request.status else None
        rows = await self._mailboxes.inbox(request.service).list(status, before, page.size + 1)
        kept = rows[: page.size]
        token = pages.token_of(position_after(kept, before)) if len(rows) > page.size else ""
        return pb.ListConsumedMessagesResponse(messages=[_consumed(row) for row in kept], next_page_token=token)

    async def RequeueMessage(self, request: pb.RequeueMessageRequest, context: Context) -> pb.RequeueMessageResponse:
        outbox = self._mailboxes.outbox(request.service)
        stood = await outbox.requeue(request.msg_id)
        if stood is None:
            raise DomainError(grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND", f"no message {request.msg_id}")
        if stood is not ProducedStatus.STOPPED:
            message = f"message {request.msg_id} is {stood.name}: only one that stopped can be requeued"
            raise DomainError(grpc.StatusCode.FAILED_PRECONDITION, "MESSAGE_NOT_STOPPED", message)
        await outbox.publish()
        return pb.RequeueMessageResponse()


def _received(message: pb.Message) -> ReceivedMessage:
    return ReceivedMessage(
        message.producer, message.msg_id, message.msg_topic, message.msg_tag, message.msg_key, message.msg_body
    )


def _to_consumed(status: ConsumedStatus) -> pb.ConsumedStatus.ValueType:
    return pb.ConsumedStatus.Value(f"CONSUMED_STATUS_{status.name}")


def _produced(row: Any, service: str) -> pb.ProducedMessage:
    return pb.ProducedMessage(
        message=pb.Message(
            msg_id=row.id,
            producer=service,
            msg_topic=row.msg_topic,
            msg_tag=row.msg_tag,
            msg_key=row.msg_key,
            msg_body=row.msg_body,
        ),
        group_name=row.group_name,
        status=pb.ProducedStatus.Value(f"PRODUCED_STATUS_{ProducedStatus(row.msg_status).name}"),
        publish_times=row.publish_times,
        create_time=to_timestamp(row.create_time_ms),
    )


def _consumed(row: Any) -> pb.ConsumedMessage:
    return pb.ConsumedMessage(
        message=pb.Message(
            msg_id=row.msg_id,
            producer=row.producer,
            msg_topic=row.msg_topic,
            msg_tag=row.msg_tag,
            msg_key=row.msg_key,
            msg_body=row.msg_body,
        ),
        status=_to_consumed(ConsumedStatus(row.consumer_status)),
        consumer_times=row.consumer_times,
        consume_time=to_timestamp(row.consumer_timestamp_ms),
        remark=row.remark,
    )
