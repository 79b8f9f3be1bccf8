"""Orders: placed, and placed, paid at the channel and known to be paid; what each costs.

Orders are of one hot article, the calls are those of the contract, and the buyers are in this process.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.engine_choice import DatabaseEngine
from bench.figures import Figure
from bench.local import Measured, measured_mesh
from bench.processes import cpu_seconds, cpu_us_per_message, pids_of
from bench.rate import rate
from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from brandmesh.order.v1 import order_pb2
from brandmesh.order.v1.order_pb2_grpc import OrderServiceStub
from mesh.channel import Peer
from mesh.testing import eventually
from meshctl.demo import BRAND_IDS

ROW = "orders"
CALLERS = 64
PLACED = 6000
PAID = 2000

_PRICE = "30.00"
_ORDER_AMOUNT = "40.00"
_WARM_UP_ORDERS = 300
_SETTLE_SECONDS_MAX = 120.0
_CALL_SECONDS_MAX = 60.0


@dataclass
class Buyers:
    """Those who order of one article. Each order is a user's of its own."""

    measured: Measured
    peer: Peer
    goods_id: str

    def __post_init__(self) -> None:
        self._orders = OrderServiceStub(self.peer.channel)
        self._user_ids = itertools.count(time.time_ns() // 1000)

    async def place(self) -> order_pb2.Order:
        """Place an order."""
        request = order_pb2.CreateOrderRequest(
            brand_id=BRAND_IDS[0],
            user_id=str(next(self._user_ids)),
            request_id=uuid.uuid4().hex,
            lines=[order_pb2.CreateOrderLine(goods_id=self.goods_id, goods_number=1, goods_price=_PRICE)],
            shipping_fee="10.00",
            order_amount=_ORDER_AMOUNT,
            address="1 Bath Street",
            consignee="Li",
        )
        return (await self.peer.call(self._orders.CreateOrder, request)).order

    async def place_and_pay(self) -> order_pb2.Order:
        """Place an order and pay it at the channel, which then tells of it."""
        order = await self.place()
        request = order_pb2.PayOrderRequest(
            brand_id=BRAND_IDS[0], user_id=order.user_id, order_id=order.order_id, channel=""
        )
        opened = await self.peer.call(self._orders.PayOrder, request)
        async with self.measured.session.post(f"{opened.pay_url}:pay") as response:
            response.raise_for_status()
        return order

    async def until_paid(self, order: order_pb2.Order) -> None:
        """Wait until an order is known to be paid."""
        request = order_pb2.GetOrderRequest(brand_id=BRAND_IDS[0], user_id=order.user_id, order_id=order.order_id)

        async def is_paid() -> bool:
            now = (await self.peer.call(self._orders.GetOrder, request)).order
            return bool(now.pay_status == order_pb2.PAY_STATUS_PAID)

        await eventually(is_paid, _SETTLE_SECONDS_MAX, 0.02)


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times on one mesh."""
    async with measured_mesh(database) as measured, _buyers(measured) as buyers:
        await rate(buyers.place_and_pay, callers=CALLERS, times=_WARM_UP_ORDERS)
        placed = [await _run_placed(measured, database, buyers) for _ in range(runs)]
        paid = [await _run_paid(measured, database, buyers) for _ in range(runs)]
    return [*_figures("placed", placed), *_figures("placed and paid", paid)]


@asynccontextmanager
async def _buyers(measured: Measured) -> AsyncIterator[Buyers]:
    peer = Peer("order_rpc", measured.mesh.grpc_addresses["order"], timeout_seconds=_CALL_SECONDS_MAX)
    request = goods_pb2.CreateGoodsRequest(
        brand_id=BRAND_IDS[0],
        request_id=uuid.uuid4().hex,
        goods_name="dumplings",
        goods_number=1_000_000,
        goods_price=_PRICE,
        on_sale=True,
    )
    goods = (await peer.call(GoodsServiceStub(peer.channel).CreateGoods, request)).goods
    try:
        yield Buyers(measured, peer, goods.goods_id)
    finally:
        await peer.close()


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: orders a second until all are settled, and microseconds of processor time an order."""

    settled: float
    costs_us: dict[str, float]


async def _run_placed(measured: Measured, database: DatabaseEngine, buyers: Buyers) -> Run:
    processes = pids_of(measured, database)
    before = cpu_seconds(processes)
    settled = await rate(buyers.place, callers=CALLERS, times=PLACED)
    return Run(settled, cpu_us_per_message(before, cpu_seconds(processes), PLACED))


async def _run_paid(measured: Measured, database: DatabaseEngine, buyers: Buyers) -> Run:
    processes = pids_of(measured, database)
    orders: list[order_pb2.Order] = []

    async def buy() -> None:
        orders.append(await buyers.place_and_pay())

    before, began_at = cpu_seconds(processes), time.monotonic()
    await rate(buy, callers=CALLERS, times=PAID)
    # The last ones first: when they are known to be paid, most others are.
    await asyncio.gather(*(buyers.until_paid(order) for order in orders[-CALLERS:]))
    for order in orders[:-CALLERS]:
        await buyers.until_paid(order)
    seconds = time.monotonic() - began_at
    return Run(PAID / seconds, cpu_us_per_message(before, cpu_seconds(processes), PAID))


def _figures(name: str, runs: Sequence[Run]) -> list[Figure]:
    rates = Figure(ROW, f"{name}, {CALLERS} callers", "orders/s", tuple(run.settled for run in runs))
    costs = [
        Figure(ROW, f"{name}: {process}", "us CPU/order", tuple(run.costs_us[process] for run in runs))
        for process in runs[0].costs_us
    ]
    whole = tuple(sum(run.costs_us.values()) for run in runs)
    return [rates, *costs, Figure(ROW, f"{name}: all processes", "us CPU/order", whole)]
