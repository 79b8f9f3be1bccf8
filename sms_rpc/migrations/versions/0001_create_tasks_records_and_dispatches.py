"""Create tasks records and dispatches."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "block",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=128), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "phone"),
    )
    op.create_table(
        "brand",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("international", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id"),
    )
    op.create_table(
        "dispatch",
        sa.Column("dispatch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("sms_type", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=6), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("wanted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("look_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("dispatch_id"),
    )
    op.create_index("dispatch_by_look", "dispatch", ["state", "look_at_ms"], unique=False)
    op.create_index("dispatch_by_task", "dispatch", ["task_id"], unique=False)
    op.create_table(
        "id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("segments", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("queued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("charged_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("unknown_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failure_reason", sa.String(length=64), nullable=False),
        sa.Column("provider_code", sa.String(length=32), nullable=False),
        sa.Column("provider_message_id", sa.String(length=64), nullable=False),
        sa.Column("payment_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
    )
    op.create_index("record_by_brand", "record", ["brand_id", "record_id"], unique=False)
    op.create_index("record_by_phone", "record", ["phone", "brand_id", "record_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("task_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("sms_type", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=6), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("signature", sa.String(length=16), nullable=False),
        sa.Column("variable", sa.Boolean(), nullable=False),
        sa.Column("accepted_count", sa.Integer(), nullable=False),
        sa.Column("blocked_count", sa.Integer(), nullable=False),
        sa.Column("frozen", sa.BigInteger(), nullable=False),
        sa.Column("freeze_id", sa.String(length=40), nullable=False),
        sa.Column("freeze_request_id", sa.String(length=128), nullable=False),
        sa.Column("schedule_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="task_request"),
    )
    op.create_table(
        "uplink",
        sa.Column("uplink_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uplink_id"),
        sa.UniqueConstraint("fingerprint"),
    )
    op.create_table(
        "uplink_part",
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("part_group", sa.String(length=64), nullable=False),
        sa.Column("part_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part_count", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("phone", "part_group", "part_number"),
    )
    op.execute("INSERT INTO id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM id_block)")
