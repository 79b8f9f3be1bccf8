from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from costcenter_rpc.tables import metadata
from costcenter_rpc.wiring import MIGRATIONS
from mesh import migrations
from tests.costcenter.harness import Center
from tests.databases import SERVER_URL


async def test_the_migrations_make_the_tables_of_the_code(center: Center) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": "costcenter_rpc_version"})
        return [one for one in compare_metadata(context, metadata) if not _is_version_table(one)]

    async with center.database.write() as connection:
        assert await connection.run_sync(differences) == []


def _is_version_table(difference: object) -> bool:
    return (
        isinstance(difference, tuple)
        and difference[0] == "remove_table"
        and isinstance(difference[1], sa.Table)
        and difference[1].name.endswith("_version")
    )


async def test_migrating_again_keeps_what_is_there(center: Center) -> None:
    await center.grant(5)
    before = await center.rows()
    await migrations.upgrade(center.database, MIGRATIONS)
    assert await center.rows() == before


@pytest.mark.skipif(bool(SERVER_URL), reason="SQLite's own")
async def test_the_tables_refuse_a_balance_that_does_not_add_up(center: Center, tmp_path: Path) -> None:
    assert (tmp_path / "costcenter.db").exists()
    with pytest.raises(sa.exc.IntegrityError, match="account_adds_up"):
        async with center.database.write() as connection:
            await connection.exec_driver_sql("UPDATE account SET available = 1")
