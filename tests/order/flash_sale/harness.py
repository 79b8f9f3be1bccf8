"""Flash sales, wallets and orders, real, in one process over a real database and a real Redis."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import FlashSaleJobServiceStub, FlashSaleServiceStub
from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.messaging.v1.messaging_pb2_grpc import MessageServiceStub
from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderServiceStub
from brandmesh.wallet.v1 import wallet_pb2
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletServiceStub
from mesh.batch import unpack
from mesh.errors import DomainError
from mesh.money import to_fen
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from mesh.timestamps import to_timestamp
from order_rpc.flash_sale import tables
from order_rpc.flash_sale.admission import keys_of
from tests.order.running import Running, SwitchedBus, running

BRAND = 7
OTHER_BRAND = 8
SELLER = 1
OTHER_SELLER = 2
BUYER = 11
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

IN_PROGRESS = pb.ATTEMPT_STATUS_IN_PROGRESS
SOLD = pb.ATTEMPT_STATUS_SOLD
COINS_SHORT = pb.ATTEMPT_STATUS_COINS_SHORT
TIMED_OUT = pb.ATTEMPT_STATUS_TIMED_OUT

SUCCEEDED = messaging_pb2.CONSUMED_STATUS_SUCCEEDED
FAILED = messaging_pb2.CONSUMED_STATUS_FAILED


Bought = pb.Attempt | DomainError


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Clock:
    """The bus's clock, which a test can put forward."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


