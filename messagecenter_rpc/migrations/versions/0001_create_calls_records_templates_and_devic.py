"""Create calls records templates and devices."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "broadcast_config",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shop_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=False),
        sa.Column("repeat_count", sa.Integer(), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("first_delay_seconds", sa.Integer(), nullable=False),
        sa.Column("quiet_start", sa.String(length=5), nullable=False),
        sa.Column("quiet_end", sa.String(length=5), nullable=False),
        sa.Column("quiet_time_zone", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "shop_id", "event", "channel"),
    )
    op.create_index("broadcast_config_by_template", "broadcast_config", ["brand_id", "template_id"], unique=False)
    op.create_table(
        "id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "im_call",
        sa.Column("call_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("channels", sa.String(length=32), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("msg_type", sa.Integer(), nullable=False),
        sa.Column("msg_template_id", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.String(length=64), nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("call_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="im_call_request"),
    )
    op.create_index("im_call_by_brand", "im_call", ["brand_id", "call_id"], unique=False)
    op.create_index("im_call_by_shop", "im_call", ["brand_id", "shop_id", "call_id"], unique=False)
    op.create_table(
        "im_device",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.String(length=64), nullable=False),
        sa.Column("device_number", sa.BigInteger(), nullable=False),
        sa.Column("shop_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("technician_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "device_id"),
    )
    op.create_index("im_device_by_account", "im_device", ["account"], unique=False)
    op.create_index("im_device_by_number", "im_device", ["brand_id", "device_number"], unique=False)
    op.create_index("im_device_by_shop", "im_device", ["brand_id", "shop_id", "device_number"], unique=False)
    op.create_table(
        "im_record",
        sa.Column("record_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("call_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("repeat_number", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("template_id", sa.BigInteger(), nullable=False),
        sa.Column("msg_random", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("look_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=9), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=128), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("may_be_sent", sa.Boolean(), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
    )
    op.create_index("im_record_by_look", "im_record", ["look_at_ms"], unique=False)
    op.create_table(
        "im_template",
        sa.Column("template_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("template_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="im_template_request"),
    )
    op.create_index("im_template_by_brand", "im_template", ["brand_id", "template_id"], unique=False)
    op.create_table(
        "technician",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("technician_id", sa.String(length=64), nullable=False),
        sa.Column("clocked_on", sa.Boolean(), nullable=False),
        sa.Column("clock_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("brand_id", "technician_id"),
    )
    op.execute("INSERT INTO id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM id_block)")
