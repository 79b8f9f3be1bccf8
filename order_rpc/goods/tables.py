"""The tables of the goods service. Times are milliseconds since 1970 UTC, amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "goods_id_block")

consumed_message = consumed_message_table(metadata, "goods")

goods = sa.Table(
    "goods",
    metadata,
    sa.Column("goods_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("request_sha256", sa.String(64), nullable=False),
    sa.Column("goods_name", sa.String(255), nullable=False),
    sa.Column("goods_number", sa.BigInteger, nullable=False),
    sa.Column("goods_price_fen", sa.BigInteger, nullable=False),
    sa.Column("goods_desc", sa.String(255), nullable=False),
    sa.Column("on_sale", sa.Boolean, nullable=False),
    sa.Column("add_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("brand_id", "request_id", name="goods_request"),
    sa.Index("goods_by_brand", "brand_id", "goods_id"),
    sa.CheckConstraint("goods_number >= 0", name="goods_number_not_negative"),
    sa.CheckConstraint("goods_price_fen >= 0", name="goods_price_not_negative"),
)

# One row an order that has stock, or must not get any.
stock_reservation = sa.Table(
    "goods_stock_reservation",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(8), nullable=False),
)

stock_log = sa.Table(
    "goods_stock_log",
    metadata,
    # SQLite numbers rows by itself only when the key is INTEGER.
    sa.Column("log_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("goods_id", sa.BigInteger, nullable=False),
    # 0: an adjustment.
    sa.Column("order_id", sa.BigInteger, nullable=False),
    sa.Column("goods_number", sa.BigInteger, nullable=False),
    sa.Column("log_time_ms", sa.BigInteger, nullable=False),
    sa.Index("goods_stock_log_by_goods", "goods_id", "log_id"),
    sa.Index("goods_stock_log_by_order", "order_id"),
)

stock_adjustment = sa.Table(
    "goods_stock_adjustment",
    metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("request_id", sa.String(96), primary_key=True),
    sa.Column("goods_id", sa.BigInteger, nullable=False),
    sa.Column("change", sa.BigInteger, nullable=False),
)
