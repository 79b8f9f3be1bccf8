"""A served cost center, and its stubs on a real channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.timestamp_pb2 import Timestamp

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import (
    CostCenterJobServiceStub,
    CostCenterServiceStub,
    add_CostCenterJobServiceServicer_to_server,
    add_CostCenterServiceServicer_to_server,
)
from costcenter_rpc.servicer import CostCenterJobServicer, CostCenterServicer
from costcenter_rpc.settings import Settings
from mesh.bus.id_messages import read_ids
from mesh.channel import Peer
from mesh.server import Server
from mesh.timestamps import to_timestamp
from tests.costcenter.harness import BRAND, HOUR_MS, Center


class Rpc:
    """Stubs, and calls that many tests make: where no brand is named it is `BRAND`."""

    def __init__(self, center: Center, address: str) -> None:
        self.center = center
        self.peer = Peer("costcenter", address)
        self.stub = CostCenterServiceStub(self.peer.channel)
        self.jobs = CostCenterJobServiceStub(self.peer.channel)

    def later(self, hours: int = 24) -> Timestamp | None:
        return to_timestamp(self.center.clock.now_ms + hours * HOUR_MS)

    async def grant(self, request_id: str, num: int, *, brand_id: int = BRAND, hours: int = 24) -> pb.SmsBalance:
        request = pb.GrantSmsPackageRequest(
            brand_id=brand_id, request_id=request_id, num=num, expire_time=self.later(hours), reference="order 1"
        )
        return (await self.peer.call(self.stub.GrantSmsPackage, request)).balance

    async def freeze(self, request_id: str, num: int, *, hours: int = 0) -> str:
        expire_time = self.later(hours) if hours else None
        request = pb.SmsSendPrePayRequest(brand_id=BRAND, request_id=request_id, num=num, expire_time=expire_time)
        return (await self.peer.call(self.stub.SmsSendPrePay, request)).freeze_id

    async def pay(self, request_id: str, freeze_id: str, num: int = 0) -> str:
        request = pb.SmsSendPayRequest(brand_id=BRAND, request_id=request_id, freeze_id=freeze_id, num=num)
        return (await self.peer.call(self.stub.SmsSendPay, request)).payment_id

    async def account(self, brand_id: int = BRAND) -> pb.GetSmsAccountResponse:
        return await self.peer.call(self.stub.GetSmsAccount, pb.GetSmsAccountRequest(brand_id=brand_id))

    async def work(self, queue: str) -> list[str]:
        """Do what costcenter_rmq does with the messages that wait on a queue; answer the outcomes by name."""
        outcomes: list[str] = []
        for delivery in await self.center.bus.receive(queue, 100, 30):
            request = pb.ApplyJobsRequest(job_ids=read_ids(delivery.body))
            answer = await self.peer.call(self.jobs.ApplyJobs, request)
            outcomes += [pb.JobOutcome.Name(outcome) for outcome in answer.outcomes]
            await self.center.bus.ack([delivery])
        return outcomes


@asynccontextmanager
async def serving(center: Center) -> AsyncIterator[Rpc]:
    services = pb.DESCRIPTOR.services_by_name
    server = Server(Settings(listen="127.0.0.1:0"))
    server.add(
        add_CostCenterServiceServicer_to_server,
        CostCenterServicer(center.cost_center, center.ledger, center.jobs),
        services["CostCenterService"],
    )
    server.add(
        add_CostCenterJobServiceServicer_to_server,
        CostCenterJobServicer(center.cost_center, center.jobs),
        services["CostCenterJobService"],
    )
    await server.start()
    rpc = Rpc(center, server.address)
    yield rpc
    await rpc.peer.close()
    await server.drain()
