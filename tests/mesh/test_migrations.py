"""Bringing tables up to date, by processes that start at once: on SQLite files, or on the server under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from engines.sql_server import create_database
from mesh import database as database_module
from mesh import migrations
from mesh.database import Database
from tests.databases import SERVER_URL

PROCESSES = 4
ROOT = Path(__file__).parents[2]
FOLDERS = ("gateway", "*_rpc", "order_rpc/*")
SERVICES = [
    str(path.parent.relative_to(ROOT)) for folder in FOLDERS for path in sorted(ROOT.glob(f"{folder}/migrations"))
]
"""The folders of all services that have tables."""

ENVIRONMENT = """
import sqlalchemy as sa
from mesh.migrations import run_env

run_env(sa.MetaData())
"""

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("thing", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    op.execute("INSERT INTO thing (id) VALUES (1)")
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The migrations of a service that has one."""
    directory = tmp_path / "trial_rpc" / "migrations"
    (directory / "versions").mkdir(parents=True)
    (directory / "env.py").write_text(ENVIRONMENT)
    (directory / "versions" / "0001_thing.py").write_text(MIGRATION)
    return directory


@pytest_asyncio.fixture
async def url(tmp_path: Path) -> str:
    return await create_database(SERVER_URL, "test_migrations") if SERVER_URL else f"sqlite:///{tmp_path}/trial.db"


@pytest_asyncio.fixture
async def databases(url: str) -> AsyncIterator[list[Database]]:
    """The same one, as several processes see it."""
    made = [Database(url) for _ in range(PROCESSES)]
    yield made
    for one in made:
        await one.close()


async def rows(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.text("SELECT COUNT(*) FROM thing"))).scalar_one())


async def test_those_who_start_at_once_migrate_once(databases: list[Database], scripts: Path) -> None:
    await asyncio.gather(*(migrations.upgrade(one, scripts) for one in databases))
    assert await rows(databases[0]) == 1


async def test_tables_that_are_up_to_date_are_left_alone(
    databases: list[Database], scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.upgrade(databases[0], scripts)
    with monkeypatch.context() as patched:
        patched.delattr(migrations, "_run_alembic")
        await migrations.upgrade(databases[0], scripts)
    second = MIGRATION.replace('"0001"', '"0002"').replace("None", '"0001"').replace("VALUES (1)", "VALUES (2)")
    lines = [line for line in second.splitlines(keepends=True) if "create_table" not in line]
    (scripts / "versions" / "0002_another_row.py").write_text("".join(lines))
    await migrations.upgrade(databases[0], scripts)
    assert await rows(databases[0]) == 2


@pytest.mark.parametrize("service", SERVICES)
def test_files_are_named_by_their_revisions(service: str) -> None:
    directory = ROOT / service / "migrations"
    config = Config()
    config.set_main_option("script_location", str(directory))
    revisions = ScriptDirectory.from_config(config)
    assert revisions.get_heads() == [migrations._newest_revision(directory)]
    for script in revisions.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")
        assert str(script.down_revision or "") < script.revision


class SlowDatabase(Database):
    """One that takes its time between the last statement of a transaction and its commit."""

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        async with super().write(bulk=bulk) as connection:
            yield connection
            await asyncio.sleep(0.3)


async def test_nobody_begins_before_the_one_ahead_has_committed(url: str, scripts: Path) -> None:
    slow = [SlowDatabase(url) for _ in range(2)]
    await asyncio.gather(*(migrations.upgrade(one, scripts) for one in slow))
    assert await rows(slow[0]) == 1
    for one in slow:
        await one.close()


async def test_a_migration_that_failed_can_be_made_again(databases: list[Database], scripts: Path) -> None:
    path = scripts / "versions" / "0001_thing.py"
    path.write_text(MIGRATION.replace("op.create_table", "raise KeyError; op.create_table"))
    with pytest.raises(KeyError):
        await migrations.upgrade(databases[0], scripts)
    path.write_text(MIGRATION)
    await migrations.upgrade(databases[1], scripts)
    assert await rows(databases[0]) == 1


@pytest.mark.skipif(not SERVER_URL, reason="SQLite has one process a file")
async def test_a_process_waits_for_a_long_migration_of_another(
    databases: list[Database], url: str, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "LOCK_TIMEOUT_SECONDS", 1)
    second = Database(url)
    async with migrations._one_at_a_time(databases[0], "trial_rpc_version"):
        waiting = asyncio.create_task(migrations.upgrade(second, scripts))
        done, _ = await asyncio.wait({waiting}, timeout=2)
        assert not done, waiting.exception()
    await waiting
    assert await rows(second) == 1
    await second.close()


@pytest.mark.skipif(not SERVER_URL, reason="SQLite has one process a file")
async def test_it_does_not_wait_for_ever(
    databases: list[Database], scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "LOCK_SECONDS_MAX", 1)
    async with migrations._one_at_a_time(databases[0], "trial_rpc_version"):
        with pytest.raises(migrations.TablesLockedError, match="another process has been changing the tables for 1 s"):
            await migrations.upgrade(databases[1], scripts)
