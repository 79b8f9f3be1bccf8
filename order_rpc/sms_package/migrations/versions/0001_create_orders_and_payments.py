"""Create orders and payments."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
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
        sa.CheckConstraint("price_fen > 0 AND quantity > 0", name="sms_package_order_costs_something"),
        sa.PrimaryKeyConstraint("order_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="sms_package_order_request"),
    )
    op.create_index("sms_package_order_by_brand", "sms_package_order", ["brand_id", "order_id"], unique=False)
    op.create_index("sms_package_order_by_expiry", "sms_package_order", ["status", "expires_at_ms"], unique=False)
    op.create_table(
        "sms_package_outbox",
        sa.Column("order_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id"),
    )
    op.create_index("sms_package_outbox_by_due", "sms_package_outbox", ["due_at_ms"], unique=False)
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
        "sms_package_payment",
        sa.Column("payment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("trade_no", sa.String(length=64), nullable=False),
        sa.Column("pay_url", sa.String(length=512), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("paid_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name="sms_package_payment_amount_positive"),
        sa.PrimaryKeyConstraint("payment_id"),
        sa.UniqueConstraint("order_id"),
    )
    op.execute("INSERT INTO sms_package_id_block (id, next_id) VALUES (1, 0)")
