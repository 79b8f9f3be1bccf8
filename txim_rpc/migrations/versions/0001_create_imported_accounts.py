"""Create imported accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "imported_account",
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("nick", sa.String(length=100), nullable=False),
        sa.Column("imported_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
