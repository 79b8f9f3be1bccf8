"""The rules of shops, payments and messages against worlds that were doctored: each rule must be able to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chaos.audit import audit
from chaos.payment_audit import PAYMENT_RULES
from chaos.shop_audit import SHOP_RULES
from chaos.shop_told import PaidBack, Placed, Stocked
from chaos.shop_world import (
    Attempt,
    ChannelPayment,
    Coupon,
    FlashSale,
    MoneyLog,
    Payment,
    Recharge,
    Shop,
    StockLog,
    User,
)
from chaos.world import World
from tests.chaos.sound_shop import BRAND, BUYER, ONLOOKER, SELLER
from tests.chaos.test_audit import sound_world


def shop_with(world: World, **changes: Any) -> World:
    [shop] = world.order_services.shops
    return replace(world, order_services=replace(world.order_services, shops=[replace(shop, **changes)]))


def services_with(world: World, **changes: Any) -> World:
    return replace(world, order_services=replace(world.order_services, **changes))


def shop_of(world: World) -> Shop:
    [shop] = world.order_services.shops
    return shop


def user_of(world: World, user_id: str) -> User:
    return next(user for user in shop_of(world).users if user.user_id == user_id)


def user_with(world: World, user_id: str, **changes: Any) -> World:
    users = [replace(one, **changes) if one.user_id == user_id else one for one in shop_of(world).users]
    return shop_with(world, users=users)


def order_with(world: World, order_id: str, /, **changes: Any) -> World:
    for user in shop_of(world).users:
        orders = [replace(one, **changes) if one.order_id == order_id else one for one in user.orders]
        world = user_with(world, user.user_id, orders=orders)
    return world


def without_order(world: World, user_id: str, order_id: str) -> World:
    kept = [one for one in user_of(world, user_id).orders if one.order_id != order_id]
    return user_with(world, user_id, orders=kept)


def twice(world: World, user_id: str, order_id: str) -> World:
    user = user_of(world, user_id)
    again = [one for one in user.orders if one.order_id == order_id]
    return user_with(world, user_id, orders=[*user.orders, *again])


def goods_with(world: World, number: int, *more: StockLog) -> World:
    [goods] = shop_of(world).goods
    return shop_with(world, goods=[replace(goods, number=number, logs=[*more, *goods.logs])])


def stock_below_zero(world: World) -> World:
    """Have more taken than there was, before more was put on the shelves."""
    [goods] = shop_of(world).goods
    return shop_with(world, goods=[replace(goods, logs=sorted(goods.logs, key=lambda log: log.order_id))])


def log_with(world: World, order_id: str, /, **changes: Any) -> World:
    logs = [replace(one, **changes) if one.order_id == order_id else one for one in user_of(world, BUYER).money_logs]
    return user_with(world, BUYER, money_logs=logs)


def more_coins(world: World, user_id: str, log: MoneyLog) -> World:
    """Have a wallet get coins, log and all."""
    user = user_of(world, user_id)
    log = replace(log, balance_fen=user.balance_fen + log.amount_fen)
    return user_with(world, user_id, balance_fen=log.balance_fen, money_logs=[log, *user.money_logs])


def coupons(world: World, *some: Coupon) -> World:
    return user_with(world, BUYER, coupons=some)


def sale_with(world: World, **changes: Any) -> World:
    [sale] = shop_of(world).flash_sales
    return shop_with(world, flash_sales=[replace(sale, **changes)])


def attempts(world: World, *some: Attempt) -> World:
    return sale_with(world, attempts=some)


def another_sale(world: World) -> World:
    [sale] = shop_of(world).flash_sales
    other = FlashSale(
        flash_sale_id="s2", seller_id=SELLER, goods_number=1, left_number=1, per_user_limit=1, attempts=()
    )
    return shop_with(world, flash_sales=[sale, other])


def told_with(world: World, **changes: Any) -> World:
    return replace(world, told=replace(world.told, shop=replace(world.told.shop, **changes)))


def at_channel(world: World, pay_id: str, **changes: Any) -> World:
    payments = [
        replace(one, **changes) if one.pay_id == pay_id else one for one in world.order_services.channel_payments
    ]
    return services_with(world, channel_payments=payments)


def without_payment(world: World, pay_id: str) -> World:
    kept = [one for one in world.order_services.payments if one.pay_id != pay_id]
    return services_with(world, payments=kept)


def package_with(world: World, order_id: str, **changes: Any) -> World:
    [brand] = world.brands
    orders = [replace(one, **changes) if one.order_id == order_id else one for one in brand.orders]
    return replace(world, brands=[replace(brand, orders=orders)])


SOLD = Attempt("a1", ONLOOKER, "sold", "flash")
SHORT = Attempt("a2", BUYER, "coins_short")

DOCTORED: dict[str, list[Callable[[World], World]]] = {
    "stock is conserved": [
        lambda w: goods_with(w, 11, StockLog("", -1)),
        lambda w: goods_with(w, 13, StockLog("back", 1)),
        lambda w: told_with(w, stocked=[Stocked("g1", 10)]),
        lambda w: goods_with(w, 12, StockLog("", 1)),
        lambda w: shop_with(w, goods=()),
        stock_below_zero,
    ],
    "an order takes its stock once, a cancelled one none": [
        lambda w: goods_with(w, 10, StockLog("part", -2)),
        lambda w: goods_with(w, 11, StockLog("none", -1)),
        lambda w: goods_with(w, 14, StockLog("part", 2)),
        lambda w: goods_with(w, 11, StockLog("nobody's", -1)),
        lambda w: order_with(w, "part", lines=(("g1", 3),)),
    ],
    "the wallets are sound": [lambda w: services_with(w, wallets=["below zero: user 1"])],
    "a recharge that was paid in time is credited": [
        lambda w: user_with(w, BUYER, recharges=[Recharge("r1", "expired", 5000)]),
        lambda w: user_with(w, BUYER, recharges=[]),
    ],
    "coins are conserved": [
        lambda w: more_coins(w, BUYER, MoneyLog("refund", "part", 1500, 0)),
        lambda w: more_coins(w, SELLER, MoneyLog("earn", "flash", 990, 0)),
        lambda w: user_with(w, BUYER, recharges=[Recharge("r1", "created", 5000)]),
        lambda w: order_with(w, "part", order_status="cancelled"),
        lambda w: order_with(w, "flash", shipping_status="shipped"),
    ],
    "coins have their logs": [
        lambda w: log_with(w, "part", order_id="back"),
        lambda w: log_with(w, "r1", order_id="r3"),
        lambda w: log_with(w, "part", amount_fen=-1400),
        lambda w: log_with(w, "part", balance_fen=3400),
        lambda w: log_with(w, "part", kind="earn"),
        lambda w: user_with(w, BUYER, balance_fen=3600),
        lambda w: user_with(w, SELLER, money_logs=()),
    ],
    "a coupon is used once": [
        lambda w: order_with(w, "back", coupon_id="c1"),
        lambda w: coupons(w, Coupon("c1", is_used=False), Coupon("c2", is_used=False)),
        lambda w: coupons(w, Coupon("c1", True, "back"), Coupon("c2", False)),
        lambda w: coupons(w, Coupon("c1", True, "part"), Coupon("c2", True, "none")),
        lambda w: coupons(w, Coupon("c2", is_used=False)),
    ],
    "an acknowledged order is kept once, as it was told": [
        lambda w: without_order(w, BUYER, "none"),
        lambda w: twice(w, BUYER, "none"),
        lambda w: told_with(w, placed=w.told.shop.placed[:-1]),
        lambda w: told_with(w, placed=[*w.told.shop.placed, *w.told.shop.placed[:1]]),
        lambda w: order_with(w, "part", lines=(("g2", 2),)),
        lambda w: order_with(w, "part", order_amount_fen=7001),
        lambda w: order_with(w, "part", coupon_id="c2"),
        lambda w: order_with(w, "part", money_paid_fen=1499),
        lambda w: told_with(w, placed=[Placed(BRAND, "3", one.order_id, *rest(one)) for one in w.told.shop.placed]),
    ],
    "what was ordered leaves the cart": [lambda w: user_with(w, BUYER, cart=["g2", "g1"])],
    "an order comes to its end": [
        lambda w: order_with(w, "part", pay_status="unpaid"),
        lambda w: order_with(w, "part", pay_status="paying"),
        lambda w: order_with(w, "refused", order_status="unconfirmed"),
    ],
    "what was told of an order holds": [
        lambda w: order_with(w, "none", order_status="confirmed"),
        lambda w: order_with(w, "part", order_status="cancelled"),
        lambda w: order_with(w, "flash", shipping_status="shipped"),
    ],
    "refunds are those that were told": [
        lambda w: order_with(w, "part", refunded_fen=2000),
        lambda w: told_with(w, paid_back=[*w.told.shop.paid_back, PaidBack("flash", 1)]),
        lambda w: order_with(w, "back", order_status="confirmed"),
        lambda w: order_with(w, "part", order_status="refunded"),
        lambda w: told_with(order_with(w, "back", refunded_fen=4001), paid_back=[PaidBack("back", 4001)]),
    ],
    "a flash sale sells what it has": [
        lambda w: sale_with(w, left_number=3),
        lambda w: sale_with(w, left_number=1),
        lambda w: sale_with(w, goods_number=4, left_number=3),
        lambda w: attempts(w, SOLD, Attempt("a2", ONLOOKER, "sold", "flash2")),
        lambda w: sale_with(w, attempts=[SOLD, Attempt("a2", BUYER, "in_progress")]),
        lambda w: shop_with(w, flash_sales=()),
        another_sale,
    ],
    "an attempt that is sold is one order": [
        lambda w: attempts(w, SOLD),
        lambda w: attempts(w, Attempt("a1", ONLOOKER, "timed_out"), SHORT),
        lambda w: without_order(w, ONLOOKER, "flash"),
        lambda w: twice(w, ONLOOKER, "flash"),
        lambda w: order_with(w, "flash", seller_id="8"),
        lambda w: order_with(w, "flash", order_id="other"),
        lambda w: order_with(w, "part", seller_id=SELLER),
    ],
    "a payment is for something, and over": [
        lambda w: without_payment(w, "p4"),
        lambda w: at_channel(w, "p6", status="NOTPAY"),
    ],
    "money that was taken is kept for what is paid, or paid back": [
        lambda w: at_channel(w, "p2", refunded_fen=0),
        lambda w: at_channel(w, "p1", refunded_fen=2999),
        lambda w: at_channel(w, "p3", refunded_fen=0),
        lambda w: at_channel(w, "p4", refunded_fen=5000),
        lambda w: at_channel(w, "p6", status="SUCCESS"),
        lambda w: at_channel(w, "p8", status="SUCCESS"),
        lambda w: services_with(
            w,
            payments=[*w.order_services.payments, Payment("p9", "order", "lost")],
            channel_payments=[*w.order_services.channel_payments, ChannelPayment("p9", "SUCCESS", 1)],
        ),
    ],
    "what is paid was taken": [
        lambda w: at_channel(w, "p1", status="CLOSED"),
        lambda w: without_payment(w, "p1"),
        lambda w: without_payment(w, "p5"),
        lambda w: package_with(w, "o2", status="fulfilled"),
    ],
    "messages between services are applied": [
        lambda w: services_with(w, messages=["order's order.cancelled 7 (1) for goods is STOPPED"])
    ],
}


def rest(one: Placed) -> tuple[tuple[tuple[str, int], ...], int, str, int]:
    return one.lines, one.order_amount_fen, one.coupon_id, one.money_paid_fen


def test_each_rule_is_tested() -> None:
    assert set(DOCTORED) == set(SHOP_RULES) | set(PAYMENT_RULES)


@pytest.mark.parametrize(("rule", "doctor"), [(rule, one) for rule, some in DOCTORED.items() for one in some])
def test_a_doctored_world_breaks_the_rule(rule: str, doctor: Callable[[World], World]) -> None:
    assert rule in {breach.rule for breach in audit(doctor(sound_world()))}
