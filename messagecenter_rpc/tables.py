"""The tables of the IM calls. Times are milliseconds since 1970 UTC; 0 is not yet."""

from __future__ import annotations

import sqlalchemy as sa

from mesh.ids import id_block_table

metadata = sa.MetaData()

id_block = id_block_table(metadata)

_REQUEST_ID = sa.String(128)
_NAME = sa.String(64)
_ACCOUNT = sa.String(32)


def _id(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


call = sa.Table(
    "im_call",
    metadata,
    _id("call_id"),
    _number("brand_id"),
    sa.Column("request_id", _REQUEST_ID, nullable=False),
    sa.Column("body_hash", sa.String(32), nullable=False),
    _number("shop_id"),
    _small("event"),
    # JSON list of channels.
    sa.Column("channels", sa.String(32), nullable=False),
    # JSON object of names and values.
    sa.Column("params", sa.Text, nullable=False),
    _small("msg_type"),
    _number("msg_template_id"),
    # JSON list of pairs: channel, reason.
    sa.Column("skipped", sa.String(64), nullable=False),
    _small("record_count"),
    _number("created_at_ms"),
    _number("cancelled_at_ms"),
    sa.UniqueConstraint("brand_id", "request_id", name="im_call_request"),
    sa.Index("im_call_by_brand", "brand_id", "call_id"),
    sa.Index("im_call_by_shop", "brand_id", "shop_id", "call_id"),
)

record = sa.Table(
    "im_record",
    metadata,
    # The records of a call are call_id + 1, call_id + 2, ... in the order of their due times.
    _id("record_id"),
    _number("call_id"),
    _number("brand_id"),
    _small("channel"),
    _small("repeat_number"),
    sa.Column("account", _ACCOUNT, nullable=False),
    # The place that the call named; empty when it named none.
    sa.Column("location", _NAME, nullable=False),
    _number("template_id"),
    _number("msg_random"),
    _number("due_at_ms"),
    # When to try it: at its due time, or later after a try.
    _number("next_at_ms"),
    # When the sweep has to look at it: at once, lost, or lease over, by its status. 0: never again.
    _number("look_at_ms"),
    sa.Column("status", sa.String(9), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("detail", sa.String(128), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    _small("attempt"),
    sa.Column("may_be_sent", sa.Boolean, nullable=False),
    sa.Column("consumer", _NAME, nullable=False),
    _number("ended_at_ms"),
    # Not by the status: a planner would take it for finding records by their ids and status.
    sa.Index("im_record_by_look", "look_at_ms"),
)

template = sa.Table(
    "im_template",
    metadata,
    _id("template_id"),
    _number("brand_id"),
    sa.Column("request_id", _REQUEST_ID, nullable=False),
    sa.Column("body_hash", sa.String(32), nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    _number("created_at_ms"),
    _number("updated_at_ms"),
    # A removed template stays, so that a late repeat of its creation does not bring it back.
    _number("deleted_at_ms"),
    sa.UniqueConstraint("brand_id", "request_id", name="im_template_request"),
    sa.Index("im_template_by_brand", "brand_id", "template_id"),
)

broadcast_config = sa.Table(
    "broadcast_config",
    metadata,
    _id("brand_id"),
    # 0: the brand's own, for all shops that have none.
    _id("shop_id"),
    sa.Column("event", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("channel", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    _number("template_id"),
    _small("repeat_count"),
    _small("interval_seconds"),
    _small("first_delay_seconds"),
    # HH:MM; both empty when there are no quiet hours.
    sa.Column("quiet_start", sa.String(5), nullable=False),
    sa.Column("quiet_end", sa.String(5), nullable=False),
    sa.Column("quiet_time_zone", _NAME, nullable=False),
    sa.Index("broadcast_config_by_template", "brand_id", "template_id"),
)

device = sa.Table(
    "im_device",
    metadata,
    _id("brand_id"),
    sa.Column("device_id", _NAME, primary_key=True),
    # The order in which devices were made known, and what their accounts are named after.
    _number("device_number"),
    _number("shop_id"),
    _small("channel"),
    sa.Column("location", _NAME, nullable=False),
    sa.Column("technician_id", _NAME, nullable=False),
    sa.Column("account", _ACCOUNT, nullable=False),
    _number("created_at_ms"),
    _number("updated_at_ms"),
    sa.Index("im_device_by_number", "brand_id", "device_number"),
    sa.Index("im_device_by_shop", "brand_id", "shop_id", "device_number"),
    sa.Index("im_device_by_account", "account"),
)

technician = sa.Table(
    "technician",
    metadata,
    _id("brand_id"),
    sa.Column("technician_id", _NAME, primary_key=True),
    sa.Column("clocked_on", sa.Boolean, nullable=False),
    _number("clock_at_ms"),
)
