"""Reading the messages between the services of orders that are not at their end, by the ways of an operator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from brandmesh.messaging.v1 import messaging_pb2 as pb
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from mesh.channel import Peer
from mesh.errors import DomainError
from order_rpc.wiring import SERVICES

_PAGE = 100
"""More would tell nobody anything new."""

_NOT_APPLIED = (pb.PRODUCED_STATUS_PENDING, pb.PRODUCED_STATUS_PUBLISHED, pb.PRODUCED_STATUS_STOPPED)


async def unapplied_messages(address: str) -> list[str]:
    """Say of each message where it stands, at the service that wrote it or was given it; `address` is order_rpc's."""
    peer = Peer("order_rpc", address)
    try:
        return [line for service in SERVICES async for line in _of_service(peer, service)]
    finally:
        await peer.close()


async def _of_service(peer: Peer, service: str) -> AsyncIterator[str]:
    stub = MessageServiceStub(peer.channel)
    with _where_there_are_any():
        for status in _NOT_APPLIED:
            produced = pb.ListProducedMessagesRequest(service=service, status=status, page_size=_PAGE)
            for written in (await peer.call(stub.ListProducedMessages, produced)).messages:
                where = pb.ProducedStatus.Name(status).removeprefix("PRODUCED_STATUS_")
                yield f"{_name(written.message)} for {written.group_name} is {where}"
    with _where_there_are_any():
        consumed = pb.ListConsumedMessagesRequest(service=service, status=pb.CONSUMED_STATUS_FAILED, page_size=_PAGE)
        for given in (await peer.call(stub.ListConsumedMessages, consumed)).messages:
            yield f"{service} gave up on {_name(given.message)}: {given.remark}"


@contextmanager
def _where_there_are_any() -> Iterator[None]:
    """Go on with a service that writes no messages, or is given none."""
    try:
        yield
    except DomainError as error:
        if error.reason != "SERVICE_NOT_HERE":
            raise


def _name(message: pb.Message) -> str:
    return f"{message.producer}'s {message.msg_topic}.{message.msg_tag} {message.msg_key} ({message.msg_id})"
