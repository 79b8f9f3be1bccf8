"""The cart service and the goods service that it asks, in one process, on an empty database."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from brandmesh.cart.v1 import cart_pb2 as pb
from brandmesh.cart.v1.cart_pb2_grpc import CartServiceStub
from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from tests.order.running import Running, running

BRAND = 7
USER = 1001


@dataclass
class Shop:
    """Users with carts."""

    process: Running
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.stub = CartServiceStub(self.process.peer.channel)
        self.goods = GoodsServiceStub(self.process.peer.channel)
        self.messages = MessageServiceStub(self.process.peer.channel)

    async def create(self, **changes: Any) -> str:
        """Sell new goods; answer their id."""
        fields = {
            "brand_id": BRAND,
            "request_id": self.process.next_id(),
            "goods_name": "毛巾",
            "goods_number": 10,
            "goods_price": "12.50",
            "on_sale": True,
            **changes,
        }
        response = await self.process.peer.call(self.goods.CreateGoods, goods_pb2.CreateGoodsRequest(**fields))
        return response.goods.goods_id

    async def update(self, goods_id: str, **changes: Any) -> None:
        fields = {
            "brand_id": BRAND,
            "goods_id": goods_id,
            "goods_name": "毛巾",
            "goods_price": "12.50",
            "on_sale": True,
            **changes,
        }
        await self.process.peer.call(self.goods.UpdateGoods, goods_pb2.UpdateGoodsRequest(**fields))

    async def put(self, goods_id: str, goods_number: int = 1, **changes: Any) -> pb.Cart:
        fields = {
            "brand_id": BRAND,
            "user_id": str(USER),
            "goods_id": goods_id,
            "goods_number": goods_number,
            **changes,
        }
        return (await self.process.peer.call(self.stub.PutCartLine, pb.PutCartLineRequest(**fields))).cart

    async def delete(self, goods_id: str, **changes: Any) -> pb.Cart:
        fields = {"brand_id": BRAND, "user_id": str(USER), "goods_id": goods_id, **changes}
        return (await self.process.peer.call(self.stub.DeleteCartLine, pb.DeleteCartLineRequest(**fields))).cart

    async def clear(self, **changes: Any) -> None:
        fields = {"brand_id": BRAND, "user_id": str(USER), **changes}
        await self.process.peer.call(self.stub.ClearCart, pb.ClearCartRequest(**fields))

    async def get(self, **changes: Any) -> pb.Cart:
        fields = {"brand_id": BRAND, "user_id": str(USER), **changes}
        return (await self.process.peer.call(self.stub.GetCart, pb.GetCartRequest(**fields))).cart

    async def confirm(
        self, *goods_ids: str, msg_id: int = 0, body: dict[str, Any] | None = None, brand_id: int = BRAND
    ) -> Sequence[messaging_pb2.ConsumeResult]:
        """Tell that an order of these goods is confirmed."""
        said = body or {"user_id": USER, "brand_id": brand_id, "goods_ids": [int(one) for one in goods_ids]}
        message = messaging_pb2.Message(
            msg_id=msg_id or next(self.message_ids),
            producer="order",
            msg_topic="order",
            msg_tag="confirmed",
            msg_key="1",
            msg_body=orjson.dumps(said).decode(),
        )
        request = messaging_pb2.ConsumeMessagesRequest(service="cart", messages=[message])
        return (await self.process.peer.call(self.messages.ConsumeMessages, request)).results


def numbers(cart: pb.Cart) -> dict[str, int]:
    """How many of which goods are in a cart, in the order in which they were put in."""
    return {line.goods_id: line.goods_number for line in cart.lines}


@asynccontextmanager
async def open_shop(directory: Path, **changes: Any) -> AsyncIterator[Shop]:
    async with running(directory, "cart", "goods", **changes) as process:
        yield Shop(process)
