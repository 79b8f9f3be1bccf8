"""The tables of the payment service. Times are milliseconds since 1970 UTC, 0 is not yet; amounts are fen."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table
from mesh.messages import consumed_message_table, produced_message_table

metadata = sa.MetaData()

id_block = id_block_table(metadata, "payment_id_block")

produced_message = produced_message_table(metadata, "payment")
consumed_message = consumed_message_table(metadata, "payment")


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


payment = sa.Table(
    "payment",
    metadata,
    _id("pay_id"),
    _text("business", 32),
    _text("business_id", 64),
    _number("brand_id"),
    # Empty: closed before there was a payment.
    _text("channel", 32),
    _text("status", 10),
    sa.Column("is_paid", sa.SmallInteger, nullable=False),
    _number("pay_amount_fen"),
    _text("subject", 120),
    _number("create_time_ms"),
    # What refunds come to that are made or are to be made.
    _number("refunded_fen"),
    _text("trade_no", 64),
    _text("pay_url", 512),
    _number("pay_time_ms"),
    # When its channel is to be asked to close it. 0: it was, or has nothing to close.
    _number("close_due_at_ms"),
    _number("close_time_ms"),
    sa.UniqueConstraint("business", "business_id", name="payment_of_business"),
    sa.Index("payment_by_day", "channel", "pay_time_ms", "pay_id"),
    sa.Index("payment_by_close", "close_due_at_ms", "pay_id"),
    sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= pay_amount_fen", name="payment_refunded_within_paid"),
    sa.CheckConstraint("pay_amount_fen > 0 OR channel = ''", name="payment_amount_positive"),
)

refund = sa.Table(
    "payment_refund",
    metadata,
    _id("refund_id"),
    _number("pay_id"),
    _text("channel", 32),
    # Empty: by this service itself.
    _text("request_id", 96),
    _text("status", 8),
    _number("amount_fen"),
    _text("remark", 200),
    _number("create_time_ms"),
    _text("refund_no", 64),
    _number("refund_time_ms"),
    _text("refusal", 200),
    # When its channel is to be asked for it. 0: nothing is to be asked.
    _number("due_at_ms"),
    sa.UniqueConstraint("pay_id", "request_id", name="payment_refund_request"),
    sa.Index("payment_refund_by_due", "due_at_ms", "refund_id"),
    sa.Index("payment_refund_by_day", "channel", "refund_time_ms", "refund_id"),
    sa.CheckConstraint("amount_fen > 0", name="payment_refund_amount_positive"),
)

# One row a day and channel that was compared.
reconciliation = sa.Table(
    "payment_reconciliation",
    metadata,
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("channel", sa.String(32), primary_key=True),
    _number("compared_count"),
    _number("difference_count"),
    _number("create_time_ms"),
)

difference = sa.Table(
    "payment_difference",
    metadata,
    # SQLite numbers rows by itself only when the key is INTEGER.
    sa.Column(
        "difference_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    ),
    _text("day", 10),
    _text("channel", 32),
    _text("kind", 13),
    _text("number", 64),
    _text("ours", 200),
    _text("theirs", 200),
    sa.Index("payment_difference_by_day", "day", "difference_id"),
)
