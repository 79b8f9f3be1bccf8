"""The coupon service in a process of its own, on an empty database."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from brandmesh.coupon.v1 import coupon_pb2 as pb
from brandmesh.coupon.v1.coupon_pb2_grpc import CouponServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from mesh.database import Database
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp
from order_rpc.coupon import tables
from tests.order.running import Running, running

BRAND = 7
USER = 1001
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Desk:
    """Who gives coupons, and orders that use them."""

    process: Running
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.stub = CouponServiceStub(self.process.peer.channel)
        self.messages = MessageServiceStub(self.process.peer.channel)

    async def issue(self, *, expires_in_ms: int = HOUR_MS, **changes: Any) -> pb.Coupon:
        fields = {
            "brand_id": BRAND,
            "user_id": str(USER),
            "request_id": self.process.next_id(),
            "coupon_price": "5.00",
            "expire_time": to_timestamp(now_ms() + expires_in_ms),
            **changes,
        }
        return (await self.process.peer.call(self.stub.IssueCoupon, pb.IssueCouponRequest(**fields))).coupon

    async def get(self, coupon: pb.Coupon, *, brand_id: int = BRAND, user_id: int = USER) -> pb.Coupon:
        request = pb.GetCouponRequest(brand_id=brand_id, user_id=str(user_id), coupon_id=coupon.coupon_id)
        return (await self.process.peer.call(self.stub.GetCoupon, request)).coupon

    async def list(self, **fields: Any) -> pb.ListCouponsResponse:
        request = pb.ListCouponsRequest(**{"brand_id": BRAND, "user_id": str(USER), **fields})
        return await self.process.peer.call(self.stub.ListCoupons, request)

    async def use(self, coupon: pb.Coupon, order_id: int, **changes: Any) -> None:
        fields = {
            "brand_id": BRAND,
            "user_id": USER,
            "coupon_id": int(coupon.coupon_id),
            "order_id": order_id,
            **changes,
        }
        await self.process.peer.call(self.stub.UseCoupon, pb.UseCouponRequest(**fields))

    async def try_use(self, coupon: pb.Coupon, order_id: int, **changes: Any) -> str:
        """Answer why the order does not get the coupon; empty if it does."""
        try:
            await self.use(coupon, order_id, **changes)
        except DomainError as error:
            return error.reason
        return ""

    async def cancel(self, *order_ids: int, msg_ids: Sequence[int] = ()) -> None:
        """Tell that orders are cancelled, each in a message of its own."""
        messages = [
            messaging_pb2.Message(
                msg_id=msg_id, producer="order", msg_topic="order", msg_tag="cancelled", msg_key=str(order_id),
                msg_body="{}",
            )
            for msg_id, order_id in zip(msg_ids or self.message_ids, order_ids, strict=False)
        ]  # fmt: skip
        request = messaging_pb2.ConsumeMessagesRequest(service="coupon", messages=messages)
        response = await self.process.peer.call(self.messages.ConsumeMessages, request)
        assert {one.status for one in response.results} == {messaging_pb2.CONSUMED_STATUS_SUCCEEDED}, response

    @staticmethod
    def pass_hours(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
        """Let it be later by the database's clock."""
        now_ms_before = Database.now_ms

        async def later_ms(database: Database, connection: AsyncConnection) -> int:
            return await now_ms_before(database, connection) + hours * HOUR_MS

        monkeypatch.setattr(Database, "now_ms", later_ms)

    async def expire(self, coupon: pb.Coupon) -> None:
        """Let the time of a coupon be over."""
        found = tables.coupon.c.coupon_id == int(coupon.coupon_id)
        await self.process.execute(sa.update(tables.coupon).where(found).values(expire_time_ms=1))


@asynccontextmanager
async def open_desk(directory: Path, **changes: Any) -> AsyncIterator[Desk]:
    async with running(directory, "coupon", **changes) as process:
        yield Desk(process)
