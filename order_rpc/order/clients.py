"""The peers in this service's words. Each call may raise DomainError, and may be made again as it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from brandmesh.coupon.v1 import coupon_pb2
from brandmesh.coupon.v1.coupon_pb2_grpc import CouponServiceStub
from brandmesh.goods.v1 import goods_pb2
from brandmesh.goods.v1.goods_pb2_grpc import GoodsServiceStub
from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from brandmesh.wallet.v1 import wallet_pb2
from brandmesh.wallet.v1.wallet_pb2_grpc import WalletServiceStub
from mesh.channel import Peer
from mesh.money import to_fen
from mesh.timestamps import to_ms
from order_rpc.order.domain import Order, OrderLine

BUSINESS = "order"
"""Who we are to the payment service."""


@dataclass(frozen=True, slots=True)
class GoodsNow:
    """Goods as they are now."""

    goods_name: str
    goods_number: int
    goods_price_fen: int
    on_sale: bool


@dataclass(frozen=True, slots=True)
class CouponNow:
    """A coupon as it is now."""

    coupon_price_fen: int
    is_used: bool
    expire_time_ms: int


@dataclass(frozen=True, slots=True)
class OpenedPayment:
    """Where to pay."""

    pay_id: str
    pay_url: str


class Goods:
    """The goods service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = GoodsServiceStub(peer.channel)

    async def get(self, brand_id: int, goods_ids: Collection[int]) -> dict[int, GoodsNow]:
        """Answer those of the goods that the brand has."""
        request = goods_pb2.BatchGetGoodsRequest(brand_id=brand_id, goods_ids=sorted(goods_ids))
        response = await self._peer.call(self._stub.BatchGetGoods, request)
        return {
            int(one.goods_id): GoodsNow(
                one.goods_name, one.goods_number, to_fen(one.goods_price, "goods_price"), one.on_sale
            )
            for one in response.goods
        }

    async def reserve(self, order: Order, lines: Sequence[OrderLine]) -> None:
        """Take the stock of an order."""
        request = goods_pb2.ReserveStockRequest(
            brand_id=order.brand_id,
            order_id=order.order_id,
            lines=[goods_pb2.StockLine(goods_id=one.goods_id, goods_number=one.goods_number) for one in lines],
        )
        await self._peer.call(self._stub.ReserveStock, request)


class Coupons:
    """The coupon service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = CouponServiceStub(peer.channel)

    async def get(self, brand_id: int, user_id: int, coupon_id: int) -> CouponNow:
        """Answer a coupon. Raises COUPON_NOT_FOUND for another user's too."""
        request = coupon_pb2.GetCouponRequest(brand_id=brand_id, user_id=str(user_id), coupon_id=str(coupon_id))
        coupon = (await self._peer.call(self._stub.GetCoupon, request)).coupon
        price_fen = to_fen(coupon.coupon_price, "coupon_price")
        return CouponNow(price_fen, coupon.is_used, to_ms(coupon.expire_time))

    async def use(self, order: Order) -> None:
        """Use the coupon of an order."""
        request = coupon_pb2.UseCouponRequest(
            brand_id=order.brand_id, user_id=order.user_id, coupon_id=order.coupon_id, order_id=order.order_id
        )
        await self._peer.call(self._stub.UseCoupon, request)


class Wallets:
    """The wallet service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = WalletServiceStub(peer.channel)

    async def balance_fen(self, brand_id: int, user_id: int) -> int:
        """Answer what a user has."""
        request = wallet_pb2.GetWalletRequest(brand_id=brand_id, user_id=str(user_id))
        return to_fen((await self._peer.call(self._stub.GetWallet, request)).wallet.user_money, "user_money")

    async def debit(self, order: Order) -> None:
        """Take the coins of an order."""
        request = wallet_pb2.DebitWalletRequest(
            brand_id=order.brand_id, user_id=order.user_id, order_id=order.order_id, amount_fen=order.money_paid_fen
        )
        await self._peer.call(self._stub.DebitWallet, request)


class Payments:
    """The payment service."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PaymentServiceStub(peer.channel)

    async def open(self, order: Order, channel: str) -> OpenedPayment:
        """Open the payment of what is left to pay. Raises PAYMENT_CLOSED, PAYMENT_CHANNEL_UNAVAILABLE."""
        request = payment_pb2.CreatePaymentRequest(
            business=BUSINESS,
            business_id=str(order.order_id),
            brand_id=order.brand_id,
            pay_amount_fen=order.pay_amount_fen,
            subject=f"Order {order.order_id}",
            channel=channel,
        )
        payment = (await self._peer.call(self._stub.CreatePayment, request)).payment
        return OpenedPayment(payment.pay_id, payment.pay_url)
