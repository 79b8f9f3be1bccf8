"""The tables of flash sales. Times are milliseconds since 1970 UTC, 0 is not yet; amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table, produced_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "flash_sale_id_block")

produced_message = produced_message_table(metadata, "flash_sale")
consumed_message = consumed_message_table(metadata, "flash_sale")

flash_sale = sa.Table(
    "flash_sale",
    metadata,
    sa.Column("flash_sale_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("seller_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("goods_name", sa.String(255), nullable=False),
    sa.Column("goods_desc", sa.String(255), nullable=False),
    sa.Column("price_fen", sa.BigInteger, nullable=False),
    sa.Column("goods_number", sa.BigInteger, nullable=False),
    sa.Column("left_number", sa.BigInteger, nullable=False),
    sa.Column("per_user_limit", sa.Integer, nullable=False),
    sa.Column("start_time_ms", sa.BigInteger, nullable=False),
    sa.Column("end_time_ms", sa.BigInteger, nullable=False),
    sa.Column("notify_email", sa.String(254), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("add_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("brand_id", "seller_id", "request_id", name="flash_sale_request"),
    sa.Index("flash_sale_by_brand", "brand_id", "flash_sale_id"),
    sa.Index("flash_sale_by_end", "end_time_ms"),
    sa.CheckConstraint("left_number >= 0 AND left_number <= goods_number", name="flash_sale_left_within_stock"),
    sa.CheckConstraint("price_fen >= 0", name="flash_sale_price_not_negative"),
    sa.CheckConstraint("start_time_ms < end_time_ms", name="flash_sale_starts_before_it_ends"),
)

attempt = sa.Table(
    "flash_sale_attempt",
    metadata,
    sa.Column("attempt_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("order_id", sa.BigInteger, nullable=False),
    sa.Column("flash_sale_id", sa.BigInteger, nullable=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("address", sa.String(255), nullable=False),
    sa.Column("consignee", sa.String(255), nullable=False),
    sa.Column("price_fen", sa.BigInteger, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("add_time_ms", sa.BigInteger, nullable=False),
    sa.Column("finish_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flash_sale_id", "user_id", "request_id", name="flash_sale_attempt_request"),
    sa.UniqueConstraint("order_id", name="flash_sale_attempt_order"),
    sa.Index("flash_sale_attempt_by_age", "status", "add_time_ms"),
)
