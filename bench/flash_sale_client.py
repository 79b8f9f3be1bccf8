"""What a benchmark asks of flash sales: one that sells, and many who buy."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import FlashSaleServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderServiceStub
from mesh.channel import Peer
from mesh.timestamps import to_timestamp

BATCH_SIZE = 1000
BATCH_CALLERS = 4

_FIRST_SELLER_ID = 1_000_000_000
_PAGE_SIZE = 1000
_POLL_SECONDS = 0.05
_PRICE_FEN = 990
_HOUR_MS = 3_600_000
_SETTLE_SECONDS_MAX = 120.0


class Client:
    """Sells and buys as a service of the mesh would."""

    def __init__(self, peer: Peer, brand_id: int) -> None:
        self._peer = peer
        self._brand_id = brand_id
        self._sales = FlashSaleServiceStub(peer.channel)
        self._messages = MessageServiceStub(peer.channel)
        self._orders = OrderServiceStub(peer.channel)
        self._numbers = itertools.count(time.time_ns())
        self._seller_ids = itertools.count(_FIRST_SELLER_ID)

    async def publish(self, goods_number: int) -> pb.FlashSale:
        """Begin a sale of a new seller."""
        now_ms = time.time_ns() // 1_000_000
        request = pb.CreateFlashSaleRequest(
            brand_id=self._brand_id,
            user_id=str(next(self._seller_ids)),
            request_id=f"bench-{next(self._numbers)}",
            goods_name="bench",
            price=f"{_PRICE_FEN / 100:.2f}",
            goods_number=goods_number,
            start_time=to_timestamp(now_ms - 1000),
            end_time=to_timestamp(now_ms + _HOUR_MS),
        )
        sale: pb.FlashSale = (await self._peer.call(self._sales.CreateFlashSale, request)).flash_sale
        return sale

    async def fund(self, user_ids: Sequence[int]) -> None:
        """Give each user the coins of one purchase, as for something that was sold."""
        for start in range(0, len(user_ids), BATCH_SIZE):
            messages = [self._earning(user_id) for user_id in user_ids[start : start + BATCH_SIZE]]
            request = messaging_pb2.ConsumeMessagesRequest(service="wallet", messages=messages)
            response = await self._peer.call(self._messages.ConsumeMessages, request, _SETTLE_SECONDS_MAX)
            if any(one.status != messaging_pb2.CONSUMED_STATUS_SUCCEEDED for one in response.results):
                raise AssertionError(f"no coins: {response.results[0]}")

    def _earning(self, user_id: int) -> messaging_pb2.Message:
        number = next(self._numbers)
        body = {"seller_id": user_id, "brand_id": self._brand_id, "amount_fen": _PRICE_FEN}
        return messaging_pb2.Message(
            producer="bench",
            msg_id=number,
            msg_topic="order",
            msg_tag="received",
            msg_key=str(number),
            msg_body=json.dumps(body),
        )

    def requests(self, sale: pb.FlashSale, user_ids: Sequence[int]) -> list[pb.BatchBuyFlashSaleRequest]:
        """Make batches of attempts, each with a request of its own."""
        attempts = [
            pb.BuyFlashSaleRequest(
                brand_id=self._brand_id,
                user_id=str(user_id + 1),
                flash_sale_id=sale.flash_sale_id,
                request_id=f"{sale.flash_sale_id}-{number}",
            )
            for number, user_id in enumerate(user_ids)
        ]
        return [
            pb.BatchBuyFlashSaleRequest(requests=attempts[start : start + BATCH_SIZE])
            for start in range(0, len(attempts), BATCH_SIZE)
        ]

    async def buy(self, batches: Sequence[pb.BatchBuyFlashSaleRequest]) -> list[pb.BuyFlashSaleResult]:
        """Send batches by some callers; answer all results."""
        waiting = iter(batches)
        results: list[pb.BuyFlashSaleResult] = []

        async def call() -> None:
            for batch in waiting:
                results.extend((await self._peer.call(self._sales.BatchBuyFlashSale, batch, 60)).results)

        async with asyncio.TaskGroup() as group:
            for _ in range(BATCH_CALLERS):
                group.create_task(call())
        return results

    async def left(self, sale: pb.FlashSale) -> int:
        """Answer what is left."""
        request = pb.GetFlashSaleRequest(brand_id=self._brand_id, flash_sale_id=sale.flash_sale_id)
        return int((await self._peer.call(self._sales.GetFlashSale, request)).flash_sale.left_number)

    async def until_settled(self, sale: pb.FlashSale, orders: int) -> None:
        """Wait until the seller has so many orders, each of them paid. Raises TimeoutError."""
        async with asyncio.timeout(_SETTLE_SECONDS_MAX):
            while await self._orders_of(sale) < orders:  # noqa: ASYNC110  # another process has them
                await asyncio.sleep(_POLL_SECONDS)

    async def _orders_of(self, sale: pb.FlashSale) -> int:
        request = order_pb2.ListSalesRequest(brand_id=self._brand_id, user_id=sale.seller_id, page_size=_PAGE_SIZE)
        count = 0
        while True:
            page = await self._peer.call(self._orders.ListSales, request)
            count += len(page.orders)
            if not page.next_page_token:
                return count
            request.page_token = page.next_page_token
