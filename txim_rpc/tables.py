"""The tables of the IM service. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# Accounts that Tencent is known to know: what may be sent to without being imported first.
imported_account = sa.Table(
    "imported_account",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("nick", sa.String(100), nullable=False),
    sa.Column("imported_at_ms", sa.BigInteger, nullable=False),
)
