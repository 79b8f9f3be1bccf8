"""The words of the coupon service: coupons, and what orders make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Coupon:
    """What one user may pay less for one order of one brand. `order_id` and `used_time_ms` are 0 while it is unused."""

    coupon_id: int
    brand_id: int
    user_id: int
    request_id: str
    coupon_price_fen: int
    is_used: bool
    order_id: int
    used_time_ms: int
    expire_time_ms: int
    create_time_ms: int

    def used_by(self, order_id: int, now_ms: int) -> Coupon:
        return replace(self, is_used=True, order_id=order_id, used_time_ms=now_ms)

    def was_asked_alike(self, other: Coupon) -> bool:
        """Tell whether the requests for both were the same."""
        return _asked(self) == _asked(other)


def _asked(coupon: Coupon) -> tuple[object, ...]:
    return coupon.brand_id, coupon.request_id, coupon.user_id, coupon.coupon_price_fen, coupon.expire_time_ms


class UseState(StrEnum):
    """Where the coupon of an order is, and who acts next."""

    USED = "USED"  # next: nobody, unless the order is cancelled
    RELEASED = "RELEASED"  # terminal: given back, or never to be used


class UseEvent(StrEnum):
    USE = "USE"
    RELEASE = "RELEASE"


USE_TRANSITIONS: Mapping[tuple[UseState | None, UseEvent], UseState] = {
    (None, UseEvent.USE): UseState.USED,
    (UseState.USED, UseEvent.RELEASE): UseState.RELEASED,
    # The news that an order is cancelled may be faster than its wish for a coupon, which then comes too late.
    (None, UseEvent.RELEASE): UseState.RELEASED,
    # Both are told more than once.
    (UseState.USED, UseEvent.USE): UseState.USED,
    (UseState.RELEASED, UseEvent.RELEASE): UseState.RELEASED,
}
"""None: the order is not known. A pair that is not there is refused."""


@dataclass(frozen=True, slots=True)
class Use:
    """What an order has of coupons. `coupon_id` is 0 where it was cancelled before it asked for one."""

    order_id: int
    coupon_id: int
    state: UseState


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that wants a coupon of its user."""

    brand_id: int
    user_id: int
    coupon_id: int
    order_id: int


@dataclass(frozen=True, slots=True)
class CouponRefusal:
    """Why an order does not get its coupon."""

    reason: str
    message: str


def refuse_wish(wish: Wish, coupon: Coupon | None, use: Use | None, now_ms: int) -> CouponRefusal | None:
    """Say why an order that has no coupon yet cannot have this one. None too where it has this one already."""
    target = USE_TRANSITIONS.get((use.state if use else None, UseEvent.USE))
    if target is None:
        return CouponRefusal("COUPON_RELEASED", f"order {wish.order_id} was cancelled; its coupon is given back")
    if use is not None:
        has_another = use.coupon_id != wish.coupon_id
        message = f"order {wish.order_id} has coupon {use.coupon_id}; an order has one coupon at most"
        return CouponRefusal("KEY_REUSED", message) if has_another else None
    return _refuse_coupon(wish, coupon, now_ms)


def _refuse_coupon(wish: Wish, coupon: Coupon | None, now_ms: int) -> CouponRefusal | None:
    if coupon is None or (coupon.brand_id, coupon.user_id) != (wish.brand_id, wish.user_id):
        return CouponRefusal("COUPON_NOT_FOUND", f"no coupon {wish.coupon_id}")
    # Another process may have been first with the very same wish.
    if coupon.is_used and coupon.order_id != wish.order_id:
        return CouponRefusal("COUPON_USED", f"coupon {wish.coupon_id} was used for another order")
    if not coupon.is_used and coupon.expire_time_ms <= now_ms:
        return CouponRefusal("COUPON_EXPIRED", f"coupon {wish.coupon_id} has expired")
    return None