@dataclass
class Market:
    """Those who sell and buy, and what they are reached by."""

    running: Running
    redis: Redis
    bus_clock: Clock
    message_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        channel = self.running.peer.channel
        self.sales = FlashSaleServiceStub(channel)
        self.jobs = FlashSaleJobServiceStub(channel)
        self.orders = OrderServiceStub(channel)
        self.wallets = WalletServiceStub(channel)
        self.messages = MessageServiceStub(channel)

    async def call(self, method: Any, request: Any) -> Any:
        return await self.running.peer.call(method, request)

    # The seller.

    def description(self, **changes: Any) -> dict[str, Any]:
        start_ms, end_ms = changes.pop("start_ms", now_ms() - 1000), changes.pop("end_ms", now_ms() + HOUR_MS)
        return {
            "goods_name": "水饺",
            "price": "9.90",
            "goods_number": 10,
            "start_time": to_timestamp(start_ms),
            "end_time": to_timestamp(end_ms),
            "notify_email": "seller@example.com",
        } | changes

    async def publish(self, *, brand_id: int = BRAND, seller_id: int = SELLER, **changes: Any) -> pb.FlashSale:
        fields = {"request_id": self.running.next_id()} | self.description(**changes)
        request = pb.CreateFlashSaleRequest(brand_id=brand_id, user_id=str(seller_id), **fields)
        sale: pb.FlashSale = (await self.call(self.sales.CreateFlashSale, request)).flash_sale
        return sale

    async def edit(self, sale: pb.FlashSale, *, seller_id: int = SELLER, **changes: Any) -> pb.FlashSale:
        request = pb.UpdateFlashSaleRequest(
            brand_id=changes.pop("brand_id", BRAND),
            user_id=str(seller_id),
            flash_sale_id=sale.flash_sale_id,
            **self.description(**changes),
        )
        edited: pb.FlashSale = (await self.call(self.sales.UpdateFlashSale, request)).flash_sale
        return edited

    async def get(self, sale: pb.FlashSale) -> pb.FlashSale:
        request = pb.GetFlashSaleRequest(brand_id=BRAND, flash_sale_id=sale.flash_sale_id)
        found: pb.FlashSale = (await self.call(self.sales.GetFlashSale, request)).flash_sale
        return found

    # The buyers.

    def request(self, sale: pb.FlashSale, user_id: int = BUYER, request_id: str = "") -> pb.BuyFlashSaleRequest:
        return pb.BuyFlashSaleRequest(
            brand_id=BRAND,
            user_id=str(user_id),
            flash_sale_id=sale.flash_sale_id,
            request_id=request_id or self.running.next_id(),
        )

    async def buy(self, sale: pb.FlashSale, user_id: int = BUYER, request_id: str = "") -> pb.Attempt:
        request = self.request(sale, user_id, request_id)
        attempt: pb.Attempt = (await self.call(self.sales.BuyFlashSale, request)).attempt
        return attempt

    async def try_to_buy(self, sale: pb.FlashSale, user_id: int = BUYER, request_id: str = "") -> Bought:
        try:
            return await self.buy(sale, user_id, request_id)
        except DomainError as error:
            return error

    async def buy_many(self, requests: Sequence[pb.BuyFlashSaleRequest]) -> list[Bought]:
        request = pb.BatchBuyFlashSaleRequest(requests=requests)
        response: pb.BatchBuyFlashSaleResponse = await self.call(self.sales.BatchBuyFlashSale, request)
        return [one if isinstance(one, DomainError) else one.attempt for one in unpack(response.results)]

    async def attempt(self, attempt: pb.Attempt) -> pb.Attempt:
        request = pb.GetAttemptRequest(
            brand_id=BRAND,
            user_id=attempt.user_id,
            flash_sale_id=attempt.flash_sale_id,
            attempt_id=attempt.attempt_id,
        )
        found: pb.Attempt = (await self.call(self.sales.GetAttempt, request)).attempt
        return found

    async def ended(self, attempt: pb.Attempt) -> pb.Attempt:
        """Poll until an attempt has come to its end."""

        async def poll() -> pb.Attempt | None:
            found = await self.attempt(attempt)
            return found if found.status != IN_PROGRESS else None

        return await eventually(poll, timeout_seconds=20)

    async def order(self, attempt: pb.Attempt) -> order_pb2.Order:
        """Wait for the order that an attempt became."""

        async def ask() -> order_pb2.Order | None:
            request = order_pb2.GetOrderRequest(
                brand_id=BRAND, user_id=attempt.user_id, order_id=(await self.attempt(attempt)).order_id
            )
            try:
                found: order_pb2.Order = (await self.call(self.orders.GetOrder, request)).order
            except DomainError:
                return None
            return found

        return await eventually(ask, timeout_seconds=20)

    # Coins.

    async def fund(self, amount_fen: int, *user_ids: int) -> None:
        """Give each of the users coins, as for something that was sold."""
        messages = [
            self.message(
                "order", "received", 900_000 + next(self.message_ids),
                seller_id=user_id, brand_id=BRAND, amount_fen=amount_fen,
            )
            for user_id in user_ids
        ]  # fmt: skip
        for start in range(0, len(messages), 1000):
            results = await self.tell("wallet", *messages[start : start + 1000])
            assert {result.status for result in results} == {SUCCEEDED}, results

    async def balance_fen(self, user_id: int = BUYER) -> int:
        request = wallet_pb2.GetWalletRequest(brand_id=BRAND, user_id=str(user_id))
        return to_fen((await self.call(self.wallets.GetWallet, request)).wallet.user_money, "user_money")

    # Messages, as order_rmq hands them over.

    def message(self, topic: str, tag: str, key: object, **body: object) -> messaging_pb2.Message:
        return messaging_pb2.Message(
            producer=topic,
            msg_id=1_000_000 + next(self.message_ids),
            msg_topic=topic,
            msg_tag=tag,
            msg_key=str(key),
            msg_body=json.dumps(body),
        )

    async def tell(self, service: str, *messages: messaging_pb2.Message) -> list[messaging_pb2.ConsumeResult]:
        request = messaging_pb2.ConsumeMessagesRequest(service=service, messages=messages)
        return list((await self.call(self.messages.ConsumeMessages, request)).results)

    async def answer(self, tag: str, *attempts: pb.Attempt) -> list[messaging_pb2.ConsumeResult]:
        """Tell flash sales what the wallet says of attempts."""
        order_ids = {row["attempt_id"]: row["order_id"] for row in await self.running.rows(tables.attempt)}
        messages = [self.message("wallet", tag, order_ids[int(one.attempt_id)]) for one in attempts]
        return await self.tell("flash_sale", *messages)

    async def written(self, tag: str) -> list[dict[str, Any]]:
        """Answer the bodies of the messages that flash sales wrote, with their keys."""
        return [
            {"key": row["msg_key"], "to": row["group_name"], **json.loads(row["msg_body"])}
            for row in await self.running.rows(tables.produced_message)
            if row["msg_tag"] == tag
        ]

    # What nobody but a test does.

    async def in_redis(self, sale: pb.FlashSale) -> int:
        """Answer how many are left by Redis."""
        left = await self.redis.hget(keys_of(int(sale.flash_sale_id))[0], "left")
        assert left is not None
        return int(left)

    async def kept_ms(self, sale: pb.FlashSale) -> list[int]:
        """Answer for how long each key of a sale is kept by Redis, of those that are there."""
        kept = [await self.redis.pttl(key) for key in keys_of(int(sale.flash_sale_id))]
        return [one for one in kept if one != -2]

    async def left(self, sale: pb.FlashSale) -> tuple[int, int]:
        """Answer how many are left by Redis and by the rows."""
        return await self.in_redis(sale), int((await self.get(sale)).left_number)

    async def until_left(self, sale: pb.FlashSale, number: int) -> None:
        """Wait until so many are left by both: Redis hears of what came of an attempt after the rows."""

        async def is_so() -> bool:
            assert await self.left(sale) == (number, number)
            return True

        await eventually(is_so)

    def skip_visibility(self) -> None:
        """Let the time be over for which the bus hides what a consumer had when it was killed."""
        self.bus_clock.ahead_ms += 31_000

    async def lose_redis(self) -> None:
        await self.redis.flushall()

    async def repair(self) -> int:
        request = pb.RepairAdmissionsRequest(flash_sales_max=100)
        return int((await self.call(self.jobs.RepairAdmissions, request)).repaired_count)

    async def cancel_overdue(self) -> int:
        request = pb.CancelOverdueAttemptsRequest(attempts_max=100)
        return int((await self.call(self.jobs.CancelOverdueAttempts, request)).cancelled_count)

    async def set_sale(self, sale: pb.FlashSale, **values: int) -> None:
        """Change a row, as time would, and let Redis read it anew."""
        table = tables.flash_sale
        sale_id = int(sale.flash_sale_id)
        await self.running.execute(sa.update(table).where(table.c.flash_sale_id == sale_id).values(values))
        await self.redis.delete(*keys_of(sale_id))

    async def run_out(self, *attempts: pb.Attempt) -> None:
        """Let the time of attempts be over."""
        table = tables.attempt
        ids = [int(one.attempt_id) for one in attempts]
        await self.running.execute(sa.update(table).where(table.c.attempt_id.in_(ids)).values(add_time_ms=1))


def got(answers: Sequence[Bought]) -> list[pb.Attempt]:
    """Answer those who got something."""
    return [one for one in answers if isinstance(one, pb.Attempt)]


def reasons(answers: Sequence[Bought]) -> set[str]:
    """Answer why the others did not."""
    return {one.reason for one in answers if isinstance(one, DomainError)}


async def all_at_once(market: Market, sale: pb.FlashSale, user_ids: Sequence[int]) -> list[Bought]:
    """Let users try at one moment, each by a call of its own."""
    return await asyncio.gather(*(market.try_to_buy(sale, user_id) for user_id in user_ids))


@asynccontextmanager
async def open_market(directory: Path, redis_url: str, **changes: Any) -> AsyncIterator[Market]:
    """Serve flash sales, and all services beside them if none is named, on an empty database."""
    redis = connect_redis(redis_url, "tests")
    services = changes.pop("services", ())
    clock = Clock()
    try:
        async with running(directory, *services, redis_url=redis_url, bus=SwitchedBus(clock), **changes) as one:
            yield Market(one, redis, clock)
    finally:
        await redis.aclose()
