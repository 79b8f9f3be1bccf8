"""Create packages and their orders."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sms_package",
        sa.Column("package_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=100), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("package_id"),
    )
    op.create_index("sms_package_by_price", "sms_package", ["price_fen", "package_id"], unique=False)
    op.create_table(
        "sms_package_consumed_message",
        sa.Column("producer", sa.String(length=100), nullable=False),
        sa.Column("msg_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("msg_topic", sa.String(length=100), nullable=False),
        sa.Column("msg_tag", sa.String(length=100), nullable=False),
        sa.Column("msg_key", sa.String(length=100), nullable=False),
        sa.Column("msg_body", sa.Text(), nullable=False),
        sa.Column("consumer_status", sa.SmallInteger(), nullable=False),
        sa.Column("consumer_times", sa.Integer(), nullable=False),
        sa.Column("consumer_timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("remark", sa.String(length=500), nullable=False),
        sa.PrimaryKeyConstraint("producer", "msg_id"),
    )
    op.create_index(
        "sms_package_consumed_message_by_status",
        "sms_package_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "sms_package_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "sms_package_order",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("package_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=100), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("valid_days", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("lot_id", sa.String(length=40), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("pay_status", sa.String(length=10), nullable=False),
        sa.Column("pay_id", sa.BigInteger(), nullable=False),
        sa.Column("trade_no", sa.String(length=64), nullable=False),
        sa.Column("pay_url", sa.String(length=512), nullable=False),
        sa.Column("pay_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("price_fen > 0 AND quantity > 0", name="sms_package_order_costs_something"),
        sa.PrimaryKeyConstraint("order_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="sms_package_order_request"),
    )
    op.create_index("sms_package_order_by_brand", "sms_package_order", ["brand_id", "order_id"], unique=False)
    op.create_index("sms_package_order_by_expiry", "sms_package_order", ["status", "expires_at_ms"], unique=False)
    op.create_table(
        "sms_package_produced_message",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("group_name", sa.String(length=100), nullable=False),
        sa.Column("msg_topic", sa.String(length=100), nullable=False),
        sa.Column("msg_tag", sa.String(length=100), nullable=False),
        sa.Column("msg_key", sa.String(length=100), nullable=False),
        sa.Column("msg_body", sa.Text(), nullable=False),
        sa.Column("msg_status", sa.SmallInteger(), nullable=False),
        sa.Column("publish_times", sa.Integer(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("deliver_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "sms_package_produced_message_by_due", "sms_package_produced_message", ["msg_status", "due_at_ms"], unique=False
    )
    op.execute(
        "INSERT INTO sms_package_id_block (id, next_id) SELECT 1, 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM sms_package_id_block)"
    )
