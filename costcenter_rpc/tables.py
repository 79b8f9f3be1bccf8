"""The tables of the cost center. Times are milliseconds since 1970 UTC; amounts are credits."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_ID = sa.String(40)
_REQUEST_ID = sa.String(128)


def _amount(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _not_negative(table: str, *columns: str) -> list[sa.CheckConstraint]:
    """Let the database itself keep amounts from going below zero."""
    return [sa.CheckConstraint(f"{column} >= 0", name=f"{table}_{column}_not_negative") for column in columns]


account = sa.Table(
    "account",
    metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _amount("available"),
    _amount("frozen"),
    _amount("spent"),
    _amount("expired"),
    _amount("granted"),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.CheckConstraint("granted = available + frozen + spent + expired", name="account_adds_up"),
    *_not_negative("account", "available", "frozen", "spent", "expired", "granted"),
)

lot = sa.Table(
    "lot",
    metadata,
    sa.Column("lot_id", _ID, primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    _amount("granted"),
    _amount("remaining"),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("grace", sa.Boolean, nullable=False),
    sa.Column("reference", _REQUEST_ID, nullable=False),
    sa.Index("lot_by_consumption", "brand_id", "is_open", "expires_at_ms", "seq"),
    sa.Index("lot_by_expiry", "is_open", "expires_at_ms"),
    *_not_negative("lot", "granted", "remaining"),
)

freeze = sa.Table(
    "freeze",
    metadata,
    sa.Column("freeze_id", _ID, primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", _REQUEST_ID, nullable=False),
    _amount("num"),
    _amount("captured"),
    _amount("released"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Index("freeze_by_expiry", "state", "expires_at_ms"),
    *_not_negative("freeze", "num", "captured", "released"),
)

payment = sa.Table(
    "payment",
    metadata,
    sa.Column("payment_id", _ID, primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("freeze_id", _ID, nullable=False),
    _amount("charged"),
    _amount("refunded"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.CheckConstraint("refunded <= charged", name="payment_refund_within_charge"),
    *_not_negative("payment", "charged", "refunded"),
)

allocation = sa.Table(
    "allocation",
    metadata,
    sa.Column("payment_id", _ID, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("lot_id", _ID, nullable=False),
    _amount("num"),
    _amount("refunded"),
    sa.CheckConstraint("refunded <= num", name="allocation_refund_within_num"),
    *_not_negative("allocation", "num", "refunded"),
)

settlement = sa.Table(
    "settlement",
    metadata,
    # First in the key: reports are found by their messages.
    sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("payment_id", _ID, primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    _amount("refunded"),
    _amount("extra"),
    _amount("shortfall"),
    *_not_negative("settlement", "refunded", "extra", "shortfall"),
)

entry = sa.Table(
    "entry",
    metadata,
    sa.Column("brand_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("request_id", _REQUEST_ID, nullable=False),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("frozen", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("expired", sa.BigInteger, nullable=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
)

remembered_request = sa.Table(
    "remembered_request",
    metadata,
    # brand/kind/request_id: one column, so that one IN list finds requests of many brands.
    sa.Column("key", sa.String(180), primary_key=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("body_hash", sa.String(32), nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
)

job = sa.Table(
    "job",
    metadata,
    # SQLite numbers rows by itself only when the key is INTEGER.
    sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(180), nullable=False, unique=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("body_hash", sa.String(32), nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("queued_at_ms", sa.BigInteger, nullable=False),
    sa.Index("job_by_state", "state", "queued_at_ms"),
)
