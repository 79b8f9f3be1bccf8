"""The words of flash sales: what is sold from when to when, who tries to buy, and what comes of each attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

FAILED_ATTEMPTS_MAX = 100
"""Attempts of a user in one sale that may come to nothing: each holds stock for a while, and is read with the next."""


@dataclass(frozen=True, slots=True)
class FlashSale:
    """Goods that a user sells, from `start_time_ms` until just before `end_time_ms`.

    `left_number` is what nobody has taken of `goods_number`. `revision` grows with each edit.
    """

    flash_sale_id: int
    brand_id: int
    seller_id: int
    request_id: str
    goods_name: str
    goods_desc: str
    price_fen: int
    goods_number: int
    left_number: int
    per_user_limit: int
    start_time_ms: int
    end_time_ms: int
    notify_email: str
    revision: int
    add_time_ms: int


class AttemptStatus(IntEnum):
    """Where an attempt stands, and who acts next."""

    IN_PROGRESS = 1  # its stock is taken; next: the wallet answers, or its time runs out
    SOLD = 2  # terminal: the coins are taken too, and the order service was told
    COINS_SHORT = 3  # terminal: the stock went back; the user can try again
    TIMED_OUT = 4  # terminal: stock and coins went back; the user can try again


HOLDING = (AttemptStatus.IN_PROGRESS, AttemptStatus.SOLD)
"""Those that hold one of the stock, and count for the limit of their user."""


class AttemptEvent(StrEnum):
    """What happens to an attempt."""

    DEBITED = "DEBITED"  # the wallet took the coins
    DEBIT_REFUSED = "DEBIT_REFUSED"  # the wallet has too few, or may not take them any more
    TIME_OUT = "TIME_OUT"  # the wallet did not answer in time


ATTEMPT_TRANSITIONS: Mapping[tuple[AttemptStatus, AttemptEvent], AttemptStatus] = {
    (AttemptStatus.IN_PROGRESS, AttemptEvent.DEBITED): AttemptStatus.SOLD,
    (AttemptStatus.IN_PROGRESS, AttemptEvent.DEBIT_REFUSED): AttemptStatus.COINS_SHORT,
    (AttemptStatus.IN_PROGRESS, AttemptEvent.TIME_OUT): AttemptStatus.TIMED_OUT,
    # The wallet's answers come more than once.
    (AttemptStatus.SOLD, AttemptEvent.DEBITED): AttemptStatus.SOLD,
    (AttemptStatus.COINS_SHORT, AttemptEvent.DEBIT_REFUSED): AttemptStatus.COINS_SHORT,
    # An answer came while the time was looked at; the time is looked at more than once.
    (AttemptStatus.SOLD, AttemptEvent.TIME_OUT): AttemptStatus.SOLD,
    (AttemptStatus.COINS_SHORT, AttemptEvent.TIME_OUT): AttemptStatus.COINS_SHORT,
    (AttemptStatus.TIMED_OUT, AttemptEvent.TIME_OUT): AttemptStatus.TIMED_OUT,
    # They come too late: the wallet was told to give back what it took, and to take nothing any more.
    (AttemptStatus.TIMED_OUT, AttemptEvent.DEBITED): AttemptStatus.TIMED_OUT,
    (AttemptStatus.TIMED_OUT, AttemptEvent.DEBIT_REFUSED): AttemptStatus.TIMED_OUT,
}
"""A pair that is not there is refused."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try to buy that got stock. `order_id` is the order that it becomes, if it does."""

    attempt_id: int
    order_id: int
    flash_sale_id: int
    brand_id: int
    user_id: int
    request_id: str
    address: str
    consignee: str
    price_fen: int
    status: AttemptStatus
    add_time_ms: int
    finish_time_ms: int


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whose attempts in which flash sale are asked for."""

    brand_id: int
    user_id: int
    flash_sale_id: int


class Wanted(NamedTuple):
    """What a buyer asks for: one of a flash sale, once a `request_id`."""

    brand_id: int
    flash_sale_id: int
    user_id: int
    request_id: str
    address: str
    consignee: str


def is_same_request(attempt: Attempt, wanted: Wanted) -> bool:
    """Whether an attempt is what a repeat of its request asks for."""
    return (attempt.address, attempt.consignee) == (wanted.address, wanted.consignee)


class Refusal(IntEnum):
    """Why a buyer gets nothing. The numbers are those of the function that admits."""

    NOT_STARTED = 1
    ENDED = 2
    LIMIT_REACHED = 3
    SOLD_OUT = 4
    NOT_FOUND = 5


def refusal_of(
    sale: FlashSale, left_number: int, *, held_number: int, failed_number: int, now_ms: int
) -> Refusal | None:
    """Say why a user gets no further one of a sale; None if there is one to be had.

    `held_number` and `failed_number` are of the user's attempts in it: those that hold one, and that came to nothing.
    """
    if now_ms < sale.start_time_ms:
        return Refusal.NOT_STARTED
    if now_ms >= sale.end_time_ms:
        return Refusal.ENDED
    if held_number >= sale.per_user_limit or failed_number >= FAILED_ATTEMPTS_MAX:
        return Refusal.LIMIT_REACHED
    return Refusal.SOLD_OUT if left_number < 1 else None
