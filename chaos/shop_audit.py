"""The rules of the shops: stock, coins, coupons, orders and flash sales, whatever was done to the mesh.

Each rule is a function from the world to the breaches of it, a line each, as in `chaos.audit`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from chaos.shop_world import FlashSale, Goods, Shop, User, UserOrder
from chaos.world import World

_OPEN_ATTEMPT = "in_progress"
_SOLD = "sold"

_SIGNS = {"pay": -1, "refund": 1, "recharge": 1, "earn": 1}


def _stock_is_conserved(world: World) -> Iterator[str]:
    """What was put on the shelves is there, or in an order that is not cancelled; there was never less than none."""
    put: Counter[str] = Counter()
    for one in world.told.shop.stocked:
        put[one.goods_id] += one.number
    for shop in world.order_services.shops:
        ordered: Counter[str] = Counter()
        for order in _orders(shop):
            for goods_id, number in order.lines if order.is_live else ():
                ordered[goods_id] += number
        for goods in shop.goods:
            due = put.pop(goods.goods_id, 0) - ordered[goods.goods_id]
            if goods.number != due:
                yield f"{goods.number} of goods {goods.goods_id} are left, and {due} should be"
            yield from _wrong_log(goods)
    yield from (f"goods {goods_id} are lost" for goods_id in put)


def _wrong_log(goods: Goods) -> Iterator[str]:
    numbers = [log.number for log in reversed(goods.logs)]
    if sum(numbers) != goods.number:
        yield f"the log of goods {goods.goods_id} comes to {sum(numbers)}, and {goods.number} are left"
    if min(accumulate(numbers), default=0) < 0:
        yield f"the stock of goods {goods.goods_id} was below zero"


def _stock_of_orders(world: World) -> Iterator[str]:
    """Each order took of each of the goods what its lines say, once, and a cancelled one took nothing."""
    for shop in world.order_services.shops:
        taken: Counter[tuple[str, str]] = Counter()
        for goods in shop.goods:
            for log in goods.logs:
                taken[log.order_id, goods.goods_id] -= log.number if log.order_id else 0
        due: Counter[tuple[str, str]] = Counter()
        for order in _orders(shop):
            for goods_id, number in order.lines if order.is_live and not order.seller_id else ():
                due[order.order_id, goods_id] += number
        for key in sorted(taken.keys() | due.keys()):
            if taken[key] != due[key]:
                yield f"order {key[0]} took {taken[key]} of goods {key[1]}, and {due[key]} should be"


def _wallets_are_sound(world: World) -> Iterator[str]:
    yield from world.order_services.wallets


def _recharges_paid_in_time_are_credited(world: World) -> Iterator[str]:
    there = [one for shop in world.order_services.shops for user in shop.users for one in user.recharges]
    credited = {one.recharge_id for one in there if one.status == "paid"}
    for recharge_id in world.told.shop.recharges_paid:
        if recharge_id not in credited:
            yield f"recharge {recharge_id} was paid in time and is not credited"


def _coins_are_conserved(world: World) -> Iterator[str]:
    """What was recharged is in wallets, or was spent on orders that are live and not earned by a seller."""
    for shop in world.order_services.shops:
        recharged = sum(one.amount_fen for user in shop.users for one in user.recharges if one.status == "paid")
        spent = sum(order.coins_fen for order in _orders(shop))
        earned = sum(order.earned_fen for order in _orders(shop))
        balances = sum(user.balance_fen for user in shop.users)
        if balances != recharged - spent + earned:
            yield (
                f"brand {shop.brand_id}: its users have {balances} fen of coins; "
                f"{recharged} recharged, {spent} spent, {earned} earned"
            )


def _coins_have_logs(world: World) -> Iterator[str]:
    """By their logs too, each order took the coins that it has, sellers earned once, and a recharge came once."""
    for shop in world.order_services.shops:
        due: Counter[tuple[str, str, str]] = Counter()
        for user in shop.users:
            for order in user.orders:
                due[user.user_id, "order", order.order_id] -= order.coins_fen
                due[order.seller_id, "earn", order.order_id] += order.earned_fen
            for one in user.recharges:
                due[user.user_id, "recharge", one.recharge_id] += one.amount_fen if one.status == "paid" else 0
        found: Counter[tuple[str, str, str]] = Counter()
        for user in shop.users:
            for log in user.money_logs:
                kind = "order" if log.kind in {"pay", "refund"} else log.kind
                found[user.user_id, kind, log.order_id] += log.amount_fen
            yield from _wrong_wallet(user)
        for key in sorted(due.keys() | found.keys()):
            if due[key] != found[key]:
                yield f"user {key[0]}, {key[1]} {key[2]}: {found[key]} fen are in the log, and {due[key]} should be"


def _wrong_wallet(user: User) -> Iterator[str]:
    balance_fen = 0
    for log in reversed(user.money_logs):
        balance_fen += log.amount_fen
        if log.balance_fen != balance_fen or balance_fen < 0 or _SIGNS[log.kind] * log.amount_fen <= 0:
            yield f"user {user.user_id}: {log} cannot be, {balance_fen} fen are there"
    if user.balance_fen != balance_fen:
        yield f"user {user.user_id} has {user.balance_fen} fen, the log comes to {balance_fen}"


def _coupons_are_used_once(world: World) -> Iterator[str]:
    """A coupon is used by the one order that has it, and free where there is none."""
    for shop in world.order_services.shops:
        users_of: dict[str, list[str]] = defaultdict(list)
        for order in _orders(shop):
            if order.is_live and order.coupon_id:
                users_of[order.coupon_id].append(order.order_id)
        for coupon in (coupon for user in shop.users for coupon in user.coupons):
            has = users_of.pop(coupon.coupon_id, [])
            if len(has) > 1:
                yield f"coupon {coupon.coupon_id} is in orders {', '.join(has)}"
            elif (coupon.is_used, coupon.order_id) != (bool(has), "".join(has)):
                state = f"used by {coupon.order_id}" if coupon.is_used else "free"
                yield f"coupon {coupon.coupon_id} is {state}, the orders that have it: {has or 'none'}"
        yield from (f"order {has} has coupon {coupon_id} of nobody" for coupon_id, has in users_of.items())


def _orders_are_kept_as_told(world: World) -> Iterator[str]:
    """An acknowledged order is there once, with what was told; and no order is there that was not acknowledged."""
    told = {one.order_id: one for one in world.told.shop.placed}
    if len(told) < len(world.told.shop.placed):
        yield "two orders were told under one id"
    times = Counter(order.order_id for shop in world.order_services.shops for order in _orders(shop))
    yield from (f"order {order_id} is lost" for order_id in told if not times[order_id])
    yield from (f"order {order_id} is there {count} times" for order_id, count in times.items() if count > 1)
    for shop in world.order_services.shops:
        for user in shop.users:
            for order in user.orders:
                one = told.get(order.order_id)
                if one is None and order.is_confirmed and not order.seller_id:
                    yield f"order {order.order_id} of user {user.user_id} was made, and nobody was told"
                if one is None:
                    continue
                kept = (shop.brand_id, user.user_id, order.lines, order.order_amount_fen, order.coupon_id)
                said = (one.brand_id, one.user_id, one.lines, one.order_amount_fen, one.coupon_id)
                if (*kept, order.money_paid_fen) != (*said, one.money_paid_fen):
                    yield f"order {order.order_id} is {kept}, {order.money_paid_fen} fen of coins; told was {one}"


def _carts_let_go(world: World) -> Iterator[str]:
    """What was ordered from a cart is no longer in it."""
    for user in (user for shop in world.order_services.shops for user in shop.users):
        for goods_id in user.cart:
            if world.told.shop.left_cart.get((user.user_id, goods_id)):
                yield f"user {user.user_id} has ordered goods {goods_id}, which are still in the cart"


def _orders_come_to_an_end(world: World) -> Iterator[str]:
    for order in _all_orders(world):
        is_over = order.order_status in {"cancelled", "refunded"}
        if not is_over and (order.order_status, order.pay_status) != ("confirmed", "paid"):
            yield f"order {order.order_id} is {order.order_status}, {order.pay_status}: nobody moves it on"


def _what_was_told_of_orders_holds(world: World) -> Iterator[str]:
    """A cancel that was told holds, so does a receipt, and what was paid in time is not cancelled."""
    orders = {order.order_id: order for order in _all_orders(world)}
    told = world.told.shop
    for order_id in told.cancelled:
        if order_id in orders and orders[order_id].is_live:
            yield f"order {order_id} was cancelled and is {orders[order_id].order_status}"
    for order_id in told.paid:
        if order_id in orders and not orders[order_id].is_live:
            yield f"order {order_id} was paid in time and is cancelled"
    for order_id in told.received:
        if order_id in orders and orders[order_id].shipping_status != "received":
            yield f"order {order_id} was received and is {orders[order_id].shipping_status}"


def _refunds_are_made_as_told(world: World) -> Iterator[str]:
    """Of each order is paid back what was told, never more than was paid; all of it makes it refunded."""
    told: Counter[str] = Counter()
    for one in world.told.shop.paid_back:
        told[one.order_id] += one.amount_fen
    for order in _all_orders(world):
        paid_fen = order.money_paid_fen + order.pay_amount_fen
        if order.refunded_fen != told[order.order_id] or order.refunded_fen > paid_fen:
            yield (
                f"order {order.order_id}: {order.refunded_fen} of {paid_fen} fen are paid back, "
                f"told were {told[order.order_id]}"
            )
        is_refunded = 0 < order.refunded_fen == paid_fen
        if is_refunded is not (order.order_status == "refunded"):
            yield f"order {order.order_id} is {order.order_status}, {order.refunded_fen} of {paid_fen} fen paid back"


def _flash_sales_sell_what_they_have(world: World) -> Iterator[str]:
    """What is left and what is sold is all that there was, and nobody has more than the limit."""
    published = {one.flash_sale_id: one for one in world.told.shop.published}
    sales = {one.flash_sale_id: one for shop in world.order_services.shops for one in shop.flash_sales}
    yield from (f"flash sale {sale_id} is lost" for sale_id in published.keys() - sales.keys())
    yield from (f"flash sale {sale_id} was made, and nobody was told" for sale_id in sales.keys() - published.keys())
    for sale in sales.values():
        one = published.get(sale.flash_sale_id)
        if one and (one.goods_number, one.per_user_limit) != (sale.goods_number, sale.per_user_limit):
            yield f"flash sale {sale.flash_sale_id} is {sale}; told was {one}"
        yield from _wrong_sale(sale)


def _wrong_sale(sale: FlashSale) -> Iterator[str]:
    sold = [attempt for attempt in sale.attempts if attempt.status == _SOLD]
    if len(sold) + sale.left_number != sale.goods_number or sale.left_number < 0:
        yield (
            f"flash sale {sale.flash_sale_id} had {sale.goods_number}, sold {len(sold)}, "
            f"and {sale.left_number} are left"
        )
    for user_id, count in Counter(attempt.user_id for attempt in sold).items():
        if count > sale.per_user_limit:
            yield f"user {user_id} has {count} of flash sale {sale.flash_sale_id}, the limit is {sale.per_user_limit}"
    for attempt in sale.attempts:
        if attempt.status == _OPEN_ATTEMPT:
            yield f"attempt {attempt.attempt_id} is {attempt.status}: nobody moves it on"


def _attempts_become_orders(world: World) -> Iterator[str]:
    """An attempt that was told is kept; each one that is sold is one order of its user, and nothing else is."""
    sales = [sale for shop in world.order_services.shops for sale in shop.flash_sales]
    status = {attempt.attempt_id: attempt.status for sale in sales for attempt in sale.attempts}
    told = world.told.shop
    yield from (f"attempt {one.attempt_id} is lost" for one in told.tried if one.attempt_id not in status)
    yield from (
        f"attempt {attempt_id} was sold and is {status.get(attempt_id, 'lost')}"
        for attempt_id in told.sold
        if status.get(attempt_id) != _SOLD
    )
    due = Counter(
        (attempt.user_id, attempt.order_id, sale.seller_id)
        for sale in sales
        for attempt in sale.attempts
        if attempt.status == _SOLD
    )
    made = Counter(
        (user.user_id, order.order_id, order.seller_id)
        for shop in world.order_services.shops
        for user in shop.users
        for order in user.orders
        if order.seller_id
    )
    yield from (f"{count} more orders {key} are due than there are" for key, count in (due - made).items())
    yield from (f"{count} more orders {key} are there than are due" for key, count in (made - due).items())


def _orders(shop: Shop) -> Iterator[UserOrder]:
    return (order for user in shop.users for order in user.orders)


def _all_orders(world: World) -> Iterator[UserOrder]:
    return (order for shop in world.order_services.shops for order in _orders(shop))


SHOP_RULES: Mapping[str, Callable[[World], Iterator[str]]] = {
    "stock is conserved": _stock_is_conserved,
    "an order takes its stock once, a cancelled one none": _stock_of_orders,
    "the wallets are sound": _wallets_are_sound,
    "a recharge that was paid in time is credited": _recharges_paid_in_time_are_credited,
    "coins are conserved": _coins_are_conserved,
    "coins have their logs": _coins_have_logs,
    "a coupon is used once": _coupons_are_used_once,
    "an acknowledged order is kept once, as it was told": _orders_are_kept_as_told,
    "what was ordered leaves the cart": _carts_let_go,
    "an order comes to its end": _orders_come_to_an_end,
    "what was told of an order holds": _what_was_told_of_orders_holds,
    "refunds are those that were told": _refunds_are_made_as_told,
    "a flash sale sells what it has": _flash_sales_sell_what_they_have,
    "an attempt that is sold is one order": _attempts_become_orders,
}
