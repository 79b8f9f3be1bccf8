"""Create flash sales and attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "flash_sale",
        sa.Column("flash_sale_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("seller_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("goods_name", sa.String(length=255), nullable=False),
        sa.Column("goods_desc", sa.String(length=255), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("goods_number", sa.BigInteger(), nullable=False),
        sa.Column("left_number", sa.BigInteger(), nullable=False),
        sa.Column("per_user_limit", sa.Integer(), nullable=False),
        sa.Column("start_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("notify_email", sa.String(length=254), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("add_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("left_number >= 0 AND left_number <= goods_number", name="flash_sale_left_within_stock"),
        sa.CheckConstraint("price_fen >= 0", name="flash_sale_price_not_negative"),
        sa.CheckConstraint("start_time_ms < end_time_ms", name="flash_sale_starts_before_it_ends"),
        sa.PrimaryKeyConstraint("flash_sale_id"),
        sa.UniqueConstraint("brand_id", "seller_id", "request_id", name="flash_sale_request"),
    )
    op.create_index("flash_sale_by_brand", "flash_sale", ["brand_id", "flash_sale_id"], unique=False)
    op.create_index("flash_sale_by_end", "flash_sale", ["end_time_ms"], unique=False)
    op.create_table(
        "flash_sale_attempt",
        sa.Column("attempt_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("flash_sale_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("consignee", sa.String(length=255), nullable=False),
        sa.Column("price_fen", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("add_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("finish_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("attempt_id"),
        sa.UniqueConstraint("flash_sale_id", "user_id", "request_id", name="flash_sale_attempt_request"),
        sa.UniqueConstraint("order_id", name="flash_sale_attempt_order"),
    )
    op.create_index("flash_sale_attempt_by_age", "flash_sale_attempt", ["status", "add_time_ms"], unique=False)
    op.create_table(
        "flash_sale_consumed_message",
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
        "flash_sale_consumed_message_by_status",
        "flash_sale_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "flash_sale_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "flash_sale_produced_message",
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
        "flash_sale_produced_message_by_due", "flash_sale_produced_message", ["msg_status", "due_at_ms"], unique=False
    )
    op.execute(
        "INSERT INTO flash_sale_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM flash_sale_id_block)"
    )
