"""Several processes of messagecenter_rpc on one database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from brandmesh.messagecenter.v1 import messagecenter_pb2_grpc
from mesh.channel import Peer
from messagecenter_rpc import tables
from tests.messagecenter_rpc.harness import REFRESH, MessageCenter, record_ids_of
from tests.messagecenter_rpc.running import serve, serve_tencent
from tests.sms_rpc.control import ClockedDatabase


@pytest_asyncio.fixture
async def second(center: MessageCenter) -> AsyncIterator[Peer]:
    """Start another process beside the first."""
    async with AsyncExitStack() as stack:
        database = ClockedDatabase(center.database.url.render_as_string(hide_password=False), center.clock)
        stack.push_async_callback(database.close)
        yield await serve(database, center.bus, await serve_tencent(center.tencent, stack), stack)


async def test_a_request_that_goes_to_both_at_once_makes_one_call(center: MessageCenter, second: Peer) -> None:
    await center.device()
    calls = messagecenter_pb2_grpc.MessageCenterServiceStub(second.channel)
    for _ in range(10):
        request = center.request(MsgType=REFRESH)
        answers = await asyncio.gather(
            *(center.peer.call(center.calls.SendImCall, request) for _ in range(3)),
            *(second.call(calls.SendImCall, request) for _ in range(3)),
        )
        assert len({answer.call_id for answer in answers}) == 1
    assert len(await center.rows(tables.call)) == 10
    assert len(await center.rows()) == 10


async def test_their_ids_never_meet(center: MessageCenter, second: Peer) -> None:
    for _ in range(3):
        await center.device()
    calls = messagecenter_pb2_grpc.MessageCenterServiceStub(second.channel)
    requests = [center.request(MsgType=REFRESH) for _ in range(40)]
    answers = await asyncio.gather(
        *(center.peer.call(center.calls.SendImCall, request) for request in requests[::2]),
        *(second.call(calls.SendImCall, request) for request in requests[1::2]),
    )
    ids = [record_id for answer in answers for record_id in record_ids_of(answer)]
    assert len(set(ids)) == 120
    assert [row["record_id"] for row in await center.rows()] == sorted(ids)
