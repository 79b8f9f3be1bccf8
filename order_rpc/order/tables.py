"""The tables of the order service. Times are milliseconds since 1970 UTC, 0 is not yet; amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table, produced_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "order_id_block")

produced_message = produced_message_table(metadata, "order")
consumed_message = consumed_message_table(metadata, "order")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger, nullable=False)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


# In the plural: ORDER is a word of SQL.
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("brand_id"),
    _number("user_id"),
    # 0: the brand sells.
    _number("seller_id"),
    _text("seller_email", 254),
    _text("request_id", 96),
    _text("body_hash", 32),
    sa.Column("from_cart", sa.Boolean, nullable=False),
    _small("order_status"),
    _small("pay_status"),
    _small("shipping_status"),
    _text("address", 255),
    _text("consignee", 255),
    _number("goods_amount_fen"),
    _number("shipping_fee_fen"),
    _number("order_amount_fen"),
    # 0: none.
    _number("coupon_id"),
    _number("coupon_paid_fen"),
    _number("money_paid_fen"),
    _number("pay_amount_fen"),
    _number("refunded_fen"),
    _number("add_time_ms"),
    _number("confirm_time_ms"),
    _number("pay_time_ms"),
    _number("ship_time_ms"),
    _number("receive_time_ms"),
    _number("remind_time_ms"),
    _number("expire_time_ms"),
    _text("cancel_reason", 64),
    _text("cancel_remark", 500),
    # In this order requests of many users are found by two IN lists.
    sa.UniqueConstraint("brand_id", "request_id", "user_id", name="orders_request"),
    sa.Index("orders_by_user", "brand_id", "user_id", "order_id"),
    sa.Index("orders_by_seller", "brand_id", "seller_id", "order_id"),
    sa.Index("orders_by_expiry", "order_status", "pay_status", "expire_time_ms"),
    sa.CheckConstraint(
        "refunded_fen >= 0 AND refunded_fen <= money_paid_fen + pay_amount_fen", name="orders_refund_within_paid"
    ),
    sa.CheckConstraint("pay_amount_fen >= 0 AND money_paid_fen >= 0", name="orders_amounts_not_negative"),
)

order_goods = sa.Table(
    "order_goods",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    _number("goods_id"),
    _text("goods_name", 255),
    _number("goods_number"),
    _number("goods_price_fen"),
    sa.CheckConstraint("goods_number > 0 AND goods_price_fen >= 0", name="order_goods_sensible"),
)

order_refund = sa.Table(
    "order_refund",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.String(96), primary_key=True),
    _number("amount_fen"),
    _number("payment_fen"),
    _number("coins_fen"),
    _number("create_time_ms"),
)

order_step = sa.Table(
    "order_step",
    metadata,
    # SQLite numbers rows by itself only when the key is INTEGER.
    sa.Column("step_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    _number("order_id"),
    _text("event", 32),
    _text("remark", 500),
    _number("event_time_ms"),
    sa.Index("order_step_by_order", "order_id", "step_id"),
)
