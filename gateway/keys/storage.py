"""The table of API keys, in the gateway's own database."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.keys.domain import NAME_CHARACTERS_MAX, ApiKey
from mesh import migrations
from mesh.database import Database

METADATA = sa.MetaData()

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("key_id", sa.String(12), primary_key=True),
    sa.Column("key_sha256", sa.String(64), nullable=False),
    sa.Column("name", sa.String(NAME_CHARACTERS_MAX), nullable=False),
    # Comma-separated, read and written whole; * for all brands.
    sa.Column("brand_ids", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger),
    sa.Column("revoked_at_ms", sa.BigInteger),
)

_ALL_BRANDS = "*"


async def migrate(database: Database) -> None:
    """Bring the gateway's tables up to date."""
    await migrations.upgrade(database, Path(__file__).parent / "migrations")


async def insert_key(connection: AsyncConnection, key: ApiKey) -> None:
    """Store a new key. Raises IntegrityError when its id is taken."""
    brand_ids = _ALL_BRANDS if key.brand_ids is None else ",".join(map(str, sorted(key.brand_ids)))
    await connection.execute(
        sa.insert(API_KEYS).values(
            key_id=key.key_id,
            key_sha256=key.key_sha256,
            name=key.name,
            brand_ids=brand_ids,
            scopes=",".join(sorted(key.scopes)),
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
        )
    )


async def find_key(connection: AsyncConnection, key_id: str) -> ApiKey | None:
    """Read one key, revoked ones too."""
    rows = await connection.execute(sa.select(API_KEYS).where(API_KEYS.c.key_id == key_id))
    row = rows.one_or_none()
    return None if row is None else _key_of(row)


async def list_keys(connection: AsyncConnection) -> list[ApiKey]:
    """Read all keys, oldest first."""
    rows = await connection.execute(sa.select(API_KEYS).order_by(API_KEYS.c.created_at_ms, API_KEYS.c.key_id))
    return [_key_of(row) for row in rows]


async def revoke_key(connection: AsyncConnection, key_id: str, now_ms: int) -> bool:
    """Revoke a key; False when there is none of this id that still stands."""
    standing = sa.and_(API_KEYS.c.key_id == key_id, API_KEYS.c.revoked_at_ms.is_(None))
    result = await connection.execute(sa.update(API_KEYS).where(standing).values(revoked_at_ms=now_ms))
    return result.rowcount == 1


def _key_of(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's own name for the row as a mapping
    brand_ids = values["brand_ids"]
    values["brand_ids"] = None if brand_ids == _ALL_BRANDS else frozenset(map(int, brand_ids.split(",")))
    values["scopes"] = frozenset(values["scopes"].split(","))
    return ApiKey(**values)
