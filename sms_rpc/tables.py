"""The tables of the SMS service. Times are milliseconds since 1970 UTC; 0 is not yet."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table

metadata = sa.MetaData()

id_block = id_block_table(metadata)

_REQUEST_ID = sa.String(128)
_PHONE = sa.String(16)
_ID = sa.String(40)


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


brand = sa.Table(
    "brand",
    metadata,
    _id("brand_id"),
    sa.Column("international", sa.Boolean, nullable=False),
)

task = sa.Table(
    "task",
    metadata,
    _id("task_id"),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("request_id", _REQUEST_ID, nullable=False),
    sa.Column("body_hash", sa.String(32), nullable=False),
    sa.Column("sms_type", sa.String(12), nullable=False),
    sa.Column("mode", sa.String(6), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("signature", sa.String(16), nullable=False),
    sa.Column("variable", sa.Boolean, nullable=False),
    sa.Column("accepted_count", sa.Integer, nullable=False),
    sa.Column("blocked_count", sa.Integer, nullable=False),
    sa.Column("frozen", sa.BigInteger, nullable=False),
    sa.Column("freeze_id", _ID, nullable=False),
    sa.Column("freeze_request_id", _REQUEST_ID, nullable=False),
    _time("schedule_at_ms"),
    _time("created_at_ms"),
    sa.UniqueConstraint("brand_id", "request_id", name="task_request"),
)

record = sa.Table(
    "record",
    metadata,
    _id("record_id"),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("phone", _PHONE, nullable=False),
    # JSON list of the values of a variable send; empty for all others.
    sa.Column("params", sa.Text, nullable=False),
    sa.Column("segments", sa.Integer, nullable=False),
    sa.Column("status", sa.String(12), nullable=False),
    _time("accepted_at_ms"),
    _time("queued_at_ms"),
    _time("charged_at_ms"),
    _time("submitted_at_ms"),
    _time("unknown_at_ms"),
    _time("settled_at_ms"),
    sa.Column("failure_reason", sa.String(64), nullable=False),
    sa.Column("provider_code", sa.String(32), nullable=False),
    sa.Column("provider_message_id", sa.String(64), nullable=False),
    sa.Column("payment_id", _ID, nullable=False),
    sa.Index("record_by_phone", "phone", "brand_id", "record_id"),
    sa.Index("record_by_brand", "brand_id", "record_id"),
)

dispatch = sa.Table(
    "dispatch",
    metadata,
    _id("dispatch_id"),
    # The records of a dispatch are dispatch_id, dispatch_id + 1, ... up to this many.
    sa.Column("record_count", sa.Integer, nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("sms_type", sa.String(12), nullable=False),
    sa.Column("mode", sa.String(6), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("outcome", sa.String(10), nullable=False),
    sa.Column("payment_id", _ID, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # When its sending was wanted: what its age is counted from.
    _time("wanted_at_ms"),
    # When the sweep has to look at it next: due, lost, lease over, or receipts overdue, by its state. 0: at once.
    _time("look_at_ms"),
    sa.Column("consumer", sa.String(64), nullable=False),
    sa.Index("dispatch_by_look", "state", "look_at_ms"),
    sa.Index("dispatch_by_task", "task_id"),
)

block = sa.Table(
    "block",
    metadata,
    _id("brand_id"),
    sa.Column("phone", _PHONE, primary_key=True),
    sa.Column("reason", sa.String(128), nullable=False),
    _time("created_at_ms"),
)

uplink = sa.Table(
    "uplink",
    metadata,
    _id("uplink_id"),
    # What makes a repeated push the same message.
    sa.Column("fingerprint", sa.String(32), nullable=False, unique=True),
    sa.Column("brand_id", sa.BigInteger, nullable=False),
    sa.Column("phone", _PHONE, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("destination", sa.String(32), nullable=False),
    _time("received_at_ms"),
)

uplink_part = sa.Table(
    "uplink_part",
    metadata,
    sa.Column("phone", _PHONE, primary_key=True),
    sa.Column("part_group", sa.String(64), primary_key=True),
    sa.Column("part_number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("part_count", sa.Integer, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    _time("received_at_ms"),
)
