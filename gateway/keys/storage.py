"""Reading and writing API keys."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.keys.domain import ApiKey
from gateway.tables import api_keys
from mesh import migrations
from mesh.database import Database

MIGRATIONS = Path(__file__).parent.parent / "migrations"

_ALL_BRANDS = "*"


async def migrate(database: Database) -> None:
    """Bring the gateway's tables up to date."""
    await migrations.upgrade(database, MIGRATIONS)


async def insert_key(connection: AsyncConnection, key: ApiKey) -> None:
    """Store a new key. Raises IntegrityError when its id is taken."""
    brand_ids = _ALL_BRANDS if key.brand_ids is None else ",".join(map(str, sorted(key.brand_ids)))
    await connection.execute(
        sa.insert(api_keys).values(
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
    rows = await connection.execute(sa.select(api_keys).where(api_keys.c.key_id == key_id))
    row = rows.one_or_none()
    return None if row is None else _key_of(row)


async def list_keys(connection: AsyncConnection) -> list[ApiKey]:
    """Read all keys, oldest first."""
    rows = await connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at_ms, api_keys.c.key_id))
    return [_key_of(row) for row in rows]


async def revoke_key(connection: AsyncConnection, key_id: str, now_ms: int) -> bool:
    """Revoke a key; False when there is none of this id that still stands."""
    standing = sa.and_(api_keys.c.key_id == key_id, api_keys.c.revoked_at_ms.is_(None))
    result = await connection.execute(sa.update(api_keys).where(standing).values(revoked_at_ms=now_ms))
    return result.rowcount == 1


def _key_of(row: sa.Row[tuple[object, ...]]) -> ApiKey:
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's own name for the row as a mapping
    brand_ids = values["brand_ids"]
    values["brand_ids"] = None if brand_ids == _ALL_BRANDS else frozenset(map(int, brand_ids.split(",")))
    values["scopes"] = frozenset(values["scopes"].split(","))
    return ApiKey(**values)
