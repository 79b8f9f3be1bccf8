"""Create the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("available >= 0", name="account_available_not_negative"),
        sa.CheckConstraint("expired >= 0", name="account_expired_not_negative"),
        sa.CheckConstraint("frozen >= 0", name="account_frozen_not_negative"),
        sa.CheckConstraint("granted = available + frozen + spent + expired", name="account_adds_up"),
        sa.CheckConstraint("granted >= 0", name="account_granted_not_negative"),
        sa.CheckConstraint("spent >= 0", name="account_spent_not_negative"),
        sa.PrimaryKeyConstraint("brand_id"),
    )
    op.create_table(
        "allocation",
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("lot_id", sa.String(length=40), nullable=False),
        sa.Column("num", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("num >= 0", name="allocation_num_not_negative"),
        sa.CheckConstraint("refunded <= num", name="allocation_refund_within_num"),
        sa.CheckConstraint("refunded >= 0", name="allocation_refunded_not_negative"),
        sa.PrimaryKeyConstraint("payment_id", "position"),
    )
    op.create_table(
        "entry",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("available", sa.BigInteger(), nullable=False),
        sa.Column("frozen", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "seq"),
    )
    op.create_table(
        "freeze",
        sa.Column("freeze_id", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("num", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.Column("released", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("captured >= 0", name="freeze_captured_not_negative"),
        sa.CheckConstraint("num >= 0", name="freeze_num_not_negative"),
        sa.CheckConstraint("released >= 0", name="freeze_released_not_negative"),
        sa.PrimaryKeyConstraint("freeze_id"),
    )
    op.create_index("freeze_by_expiry", "freeze", ["state", "expires_at_ms"], unique=False)
    op.create_table(
        "job",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=180), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("queued_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("job_by_state", "job", ["state", "queued_at_ms"], unique=False)
    op.create_table(
        "lot",
        sa.Column("lot_id", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("grace", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.String(length=128), nullable=False),
        sa.CheckConstraint("granted >= 0", name="lot_granted_not_negative"),
        sa.CheckConstraint("remaining >= 0", name="lot_remaining_not_negative"),
        sa.PrimaryKeyConstraint("lot_id"),
    )
    op.create_index("lot_by_consumption", "lot", ["brand_id", "is_open", "expires_at_ms", "seq"], unique=False)
    op.create_index("lot_by_expiry", "lot", ["is_open", "expires_at_ms"], unique=False)
    op.create_table(
        "payment",
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("freeze_id", sa.String(length=40), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("charged >= 0", name="payment_charged_not_negative"),
        sa.CheckConstraint("refunded <= charged", name="payment_refund_within_charge"),
        sa.CheckConstraint("refunded >= 0", name="payment_refunded_not_negative"),
        sa.PrimaryKeyConstraint("payment_id"),
    )
    op.create_table(
        "remembered_request",
        sa.Column("key", sa.String(length=180), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "settlement",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("refunded", sa.BigInteger(), nullable=False),
        sa.Column("extra", sa.BigInteger(), nullable=False),
        sa.Column("shortfall", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("extra >= 0", name="settlement_extra_not_negative"),
        sa.CheckConstraint("refunded >= 0", name="settlement_refunded_not_negative"),
        sa.CheckConstraint("shortfall >= 0", name="settlement_shortfall_not_negative"),
        sa.PrimaryKeyConstraint("message_id", "payment_id"),
    )
