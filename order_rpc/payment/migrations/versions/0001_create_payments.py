"""Create payments, their refunds, and what reconciling them found."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "payment",
        sa.Column("pay_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("business", sa.String(length=32), nullable=False),
        sa.Column("business_id", sa.String(length=64), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("is_paid", sa.SmallInteger(), nullable=False),
        sa.Column("pay_amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.Column("trade_no", sa.String(length=64), nullable=False),
        sa.Column("pay_url", sa.String(length=512), nullable=False),
        sa.Column("pay_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("close_due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("close_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("pay_amount_fen > 0 OR channel = ''", name="payment_amount_positive"),
        sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= pay_amount_fen", name="payment_refunded_within_paid"),
        sa.PrimaryKeyConstraint("pay_id"),
        sa.UniqueConstraint("business", "business_id", name="payment_of_business"),
    )
    op.create_index("payment_by_close", "payment", ["close_due_at_ms", "pay_id"], unique=False)
    op.create_index("payment_by_day", "payment", ["channel", "pay_time_ms", "pay_id"], unique=False)
    op.create_table(
        "payment_consumed_message",
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
        "payment_consumed_message_by_status",
        "payment_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "payment_difference",
        sa.Column(
            "difference_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=13), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("ours", sa.String(length=200), nullable=False),
        sa.Column("theirs", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("difference_id"),
    )
    op.create_index("payment_difference_by_day", "payment_difference", ["day", "difference_id"], unique=False)
    op.create_table(
        "payment_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "payment_produced_message",
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
        "payment_produced_message_by_due", "payment_produced_message", ["msg_status", "due_at_ms"], unique=False
    )
    op.create_table(
        "payment_reconciliation",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("compared_count", sa.BigInteger(), nullable=False),
        sa.Column("difference_count", sa.BigInteger(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "channel"),
    )
    op.create_table(
        "payment_refund",
        sa.Column("refund_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pay_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("remark", sa.String(length=200), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("refund_no", sa.String(length=64), nullable=False),
        sa.Column("refund_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("refusal", sa.String(length=200), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="payment_refund_amount_positive"),
        sa.PrimaryKeyConstraint("refund_id"),
        sa.UniqueConstraint("pay_id", "request_id", name="payment_refund_request"),
    )
    op.create_index("payment_refund_by_day", "payment_refund", ["channel", "refund_time_ms", "refund_id"], unique=False)
    op.create_index("payment_refund_by_due", "payment_refund", ["due_at_ms", "refund_id"], unique=False)
    op.execute(
        "INSERT INTO payment_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM payment_id_block)"
    )
