"""Create users."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "user_account",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(length=96), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.Column("user_name_key", sa.String(length=128), nullable=False),
        sa.Column("user_password", sa.String(length=255), nullable=False),
        sa.Column("user_mobile", sa.String(length=32), nullable=True),
        sa.Column("user_score", sa.BigInteger(), nullable=False),
        sa.Column("user_reg_time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("brand_id", "request_id", name="user_account_request"),
        sa.UniqueConstraint("brand_id", "user_mobile", name="user_account_mobile"),
        sa.UniqueConstraint("brand_id", "user_name_key", name="user_account_name"),
    )
    op.create_table(
        "user_id_block",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "user_login_attempt",
        sa.Column("login_sha256", sa.String(length=64), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login_sha256"),
    )
    op.create_index("user_login_attempt_by_time", "user_login_attempt", ["kept_until_ms"], unique=False)
    op.create_table(
        "user_session",
        sa.Column("session_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_index("user_session_by_user", "user_session", ["user_id", "session_id"], unique=False)
    op.execute("INSERT INTO user_id_block (id, next_id) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM user_id_block)")
