"""Bringing tables up to date, by processes that start at once: on SQLite files, or on the server under test."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
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

CHANGES = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.create_table("late", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False))
    op.add_column("thing", sa.Column("new", sa.Integer, server_default="7"))
    op.execute("INSERT INTO late (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM late)")
    op.create_index("thing_by_new", "thing", ["new"], unique=True)
    op.drop_index("thing_by_old", "thing")
    op.drop_column("thing", "old")
    op.drop_table("early")
"""
"""Each kind of change that can be made once only, and a row."""

CHANGED = """
    op.add_column("thing", sa.Column("old", sa.Integer))
    op.create_index("thing_by_old", "thing", ["old"])
    op.create_table("early", sa.Column("id", sa.Integer, primary_key=True))
"""
"""What those change, made by the migration before them."""


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


class KilledError(Exception):
    """The process, or its connection, ends here."""


class DyingDatabase(Database):
    """One that ends after so many statements of a migration."""

    def __init__(self, url: str, statements: int) -> None:
        super().__init__(url)
        self._statements = statements

    @asynccontextmanager
    async def write(self, *, bulk: bool = False) -> AsyncIterator[AsyncConnection]:
        async with super().write(bulk=bulk) as connection:
            event.listen(connection.sync_connection, "after_cursor_execute", self._count)
            yield connection

    def _count(self, _: sa.Connection, __: object, statement: str, *___: object) -> None:
        # What was done already counts as a statement, and Alembic's own ones do not.
        if not statement.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "DO")) or "version_num" in statement:
            return
        self._statements -= 1
        if not self._statements:
            raise KilledError


async def interruptions(database: Database, scripts: Path) -> int:
    """Migrate by a process that ends after its first statement, then by one after its second; count those that did."""
    before = await tables_of(database)
    for statements in range(1, 100):
        dying = DyingDatabase(database.url.render_as_string(hide_password=False), statements)
        try:
            await migrations.upgrade(dying, scripts)
        except KilledError:
            if database.url.get_backend_name() in {"sqlite", "postgresql"}:
                assert await tables_of(database) == before, "a migration is one transaction"
        else:
            break
        finally:
            await dying.close()
    return statements - 1


async def tables_of(database: Database) -> list[str]:
    async with database.read() as connection:
        return await connection.run_sync(lambda synchronous: sorted(sa.inspect(synchronous).get_table_names()))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_migration_that_was_interrupted_anywhere_is_completed_by_the_next_start(
    databases: list[Database], service: str
) -> None:
    metadata: sa.MetaData = importlib.import_module(f"{service.replace('/', '.')}.tables").metadata
    scripts = ROOT / service / "migrations"
    database = databases[0]
    assert await interruptions(database, scripts) >= len(metadata.tables)
    version_table = f"{scripts.parent.name}_version"

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": version_table})
        return list(compare_metadata(context, metadata))

    assert await migrations._version(database, version_table) == migrations._newest_revision(scripts)
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
        for table in metadata.tables.values():
            found = (await connection.execute(sa.select(table))).all()
            assert found == ([(1, 0)] if table.name.endswith("id_block") else [])


async def test_each_kind_of_change_can_be_interrupted(databases: list[Database], scripts: Path) -> None:
    (scripts / "versions" / "0001_thing.py").write_text(MIGRATION + CHANGED)
    await migrations.upgrade(databases[0], scripts)
    (scripts / "versions" / "0002_changes.py").write_text(CHANGES)
    assert await interruptions(databases[0], scripts) == 7
    assert await tables_of(databases[0]) == ["late", "thing", "trial_rpc_version"]
    async with databases[0].read() as connection:
        things = (await connection.execute(sa.text("SELECT * FROM thing"))).mappings().all()
        assert [*map(dict, things)] == [{"id": 1, "new": 7}]
        assert (await connection.execute(sa.text("SELECT id FROM late"))).scalars().all() == [1]
        indexes = await connection.run_sync(lambda synchronous: sa.inspect(synchronous).get_indexes("thing"))
    assert [index["name"] for index in indexes] == ["thing_by_new"]


@pytest.mark.skipif(not SERVER_URL, reason="on SQLite each service has a file")
async def test_a_table_of_somebody_else_is_not_taken_for_ours(databases: list[Database], scripts: Path) -> None:
    async with databases[0].write() as connection:
        await connection.execute(sa.text("CREATE TABLE thing (name INTEGER)"))
    with pytest.raises(DBAPIError, match="already exists"):
        await migrations.upgrade(databases[0], scripts)
