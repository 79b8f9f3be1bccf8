"""What an order has to fulfil before anything is written or taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mesh.errors import DomainError, invalid_field
from order_rpc.order import refusals
from order_rpc.order.clients import Coupons, Goods, GoodsNow, Wallets
from order_rpc.order.domain import Amounts, OrderLine, OrderRequest, shipping_fee_fen
from order_rpc.plain_text import read_name, read_text


class Checking:
    """Checks orders against goods, coupons and wallets as they are now: it takes nothing, so it promises nothing."""

    def __init__(self, goods: Goods, coupons: Coupons, wallets: Wallets) -> None:
        self._goods = goods
        self._coupons = coupons
        self._wallets = wallets

    async def check(self, request: OrderRequest, now_ms: int) -> tuple[list[OrderLine], Amounts]:
        """Answer the lines and amounts of an order.

        Raises, in this order, INVALID_REQUEST, GOODS_NOT_FOUND, GOODS_NOT_ON_SALE, PRICE_WRONG, STOCK_SHORT,
        SHIPPING_FEE_WRONG, AMOUNT_WRONG, COUPON_NOT_FOUND, COUPON_USED, COUPON_EXPIRED, WALLET_SHORT.
        """
        read_text(request.address, "address")
        read_name(request.consignee, "consignee")
        goods_ids = {line.goods_id for line in request.lines}
        if len(goods_ids) < len(request.lines):
            raise invalid_field("lines", "names some goods more than once; add up how many are wanted")
        lines = _check_lines(request, await self._goods.get(request.brand_id, goods_ids))
        goods_amount_fen = sum(line.amount_fen for line in lines)
        fee_fen = shipping_fee_fen(goods_amount_fen)
        if request.shipping_fee_fen != fee_fen:
            raise refusals.shipping_fee_wrong(fee_fen)
        if request.order_amount_fen != goods_amount_fen + fee_fen:
            raise refusals.amount_wrong(goods_amount_fen + fee_fen)
        coupon_fen = await self._check_coupon(request, now_ms) if request.coupon_id else 0
        await self._check_coins(request, coupon_fen)
        return lines, Amounts(goods_amount_fen, fee_fen, coupon_fen, request.money_paid_fen)

    async def _check_coupon(self, request: OrderRequest, now_ms: int) -> int:
        try:
            coupon = await self._coupons.get(request.brand_id, request.user_id, request.coupon_id)
        except DomainError as error:
            if error.reason == "COUPON_NOT_FOUND":
                raise refusals.coupon_refused(error.reason, error.message) from error
            raise
        if coupon.is_used:
            raise refusals.coupon_refused("COUPON_USED", f"coupon {request.coupon_id} is used already")
        if coupon.expire_time_ms <= now_ms:
            raise refusals.coupon_refused("COUPON_EXPIRED", f"coupon {request.coupon_id} is past its time")
        return coupon.coupon_price_fen

    async def _check_coins(self, request: OrderRequest, coupon_fen: int) -> None:
        if not request.money_paid_fen:
            return
        left_fen = max(request.order_amount_fen - coupon_fen, 0)
        if request.money_paid_fen > left_fen:
            raise refusals.too_many_coins(left_fen)
        balance_fen = await self._wallets.balance_fen(request.brand_id, request.user_id)
        if request.money_paid_fen > balance_fen:
            raise refusals.wallet_short(balance_fen)


def _check_lines(request: OrderRequest, goods: Mapping[int, GoodsNow]) -> list[OrderLine]:
    return [_check_line(position, goods, request.lines) for position in range(len(request.lines))]


def _check_line(position: int, goods: Mapping[int, GoodsNow], wanted: Sequence[tuple[int, int, int]]) -> OrderLine:
    goods_id, goods_number, price_fen = wanted[position]
    now = goods.get(goods_id)
    if now is None:
        raise refusals.goods_not_found(position, goods_id)
    if not now.on_sale:
        raise refusals.goods_not_on_sale(position, goods_id)
    if price_fen != now.goods_price_fen:
        raise refusals.price_wrong(position, goods_id, now.goods_price_fen)
    if goods_number > now.goods_number:
        raise refusals.stock_short(position, goods_id, now.goods_number)
    return OrderLine(goods_id, now.goods_name, goods_number, price_fen)
