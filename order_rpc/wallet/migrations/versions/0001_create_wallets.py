"""Create wallets, their log and recharges."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "wallet_account",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_money_fen", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("user_money_fen >= 0", name="wallet_user_money_not_negative"),
        sa.PrimaryKeyConstraint("user_id", "brand_id"),
    )
    op.create_table(
        "wallet_consumed_message",
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
        "wallet_consumed_message_by_status",
        "wallet_consumed_message",
        ["consumer_status", "consumer_timestamp_ms", "msg_id"],
        unique=False,
    )
    op.create_table(
        "wallet_debit",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("use_money_fen", sa.BigInteger(), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("refunded_fen >= 0 AND refunded_fen <= use_money_fen", name="wallet_debit_refunded_within"),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_table(
        "wallet_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "wallet_money_log",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("money_log_type", sa.SmallInteger(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("use_money_fen", sa.BigInteger(), nullable=False),
        sa.Column("user_money_fen", sa.BigInteger(), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("user_money_fen >= 0", name="wallet_money_log_user_money_not_negative"),
        sa.PrimaryKeyConstraint("user_id", "brand_id", "seq"),
        sa.UniqueConstraint("order_id", "money_log_type", "request_id", name="wallet_money_log_once"),
    )
    op.create_table(
        "wallet_produced_message",
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
        "wallet_produced_message_by_due", "wallet_produced_message", ["msg_status", "due_at_ms"], unique=False
    )
    op.create_table(
        "wallet_recharge",
        sa.Column("recharge_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("pay_url", sa.String(length=1024), nullable=False),
        sa.Column("create_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("expire_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("pay_time_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="wallet_recharge_amount_positive"),
        sa.PrimaryKeyConstraint("recharge_id"),
        sa.UniqueConstraint("user_id", "brand_id", "request_id", name="wallet_recharge_request"),
    )
    op.create_index("wallet_recharge_by_expiry", "wallet_recharge", ["status", "expire_time_ms"], unique=False)
    op.execute("INSERT INTO wallet_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM wallet_id_block)")
