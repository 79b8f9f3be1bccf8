"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any, TypeAlias

from brandmesh.cart.v1 import cart_pb2 as pb
from brandmesh.cart.v1.cart_pb2_grpc import CartServiceServicer
from mesh.money import to_yuan
from mesh.timestamps import to_timestamp
from order_rpc.cart.domain import CartKey, PricedCart, PricedLine
from order_rpc.cart.service import Carts

Context = Any
"""grpc.aio's context, which no method here reads."""

Request: TypeAlias = pb.PutCartLineRequest | pb.DeleteCartLineRequest | pb.ClearCartRequest | pb.GetCartRequest


class CartServicer(CartServiceServicer):
    """What apps call."""

    def __init__(self, carts: Carts) -> None:
        self._carts = carts

    async def PutCartLine(self, request: pb.PutCartLineRequest, context: Context) -> pb.PutCartLineResponse:
        cart = await self._carts.put(_key(request), int(request.goods_id), request.goods_number)
        return pb.PutCartLineResponse(cart=_cart(cart))

    async def DeleteCartLine(self, request: pb.DeleteCartLineRequest, context: Context) -> pb.DeleteCartLineResponse:
        return pb.DeleteCartLineResponse(cart=_cart(await self._carts.delete(_key(request), int(request.goods_id))))

    async def ClearCart(self, request: pb.ClearCartRequest, context: Context) -> pb.ClearCartResponse:
        await self._carts.clear(_key(request))
        return pb.ClearCartResponse()

    async def GetCart(self, request: pb.GetCartRequest, context: Context) -> pb.GetCartResponse:
        return pb.GetCartResponse(cart=_cart(await self._carts.get(_key(request))))


def _key(request: Request) -> CartKey:
    return CartKey(request.brand_id, int(request.user_id))


def _cart(cart: PricedCart) -> pb.Cart:
    return pb.Cart(lines=[_line(line) for line in cart.lines], goods_amount=to_yuan(cart.goods_amount_fen))


def _line(priced: PricedLine) -> pb.CartLine:
    line, goods = priced.line, priced.goods
    return pb.CartLine(
        goods_id=str(line.goods_id),
        goods_number=line.goods_number,
        goods_name=goods.goods_name if goods else "",
        goods_price=to_yuan(goods.goods_price_fen) if goods else "",
        stock_number=goods.goods_number if goods else 0,
        can_be_ordered=priced.can_be_ordered,
        add_time=to_timestamp(line.add_time_ms),
    )
