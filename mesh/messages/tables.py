"""The two tables of messages, one pair a service. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

import sqlalchemy as sa

_NAME = sa.String(100)


def produced_message_table(metadata: sa.MetaData, service: str) -> sa.Table:
    """The messages that a service has written."""
    name = f"{service}_produced_message"
    return sa.Table(
        name,
        metadata,
        # SQLite numbers rows by itself only when the key is INTEGER.
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("group_name", _NAME, nullable=False),
        sa.Column("msg_topic", _NAME, nullable=False),
        sa.Column("msg_tag", _NAME, nullable=False),
        sa.Column("msg_key", _NAME, nullable=False),
        sa.Column("msg_body", sa.Text, nullable=False),
        sa.Column("msg_status", sa.SmallInteger, nullable=False),
        sa.Column("publish_times", sa.Integer, nullable=False),
        sa.Column("create_time_ms", sa.BigInteger, nullable=False),
        # When its consumer is to hear of it; later than create_time_ms for one that was written with a delay.
        sa.Column("deliver_at_ms", sa.BigInteger, nullable=False),
        # When it is to be published, for the first time or again.
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Index(f"{name}_by_due", "msg_status", "due_at_ms"),
    )


def consumed_message_table(metadata: sa.MetaData, service: str) -> sa.Table:
    """The messages that a service was given."""
    name = f"{service}_consumed_message"
    return sa.Table(
        name,
        metadata,
        sa.Column("producer", _NAME, primary_key=True),
        sa.Column("msg_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("msg_topic", _NAME, nullable=False),
        sa.Column("msg_tag", _NAME, nullable=False),
        sa.Column("msg_key", _NAME, nullable=False),
        sa.Column("msg_body", sa.Text, nullable=False),
        sa.Column("consumer_status", sa.SmallInteger, nullable=False),
        sa.Column("consumer_times", sa.Integer, nullable=False),
        sa.Column("consumer_timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("remark", sa.String(500), nullable=False),
        sa.Index(f"{name}_by_status", "consumer_status", "consumer_timestamp_ms", "msg_id"),
    )
