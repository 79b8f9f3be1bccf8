"""One cost center in a process of its own, on an empty ledger, and what a benchmark asks of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from bench.engine_choice import DatabaseEngine
from bench.local import empty_directory
from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from mesh.batch import unpack
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.loopback import LOOPBACK, free_port
from mesh.timestamps import to_timestamp
from meshctl.supervisor import ProcessSpec, Supervisor

Response = TypeVar("Response")

_NAME = "costcenter"
_CREDITS = 1_000_000_000
_YEAR_MS = 365 * 86_400_000
_OPENING_AT_ONCE = 32


class Client:
    """Freezes one credit and pays it, again and again, as a service of the mesh would."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = CostCenterServiceStub(peer.channel)
        self._expire_time = to_timestamp(time.time_ns() // 1_000_000 + _YEAR_MS)
        self._request_ids: Iterator[int] = itertools.count(time.time_ns())

    async def open_brand(self, brand_id: int) -> None:
        """Give a brand an account with more credits than are used. Repeatable."""
        await self._peer.call(self._stub.OpenSmsAccount, pb.OpenSmsAccountRequest(brand_id=brand_id))
        await self._peer.call(
            self._stub.GrantSmsPackage,
            pb.GrantSmsPackageRequest(
                brand_id=brand_id,
                request_id="bench",
                num=_CREDITS,
                expire_time=self._expire_time,
            ),
        )

    async def pair(self, brand_id: int) -> None:
        """Freeze and pay by unary rpcs. Raises DomainError."""
        frozen = await self._peer.call(self._stub.SmsSendPrePay, self._freeze(brand_id))
        await self._peer.call(self._stub.SmsSendPay, self._pay(brand_id, frozen.freeze_id))

    async def pairs(self, brand_ids: Sequence[int]) -> None:
        """Freeze and pay once for each, by one Batch rpc each. Raises DomainError."""
        freezes = [self._freeze(brand_id) for brand_id in brand_ids]
        batch = pb.BatchSmsSendPrePayRequest(requests=freezes)
        frozen = unpack((await self._peer.call(self._stub.BatchSmsSendPrePay, batch)).results)
        payments = [self._pay(brand_id, _good(one).freeze_id) for brand_id, one in zip(brand_ids, frozen, strict=True)]
        paid = await self._peer.call(self._stub.BatchSmsSendPay, pb.BatchSmsSendPayRequest(requests=payments))
        for one in unpack(paid.results):
            _good(one)

    def _freeze(self, brand_id: int) -> pb.SmsSendPrePayRequest:
        return pb.SmsSendPrePayRequest(brand_id=brand_id, request_id=f"{next(self._request_ids)}", num=1)

    def _pay(self, brand_id: int, freeze_id: str) -> pb.SmsSendPayRequest:
        return pb.SmsSendPayRequest(brand_id=brand_id, request_id=freeze_id, freeze_id=freeze_id)


@asynccontextmanager
async def running_cost_center(database: DatabaseEngine, brand_ids: Sequence[int]) -> AsyncIterator[Client]:
    """Run costcenter_rpc on an empty ledger of `database`, open the brands, and stop it at the end."""
    address = f"{LOOPBACK}:{free_port()}"
    peer = Peer(_NAME, address)
    client = Client(peer)
    async with AsyncExitStack() as stack:
        state = stack.enter_context(empty_directory())
        url = await stack.enter_async_context(database.databases(state, [_NAME]))
        environment = {
            "BRANDMESH_LISTEN": address,
            "BRANDMESH_DATABASE_URL": url.replace("{service}", _NAME),
            # Neither freezing nor paying publishes anything.
            "BRANDMESH_BUS_URL": "memory://",
            "BRANDMESH_LOG_LEVEL": "warning",
        }
        supervisor = Supervisor(state / "log")
        stack.push_async_callback(supervisor.stop)
        stack.push_async_callback(peer.close)
        await supervisor.start([ProcessSpec(_NAME, "costcenter_rpc", environment, lambda: _answers(client))])
        await _open_all(client, brand_ids)
        yield client


async def _answers(client: Client) -> bool:
    try:
        await client.open_brand(1)
    except DomainError:
        return False
    return True


async def _open_all(client: Client, brand_ids: Sequence[int]) -> None:
    waiting = iter(brand_ids)

    async def open_some() -> None:
        for brand_id in waiting:
            await client.open_brand(brand_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(_OPENING_AT_ONCE):
            group.create_task(open_some())


def _good(answer: Response | DomainError) -> Response:
    if isinstance(answer, DomainError):
        raise answer
    return answer
