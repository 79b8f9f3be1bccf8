"""The tables of SMS packages. Times are milliseconds since 1970 UTC, 0 is not yet; amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table, produced_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "sms_package_id_block")

produced_message = produced_message_table(metadata, "sms_package")
consumed_message = consumed_message_table(metadata, "sms_package")


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _package_columns() -> list[sa.Column[object]]:
    """What a package is: in the catalogue, and on each order as it was then."""
    return [
        sa.Column("title", sa.String(100), nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("price_fen", sa.BigInteger, nullable=False),
        sa.Column("valid_days", sa.Integer, nullable=False),
    ]


package = sa.Table(
    "sms_package",
    metadata,
    sa.Column("package_id", sa.String(64), primary_key=True),
    *_package_columns(),
    sa.Index("sms_package_by_price", "price_fen", "package_id"),
)

orders = sa.Table(
    "sms_package_order",
    metadata,
    _id("order_id"),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("package_id", sa.String(64), nullable=False),
    *_package_columns(),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("lot_id", sa.String(40), nullable=False),
    _time("created_at_ms"),
    _time("expires_at_ms"),
    _time("paid_at_ms"),
    # The payment, as far as this service has heard of it.
    sa.Column("pay_status", sa.String(10), nullable=False),
    sa.Column("pay_id", sa.BigInteger, nullable=False),
    sa.Column("trade_no", sa.String(64), nullable=False),
    sa.Column("pay_url", sa.String(512), nullable=False),
    _time("pay_time_ms"),
    sa.UniqueConstraint("brand_id", "request_id", name="sms_package_order_request"),
    sa.Index("sms_package_order_by_brand", "brand_id", "order_id"),
    sa.Index("sms_package_order_by_expiry", "status", "expires_at_ms"),
    sa.CheckConstraint("price_fen > 0 AND quantity > 0", name="sms_package_order_costs_something"),
)
