"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any

from brandmesh.coupon.v1 import coupon_pb2 as pb
from brandmesh.coupon.v1.coupon_pb2_grpc import CouponServiceServicer
from mesh.money import to_fen, to_yuan
from mesh.pages import PageRequest
from mesh.timestamps import to_ms, to_timestamp
from order_rpc.coupon.domain import Coupon, Wish
from order_rpc.coupon.service import Coupons
from order_rpc.coupon.using import CouponUsing

Context = Any
"""grpc.aio's context, which no method here reads."""


class CouponServicer(CouponServiceServicer):
    """What apps and orders call."""

    def __init__(self, coupons: Coupons, using: CouponUsing) -> None:
        self._coupons = coupons
        self._using = using

    async def IssueCoupon(self, request: pb.IssueCouponRequest, context: Context) -> pb.IssueCouponResponse:
        coupon = await self._coupons.issue(
            request.brand_id,
            int(request.user_id),
            request.request_id,
            to_fen(request.coupon_price, "coupon_price"),
            to_ms(request.expire_time),
        )
        return pb.IssueCouponResponse(coupon=_coupon(coupon))

    async def GetCoupon(self, request: pb.GetCouponRequest, context: Context) -> pb.GetCouponResponse:
        coupon = await self._coupons.get(request.brand_id, int(request.user_id), int(request.coupon_id))
        return pb.GetCouponResponse(coupon=_coupon(coupon))

    async def ListCoupons(self, request: pb.ListCouponsRequest, context: Context) -> pb.ListCouponsResponse:
        page = await self._coupons.list(
            request.brand_id,
            int(request.user_id),
            PageRequest.of(request.page_size, request.page_token),
            usable_only=request.usable_only,
        )
        return pb.ListCouponsResponse(
            coupons=[_coupon(one) for one in page.coupons], next_page_token=page.next_page_token
        )

    async def UseCoupon(self, request: pb.UseCouponRequest, context: Context) -> pb.UseCouponResponse:
        await self._using.use(Wish(request.brand_id, request.user_id, request.coupon_id, request.order_id))
        return pb.UseCouponResponse()


def _coupon(coupon: Coupon) -> pb.Coupon:
    return pb.Coupon(
        coupon_id=str(coupon.coupon_id),
        user_id=str(coupon.user_id),
        coupon_price=to_yuan(coupon.coupon_price_fen),
        is_used=coupon.is_used,
        order_id=str(coupon.order_id or ""),
        used_time=to_timestamp(coupon.used_time_ms),
        expire_time=to_timestamp(coupon.expire_time_ms),
        create_time=to_timestamp(coupon.create_time_ms),
    )
