"""The words of the goods service: goods, and what orders take of their stock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Goods:
    """Something that a brand sells. `goods_number` is the stock, `request_sha256` what its request asked for."""

    goods_id: int
    brand_id: int
    request_id: str
    request_sha256: str
    goods_name: str
    goods_number: int
    goods_price_fen: int
    goods_desc: str
    on_sale: bool
    add_time_ms: int


def sha256_of_request(*asked: str | int) -> str:
    """Make short what a request asks for, to tell it from another one when what it made has changed."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StockLog:
    """One change of a stock. `order_id` is 0 for an adjustment; `goods_number` is negative for what went."""

    log_id: int
    goods_id: int
    order_id: int
    goods_number: int
    log_time_ms: int


class ReservationState(StrEnum):
    """Where the stock of an order is, and who acts next."""

    TAKEN = "TAKEN"  # next: nobody, unless the order is cancelled
    RELEASED = "RELEASED"  # terminal: given back, or never to be taken


class ReservationEvent(StrEnum):
    TAKE = "TAKE"
    RELEASE = "RELEASE"


RESERVATION_TRANSITIONS: Mapping[tuple[ReservationState | None, ReservationEvent], ReservationState] = {
    (None, ReservationEvent.TAKE): ReservationState.TAKEN,
    (ReservationState.TAKEN, ReservationEvent.RELEASE): ReservationState.RELEASED,
    # The news that an order is cancelled may be faster than its wish for stock, which then comes too late.
    (None, ReservationEvent.RELEASE): ReservationState.RELEASED,
    # Both are told more than once.
    (ReservationState.TAKEN, ReservationEvent.TAKE): ReservationState.TAKEN,
    (ReservationState.RELEASED, ReservationEvent.RELEASE): ReservationState.RELEASED,
}
"""None: the order is not known. A pair that is not there is refused."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an order takes: how many of each of the goods."""

    brand_id: int
    order_id: int
    lines: tuple[tuple[int, int], ...]
    """(goods_id, goods_number), each of the goods once."""


@dataclass(frozen=True, slots=True)
class StockRefusal:
    """Why an order does not get its stock. `goods_id` 0: it is about no goods in particular."""

    reason: str
    message: str
    goods_id: int = 0
    goods_number: int = 0


def refuse_reservation(
    wanted: Reservation, goods: Mapping[int, Goods], stock: Mapping[int, int]
) -> StockRefusal | None:
    """Say why an order cannot have all of what it wants, given the goods and what is left of each."""
    for goods_id, goods_number in wanted.lines:
        one = goods.get(goods_id)
        if one is None or one.brand_id != wanted.brand_id:
            return StockRefusal("GOODS_NOT_FOUND", f"no goods {goods_id}", goods_id)
        if not one.on_sale:
            return StockRefusal("GOODS_NOT_ON_SALE", f"goods {goods_id} are not on sale", goods_id)
        if stock[goods_id] < goods_number:
            left = stock[goods_id]
            message = f"{goods_number} of goods {goods_id} are wanted, {left} are left"
            return StockRefusal("STOCK_SHORT", message, goods_id, left)
    return None
