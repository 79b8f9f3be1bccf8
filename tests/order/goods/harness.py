"""The goods service in a process of its own, on an empty database."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brandmesh.goods.v1 import goods_pb2 as pb
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from mesh.errors import DomainError
from order_rpc.goods import tables
from tests.order.running import Running, running

BRAND = 7


@dataclass
class Store:
    """Who sells goods, and orders that take them."""

    process: Running
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.stub = GoodsServiceStub(self.process.peer.channel)
        self.messages = MessageServiceStub(self.process.peer.channel)

    async def create(self, goods_number: int = 10, **changes: Any) -> pb.Goods:
        fields = {
            "brand_id": BRAND,
            "request_id": self.process.next_id(),
            "goods_name": "毛巾",
            "goods_number": goods_number,
            "goods_price": "12.50",
            "goods_desc": "soft",
            "on_sale": True,
            **changes,
        }
        return (await self.process.peer.call(self.stub.CreateGoods, pb.CreateGoodsRequest(**fields))).goods

    async def update(self, goods: pb.Goods, **changes: Any) -> pb.Goods:
        fields = {
            "brand_id": BRAND,
            "goods_id": goods.goods_id,
            "goods_name": goods.goods_name,
            "goods_price": goods.goods_price,
            "goods_desc": goods.goods_desc,
            "on_sale": goods.on_sale,
            **changes,
        }
        return (await self.process.peer.call(self.stub.UpdateGoods, pb.UpdateGoodsRequest(**fields))).goods

    async def adjust(self, goods: pb.Goods, change: int, **changes: Any) -> pb.Goods:
        fields = {
            "brand_id": BRAND,
            "goods_id": goods.goods_id,
            "request_id": self.process.next_id(),
            "change": change,
            **changes,
        }
        return (await self.process.peer.call(self.stub.AdjustStock, pb.AdjustStockRequest(**fields))).goods

    async def get_many(self, *goods_ids: int, brand_id: int = BRAND) -> list[pb.Goods]:
        request = pb.BatchGetGoodsRequest(brand_id=brand_id, goods_ids=goods_ids)
        return list((await self.process.peer.call(self.stub.BatchGetGoods, request)).goods)

    async def get(self, goods: pb.Goods, brand_id: int = BRAND) -> pb.Goods:
        request = pb.GetGoodsRequest(brand_id=brand_id, goods_id=goods.goods_id)
        return (await self.process.peer.call(self.stub.GetGoods, request)).goods

    async def left(self, goods: pb.Goods) -> int:
        return (await self.get(goods)).goods_number

    async def page(self, **fields: Any) -> pb.ListGoodsResponse:
        request = pb.ListGoodsRequest(**{"brand_id": BRAND, **fields})
        return await self.process.peer.call(self.stub.ListGoods, request)

    async def logs(self, goods: pb.Goods, **fields: Any) -> pb.ListStockLogsResponse:
        request = pb.ListStockLogsRequest(**{"brand_id": BRAND, "goods_id": goods.goods_id, **fields})
        return await self.process.peer.call(self.stub.ListStockLogs, request)

    async def changes(self, goods: pb.Goods) -> list[tuple[str, int]]:
        """What the stock's log says, as (order_id, goods_number), newest first."""
        return [(log.order_id, log.goods_number) for log in (await self.logs(goods)).stock_logs]

    async def take(self, order_id: int, *lines: tuple[pb.Goods, int], brand_id: int = BRAND) -> None:
        request = pb.ReserveStockRequest(
            brand_id=brand_id,
            order_id=order_id,
            lines=[pb.StockLine(goods_id=int(goods.goods_id), goods_number=number) for goods, number in lines],
        )
        await self.process.peer.call(self.stub.ReserveStock, request)

    async def try_take(self, order_id: int, *lines: tuple[pb.Goods, int], brand_id: int = BRAND) -> str:
        """Answer why the order does not get its stock; empty if it does."""
        try:
            await self.take(order_id, *lines, brand_id=brand_id)
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
        request = messaging_pb2.ConsumeMessagesRequest(service="goods", messages=messages)
        response = await self.process.peer.call(self.messages.ConsumeMessages, request)
        assert {one.status for one in response.results} == {messaging_pb2.CONSUMED_STATUS_SUCCEEDED}, response

    async def reservations(self) -> dict[int, str]:
        return {row["order_id"]: row["state"] for row in await self.process.rows(tables.stock_reservation)}

    async def prove_conservation(self) -> Mapping[int, int]:
        """See that the logs of all goods add up to their stocks; answer these."""
        sums: Counter[int] = Counter()
        for log in await self.process.rows(tables.stock_log):
            sums[log["goods_id"]] += log["goods_number"]
        stocks = {row["goods_id"]: row["goods_number"] for row in await self.process.rows(tables.goods)}
        assert {goods_id: sums[goods_id] for goods_id in stocks} == stocks
        assert min(stocks.values()) >= 0
        return stocks


@asynccontextmanager
async def open_store(directory: Path, **changes: Any) -> AsyncIterator[Store]:
    async with running(directory, "goods", **changes) as process:
        yield Store(process)
