"""A shop for tests: order_rpc with all its services, and the stubs of those who buy and sell."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from brandmesh.coupon.v1 import coupon_pb2
from brandmesh.coupon.v1.coupon_pb2_grpc import CouponServiceStub
from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from brandmesh.order.v1 import order_pb2 as pb
from brandmesh.order.v1.order_pb2_grpc import OrderJobServiceStub, OrderServiceStub
from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from brandmesh.wallet.v1 import wallet_pb2
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletServiceStub
from mesh.channel import Request, Response, UnaryMethod
from mesh.money import to_fen, to_yuan
from mesh.testing import eventually
from order_rpc.order.domain import shipping_fee_fen
from tests.order.running import Running, running

BRAND = 7
USER = "71"
OTHER_USER = "72"

Lines = Sequence[tuple[goods_pb2.Goods, int]]


@dataclass
class Shop:
    """One brand, its goods, and its users."""

    running: Running

    def __post_init__(self) -> None:
        channel = self.running.peer.channel
        self.orders = OrderServiceStub(channel)
        self.jobs = OrderJobServiceStub(channel)
        self.goods = GoodsServiceStub(channel)
        self.coupons = CouponServiceStub(channel)
        self.wallets = WalletServiceStub(channel)
        self.payments = PaymentServiceStub(channel)

    async def call(self, method: UnaryMethod[Request, Response], request: Request) -> Response:
        return await self.running.peer.call(method, request)

    # The seller.

    async def add_goods(self, price: str = "30.00", number: int = 10, *, on_sale: bool = True) -> goods_pb2.Goods:
        request = goods_pb2.CreateGoodsRequest(
            brand_id=BRAND,
            request_id=self.running.next_id(),
            goods_name="水饺",
            goods_number=number,
            goods_price=price,
            on_sale=on_sale,
        )
        return (await self.call(self.goods.CreateGoods, request)).goods

    async def stock(self, goods: goods_pb2.Goods) -> int:
        request = goods_pb2.GetGoodsRequest(brand_id=BRAND, goods_id=goods.goods_id)
        return int((await self.call(self.goods.GetGoods, request)).goods.goods_number)

    async def issue_coupon(self, price: str = "5.00", user_id: str = USER) -> coupon_pb2.Coupon:
        request = coupon_pb2.IssueCouponRequest(
            brand_id=BRAND,
            user_id=user_id,
            request_id=self.running.next_id(),
            coupon_price=price,
            expire_time=Timestamp(seconds=int(time.time()) + 3600),
        )
        return (await self.call(self.coupons.IssueCoupon, request)).coupon

    async def coupon(self, coupon: coupon_pb2.Coupon) -> coupon_pb2.Coupon:
        request = coupon_pb2.GetCouponRequest(brand_id=BRAND, user_id=coupon.user_id, coupon_id=coupon.coupon_id)
        return (await self.call(self.coupons.GetCoupon, request)).coupon

    async def ship(self, order: pb.Order) -> pb.Order:
        request = pb.ShipOrderRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return (await self.call(self.orders.ShipOrder, request)).order

    async def refund(self, order: pb.Order, amount: str, request_id: str = "") -> pb.Order:
        request = pb.RefundOrderRequest(
            brand_id=BRAND,
            user_id=order.user_id,
            order_id=order.order_id,
            request_id=request_id or self.running.next_id(),
            refund_amount=amount,
        )
        return (await self.call(self.orders.RefundOrder, request)).order

    # The buyer.

    def request(self, bought: Lines, **changes: Any) -> pb.CreateOrderRequest:
        """What an app sends that shows its user the right prices, with changes."""
        goods_fen = sum(to_fen(goods.goods_price, "") * number for goods, number in bought)
        fee_fen = shipping_fee_fen(goods_fen)
        fields: dict[str, Any] = {
            "brand_id": BRAND,
            "user_id": USER,
            "request_id": self.running.next_id(),
            "lines": [
                pb.CreateOrderLine(goods_id=goods.goods_id, goods_number=number, goods_price=goods.goods_price)
                for goods, number in bought
            ],
            "shipping_fee": to_yuan(fee_fen),
            "order_amount": to_yuan(goods_fen + fee_fen),
            "address": "1 Bath Street",
            "consignee": "Li",
        }
        return pb.CreateOrderRequest(**fields | changes)

    async def order(self, bought: Lines, **changes: Any) -> pb.Order:
        return await self.place(self.request(bought, **changes))

    async def place(self, request: pb.CreateOrderRequest) -> pb.Order:
        return (await self.call(self.orders.CreateOrder, request)).order

    async def get(self, order: pb.Order) -> pb.Order:
        request = pb.GetOrderRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return (await self.call(self.orders.GetOrder, request)).order

    async def pay(self, order: pb.Order) -> pb.PayOrderResponse:
        request = pb.PayOrderRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return await self.call(self.orders.PayOrder, request)

    async def cancel(self, order: pb.Order) -> pb.Order:
        request = pb.CancelOrderRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return (await self.call(self.orders.CancelOrder, request)).order

    async def receive(self, order: pb.Order) -> pb.Order:
        request = pb.ConfirmReceiptRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return (await self.call(self.orders.ConfirmReceipt, request)).order

    async def events(self, order: pb.Order) -> list[str]:
        request = pb.ListOrderEventsRequest(brand_id=BRAND, user_id=order.user_id, order_id=order.order_id)
        return [event.event for event in (await self.call(self.orders.ListOrderEvents, request)).events]

    async def balance(self, user_id: str = USER) -> str:
        request = wallet_pb2.GetWalletRequest(brand_id=BRAND, user_id=user_id)
        return str((await self.call(self.wallets.GetWallet, request)).wallet.user_money)

    async def payment(self, order: pb.Order) -> payment_pb2.Payment:
        request = payment_pb2.GetPaymentRequest(business="order", business_id=order.order_id)
        return (await self.call(self.payments.GetPayment, request)).payment

    async def until(self, order: pb.Order, **wanted: int) -> pb.Order:
        """Wait until an order's fields are these."""

        async def look() -> pb.Order | None:
            now = await self.get(order)
            assert {name: getattr(now, name) for name in wanted} == wanted
            return now

        return await eventually(look)


@asynccontextmanager
async def running_shop(directory: Path, *services: str, **changes: Any) -> AsyncIterator[Shop]:
    async with running(directory, *services, **changes) as process:
        yield Shop(process)
