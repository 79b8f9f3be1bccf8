"""What is asked of every engine, on those that this machine has."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis as Client

from engines import mariadb, postgresql, sql_server
from engines import redis as redis_engine
from engines.engine import Engine, Server
from engines.mariadb import MariaDb
from engines.postgresql import PostgreSql
from engines.redis import Redis
from mesh.database import Database
from mesh.testing import eventually


def where(engine: Engine, binary: Path | None) -> object:
    """An engine to test, if this machine has it."""
    missing = pytest.mark.skipif(binary is None, reason=f"{engine.name} is not on this machine")
    return pytest.param(engine, id=engine.name, marks=missing)


ON_DATABASES = pytest.mark.parametrize(
    "engine", [where(MariaDb(), mariadb._find()), where(PostgreSql(), postgresql._find())]
)
ON_ALL = pytest.mark.parametrize(
    "engine",
    [
        where(MariaDb(), mariadb._find()),
        where(PostgreSql(), postgresql._find()),
        where(Redis(), redis_engine._find()),
    ],
)


async def write(server: Server) -> None:
    if server.url.startswith("redis"):
        async with Client.from_url(server.url) as client:
            await client.set("kept", 7)
        return
    database = Database(await sql_server.create_database(server.url, "kept"))
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
        await connection.exec_driver_sql("INSERT INTO thing VALUES (7)")
    await database.close()


async def read(server: Server) -> int:
    if server.url.startswith("redis"):
        async with Client.from_url(server.url) as client:
            return int(await client.get("kept") or 0)
    return int(await value(sql_server.database_url(server.url, "kept"), "SELECT id FROM thing"))


async def value(url: str, statement: str) -> str:
    database = Database(url)
    async with database.read() as connection:
        found = (await connection.exec_driver_sql(statement)).scalar_one()
    await database.close()
    return str(found)


@ON_ALL
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_it_goes_on_with_what_it_had(engine: Engine, home: Path, how: str) -> None:
    server = await engine.start(home)
    await write(server)
    await (server.stop() if how == "stop" else server.kill())
    assert not any(map(runs, server.pids))
    server = await engine.start(home)
    assert await read(server) == 7
    await server.stop()


@ON_ALL
async def test_two_run_side_by_side(engine: Engine, home: Path) -> None:
    one, two = await asyncio.gather(engine.start(home / "one"), engine.start(home / "two"))
    assert one.url != two.url
    await asyncio.gather(write(one), write(two))
    await asyncio.gather(one.stop(), two.stop())


@ON_ALL
async def test_listens_on_loopback_alone(engine: Engine, home: Path) -> None:
    server = await engine.start(home)
    family = [psutil.Process(pid) for pid in server.pids]
    listening = {
        one.laddr.ip for process in family for one in process.net_connections("inet") if one.status == "LISTEN"
    }
    assert listening == {"127.0.0.1"}
    await server.stop()


@ON_ALL
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_killed_parent_leaves_no_server(engine: Engine, home: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, Path(__file__).with_name("engine_process.py"), engine.name, home),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pids = [int(one) for one in (await parent.stdout.readline()).split()]
    assert pids
    assert all(map(runs, pids))
    parent.kill()
    await parent.communicate()
    await eventually(lambda: not any(map(runs, pids)), 30)


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@ON_ALL
@pytest.mark.skipif(os.geteuid() != 0, reason="about being root")
async def test_a_database_is_not_run_as_root(engine: Engine, home: Path) -> None:
    server = await engine.start(home)
    assert [psutil.Process(pid).uids().real == 0 for pid in server.pids] == [engine.name == "redis"]
    await server.stop()


SETTINGS = {
    "mariadb": {
        "@@innodb_flush_log_at_trx_commit": "1",
        "@@innodb_doublewrite": "1",
        "@@character_set_server": "utf8mb4",
    },
    "postgresql": {
        "current_setting('fsync')": "on",
        "current_setting('synchronous_commit')": "on",
        "current_setting('full_page_writes')": "on",
        "current_setting('server_encoding')": "UTF8",
        "current_setting('transaction_isolation')": "read committed",
    },
}


@ON_DATABASES
async def test_what_it_commits_is_on_the_disk_and_text_is_unicode(engine: Engine, home: Path) -> None:
    server = await engine.start(home)
    for expression, expected in SETTINGS[engine.name].items():
        assert await value(server.url, f"SELECT {expression}") == expected, expression
    await server.stop()


@ON_DATABASES
async def test_nobody_is_let_in_without_its_password(engine: Engine, home: Path) -> None:
    server = await engine.start(home)
    password = server.url.split("@")[0].split(":")[-1]
    for wrong in ("", "x"):
        assert not await sql_server.answers(server.url.replace(password, wrong))()
    for user in ("root", "postgres", "mysql"):
        assert not await sql_server.answers(server.url.replace(f"brandmesh:{password}", user))()
    assert await sql_server.answers(server.url)()
    await server.stop()


@ON_DATABASES
async def test_a_database_is_made_anew_and_removed(engine: Engine, home: Path) -> None:
    server = await engine.start(home)
    await write(server)
    connected = Database(sql_server.database_url(server.url, "kept"))
    await connected.ping()
    await write(server)
    assert await read(server) == 7
    await sql_server.drop_database(server.url, "kept")
    assert not await sql_server.answers(sql_server.database_url(server.url, "kept"))()
    await connected.close()
    await server.stop()


@ON_DATABASES
async def test_a_first_start_that_was_broken_off_does_no_harm(engine: Engine, home: Path) -> None:
    for seconds in (0.05, 0.2, 0.4):
        starting = asyncio.create_task(engine.start(home))
        await asyncio.wait({starting}, timeout=seconds)
        starting.cancel()
        await asyncio.wait({starting})
        if not starting.cancelled():
            await starting.result().stop()
    server = await engine.start(home)
    await write(server)
    await server.stop()
