"""Create goods and their stock."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "goods",
        sa.Column("goods_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("goods_name", sa.String(length=255), nullable=False),
        sa.Column("goods_number", sa.BigInteger(), nullable=False),
        sa.Column("goods_price_fen", sa.BigInteger(), nullable=False),
        sa.Column("goods_desc", sa.String(length=255), nullable=False),
        sa.Column("on_sale", sa.Boolean(), nullable=False),
        sa.Column("add_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("goods_number >= 0", name="goods_number_not_negative"),
        sa.CheckConstraint("goods_price_fen >= 0", name="goods_price_not_negative"),
        sa.PrimaryKeyConstraint("goods_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="goods_request"),
    )
    op.create_index("goods_by_brand", "goods", ["brand_id", "goods_id"], unique=False)
    op.create_table(
        "goods_consumed_message",
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
        "goods_consumed_message_by_status",
        "goods_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "goods_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "goods_stock_adjustment",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("goods_id", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "request_id"),
    )
    op.create_table(
        "goods_stock_log",
        sa.Column("log_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("goods_id", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("goods_number", sa.BigInteger(), nullable=False),
        sa.Column("log_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("log_id"),
    )
    op.create_index("goods_stock_log_by_goods", "goods_stock_log", ["goods_id", "log_id"], unique=False)
    op.create_index("goods_stock_log_by_order", "goods_stock_log", ["order_id"], unique=False)
    op.create_table(
        "goods_stock_reservation",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.execute("INSERT INTO goods_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM goods_id_block)")
