"""Create carts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cart",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "user_id"),
    )
    op.create_table(
        "cart_consumed_message",
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
        "cart_consumed_message_by_status",
        "cart_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "cart_line",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("goods_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("goods_number", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("add_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("goods_number > 0", name="cart_line_number_positive"),
        sa.PrimaryKeyConstraint("brand_id", "user_id", "goods_id"),
    )
