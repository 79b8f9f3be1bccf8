"""Checklist 002, lines 1 and 2: what the source of the order flow keeps in its nine tables is here under its names.

A column says its unit at the end (`_fen`, `_ms`), where the source says nothing. Some fields are elsewhere: those of
one article on an order's lines, what a payment is for in its business, a consumer's group in the name of its table.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest
import sqlalchemy as sa

from order_rpc.coupon.tables import coupon
from order_rpc.goods.tables import goods, stock_log
from order_rpc.order.tables import consumed_message, order_goods, orders, produced_message
from order_rpc.payment.tables import payment
from order_rpc.user.tables import metadata as user_metadata
from order_rpc.wallet.tables import metadata as wallet_metadata
from tests.order.order.coins import give_coins
from tests.order.order.shop import Shop, running_shop

user = user_metadata.tables["user_account"]
wallet = wallet_metadata.tables["wallet_account"]
money_log = wallet_metadata.tables["wallet_money_log"]

SOURCE: dict[str, tuple[Collection[sa.Table], str]] = {
    "coupons": ([coupon], "coupon_id coupon_price user_id order_id is_used used_time"),
    "goods": ([goods], "goods_id goods_name goods_number goods_price goods_desc add_time"),
    "orders": (
        [orders, order_goods],
        (
            "order_id user_id order_status pay_status shipping_status address consignee goods_id goods_number"
            " goods_price goods_amount shipping_fee order_amount coupon_id coupon_paid money_paid pay_amount"
            " add_time confirm_time pay_time"
        ),
    ),
    "log of stock": ([stock_log], "goods_id order_id goods_number log_time"),
    "users": (
        [user, wallet],
        "user_id user_name user_password user_mobile user_score user_reg_time user_money",
    ),
    "log of balances": ([money_log], "user_id order_id money_log_type use_money create_time"),
    "payments": ([payment], "pay_id pay_amount is_paid"),
    "messages produced": (
        [produced_message],
        "id group_name msg_topic msg_tag msg_key msg_body msg_status create_time",
    ),
    "messages consumed": (
        [consumed_message],
        "msg_id msg_tag msg_key msg_body consumer_status consumer_times consumer_timestamp remark",
    ),
}


@pytest.mark.parametrize("name", SOURCE)
def test_002_01_a_table_has_the_fields_of_the_source(name: str) -> None:
    tables, fields = SOURCE[name]
    columns = {column.name for table in tables for column in table.c}
    bare = columns | {column.removesuffix("_fen").removesuffix("_ms") for column in columns}
    assert set(fields.split()) - bare == set()


def test_002_02_no_amount_is_kept_in_whole_yuan() -> None:
    for table in (orders, order_goods, coupon, goods, payment, wallet, money_log):
        for column in table.c:
            is_amount = column.name.endswith(("amount", "money", "price", "paid", "fee")) and column.name != "is_paid"
            assert not is_amount, f"{table.name}.{column.name} has no unit"
            if column.name.endswith("_fen"):
                assert isinstance(column.type, sa.BigInteger), column


async def test_002_02_cents_of_goods_and_of_a_balance_do_not_vanish(tmp_path: Path) -> None:
    async with running_shop(tmp_path) as shop:
        await _order_of_cents(shop)


async def _order_of_cents(shop: Shop) -> None:
    article = await shop.add_goods("0.37", 10)
    await give_coins(shop, "5.55")
    order = await shop.order([(article, 3)], money_paid="5.44")
    assert (order.goods_amount, order.order_amount, order.pay_amount) == ("1.11", "11.11", "5.67")
    assert await shop.balance() == "0.11"
