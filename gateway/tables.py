"""The tables of the gateway's own database."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.keys.domain import NAME_CHARACTERS_MAX

metadata = sa.MetaData()

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.String(12), primary_key=True),
    # SHA-256 in hexadecimal.
    sa.Column("key_sha256", sa.String(64), nullable=False),
    sa.Column("name", sa.String(NAME_CHARACTERS_MAX), nullable=False),
    # Comma-separated, read and written whole; * for all brands.
    sa.Column("brand_ids", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger),
    sa.Column("revoked_at_ms", sa.BigInteger),
)
