from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from mesh.embedded_valkey import EmbeddedValkey
from mesh.redis_connection import connect_redis
from mesh.testing import eventually


async def test_goes_on_with_its_directory(tmp_path: Path) -> None:
    server = await EmbeddedValkey.start(tmp_path / "new" / "directory")
    client = connect_redis(server.url, "tests")
    await client.set("k", "v")
    await server.stop()
    server = await EmbeddedValkey.start(tmp_path / "new" / "directory", server.port)
    assert await client.get("k") == b"v"
    settings = await client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save")
    assert settings == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}
    await client.aclose()
    await server.stop()
    assert await server.wait() == 0


async def test_two_run_side_by_side(tmp_path: Path) -> None:
    first = await EmbeddedValkey.start(tmp_path / "first")
    second = await EmbeddedValkey.start(tmp_path / "second")
    assert first.url != second.url
    await first.kill()
    await second.stop()
    await second.stop()


async def test_says_why_it_did_not_start(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("not a directory")
    with pytest.raises(RuntimeError, match=r"(?s)valkey-server ended at start: .*appendonlydir"):
        await EmbeddedValkey.start(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_killed_parent_leaves_no_server(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        Path(__file__).with_name("valkey_process.py"),
        tmp_path,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    await parent.communicate()
    await eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
