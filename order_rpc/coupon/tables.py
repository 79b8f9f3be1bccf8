"""The tables of the coupon service. Times are milliseconds since 1970 UTC, amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "coupon_id_block")

consumed_message = consumed_message_table(metadata, "coupon")

coupon = sa.Table(
    "coupon",
    metadata,
    sa.Column("coupon_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("coupon_price_fen", sa.BigInteger, nullable=False),
    # 0 and 1, as in the source.
    sa.Column("is_used", sa.SmallInteger, nullable=False),
    # 0: none.
    sa.Column("order_id", sa.BigInteger, nullable=False),
    # 0: never.
    sa.Column("used_time_ms", sa.BigInteger, nullable=False),
    sa.Column("expire_time_ms", sa.BigInteger, nullable=False),
    sa.Column("create_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("brand_id", "request_id", name="coupon_request"),
    sa.Index("coupon_by_user", "brand_id", "user_id", "coupon_id"),
    sa.CheckConstraint("coupon_price_fen > 0", name="coupon_price_positive"),
)

# One row an order that has a coupon, or must not get any.
coupon_use = sa.Table(
    "coupon_use",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    # 0: none, and none to come.
    sa.Column("coupon_id", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
)
