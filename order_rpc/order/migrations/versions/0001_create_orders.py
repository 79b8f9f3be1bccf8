"""Create orders."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "order_consumed_message",
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
        "order_consumed_message_by_status",
        "order_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "order_goods",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("goods_id", sa.BigInteger(), nullable=False),
        sa.Column("goods_name", sa.String(length=255), nullable=False),
        sa.Column("goods_number", sa.BigInteger(), nullable=False),
        sa.Column("goods_price_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("goods_number > 0 AND goods_price_fen >= 0", name="order_goods_sensible"),
        sa.PrimaryKeyConstraint("order_id", "position"),
    )
    op.create_table(
        "order_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "order_produced_message",
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
        "order_produced_message_by_due", "order_produced_message", ["msg_status", "due_at_ms"], unique=False
    )
    op.create_table(
        "order_refund",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("payment_fen", sa.BigInteger(), nullable=False),
        sa.Column("coins_fen", sa.BigInteger(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "request_id"),
    )
    op.create_table(
        "order_step",
        sa.Column("step_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("remark", sa.String(length=500), nullable=False),
        sa.Column("event_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("step_id"),
    )
    op.create_index("order_step_by_order", "order_step", ["order_id", "step_id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("seller_id", sa.BigInteger(), nullable=False),
        sa.Column("seller_email", sa.String(length=254), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("from_cart", sa.Boolean(), nullable=False),
        sa.Column("order_status", sa.SmallInteger(), nullable=False),
        sa.Column("pay_status", sa.SmallInteger(), nullable=False),
        sa.Column("shipping_status", sa.SmallInteger(), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("consignee", sa.String(length=255), nullable=False),
        sa.Column("goods_amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("shipping_fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("order_amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("coupon_id", sa.BigInteger(), nullable=False),
        sa.Column("coupon_paid_fen", sa.BigInteger(), nullable=False),
        sa.Column("money_paid_fen", sa.BigInteger(), nullable=False),
        sa.Column("pay_amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.Column("add_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirm_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("pay_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("ship_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("receive_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("remind_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("expire_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("cancel_reason", sa.String(length=64), nullable=False),
        sa.Column("cancel_remark", sa.String(length=500), nullable=False),
        sa.CheckConstraint("pay_amount_fen >= 0 AND money_paid_fen >= 0", name="orders_amounts_not_negative"),
        sa.CheckConstraint(
            "refunded_fen >= 0 AND refunded_fen <= money_paid_fen + pay_amount_fen", name="orders_refund_within_paid"
        ),
        sa.PrimaryKeyConstraint("order_id"),
        sa.UniqueConstraint("brand_id", "request_id", "user_id", name="orders_request"),
    )
    op.create_index("orders_by_expiry", "orders", ["order_status", "pay_status", "expire_time_ms"], unique=False)
    op.create_index("orders_by_seller", "orders", ["brand_id", "seller_id", "order_id"], unique=False)
    op.create_index("orders_by_user", "orders", ["brand_id", "user_id", "order_id"], unique=False)
    op.execute("INSERT INTO order_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM order_id_block)")
