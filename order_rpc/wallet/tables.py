"""The tables of the wallet service. Times are milliseconds since 1970 UTC, amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table, produced_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "wallet_id_block")

produced_message = produced_message_table(metadata, "wallet")
consumed_message = consumed_message_table(metadata, "wallet")

# One row a user and brand that ever had coins.
account = sa.Table(
    "wallet_account",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_money_fen", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.CheckConstraint("user_money_fen >= 0", name="wallet_user_money_not_negative"),
)

# Rows are added, never changed.
money_log = sa.Table(
    "wallet_money_log",
    metadata,
    sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("money_log_type", sa.SmallInteger, nullable=False),
    # The order, or the recharge.
    sa.Column("order_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("use_money_fen", sa.BigInteger, nullable=False),
    # The balance after it.
    sa.Column("user_money_fen", sa.BigInteger, nullable=False),
    sa.Column("create_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("order_id", "money_log_type", "request_id", name="wallet_money_log_once"),
    sa.CheckConstraint("user_money_fen >= 0", name="wallet_money_log_user_money_not_negative"),
)

# One row an order that took coins, or must not take any.
debit = sa.Table(
    "wallet_debit",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("use_money_fen", sa.BigInteger, nullable=False),
    sa.Column("refunded_fen", sa.BigInteger, nullable=False),
    sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= use_money_fen", name="wallet_debit_refunded_within"),
)

recharge = sa.Table(
    "wallet_recharge",
    metadata,
    sa.Column("recharge_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", sa.String(96), nullable=False),
    sa.Column("channel", sa.String(32), nullable=False),
    sa.Column("amount_fen", sa.BigInteger, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("pay_url", sa.String(1024), nullable=False),
    sa.Column("create_time_ms", sa.BigInteger, nullable=False),
    sa.Column("expire_time_ms", sa.BigInteger, nullable=False),
    sa.Column("pay_time_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("user_id", "brand_id", "request_id", name="wallet_recharge_request"),
    sa.Index("wallet_recharge_by_expiry", "status", "expire_time_ms"),
    sa.CheckConstraint("amount_fen > 0", name="wallet_recharge_amount_positive"),
)
