"""The process as operators run it, before a server that stands for Tencent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.channel import Peer
from tests.sms_rmq.providers.scripted_server import raw
from tests.txim_rpc.harness import SDK_APP_ID, SECRET_KEY, SENT, UNKNOWN, Txim
from tests.txim_rpc.tencent_server import TencentServer
from txim_rpc.domain import Command


@asynccontextmanager
async def process(directory: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m txim_rpc` without waiting for anything it writes."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "txim_rpc",
        cwd=directory,
        env={**os.environ, "BRANDMESH_LISTEN": "127.0.0.1:0", **variables},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def address_of(running: asyncio.subprocess.Process) -> str:
    assert running.stderr is not None
    line: dict[str, str] = {}
    while line.get("event") != "serving":
        line = json.loads(await asyncio.wait_for(running.stderr.readline(), 20))
    return line["address"]


async def stop(running: asyncio.subprocess.Process) -> str:
    """Stop it as an operator does; answer what it wrote since it began to serve."""
    running.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(running.communicate(), 20)
    assert running.returncode == 0
    return said.decode()


async def test_it_serves_and_remembers_its_accounts(tmp_path: Path, tencent: TencentServer) -> None:
    variables = {
        "BRANDMESH_TXIM_URL": tencent.url,
        "BRANDMESH_TXIM_SDK_APP_ID": str(SDK_APP_ID),
        "BRANDMESH_TXIM_SECRET_KEY": SECRET_KEY,
    }
    tencent.script(Command.SEND_MSG, raw(b"SSH-2.0-x\r\n\r\n"))
    said = ""
    for outcome in (UNKNOWN, SENT):
        async with process(tmp_path, **variables) as running:
            peer = Peer("txim_rpc", await address_of(running))
            assert (await Txim(peer).send()).outcome == outcome
            await peer.close()
            said += await stop(running)
    assert tencent.commands == [Command.ACCOUNT_IMPORT, Command.SEND_MSG, Command.SEND_MSG]
    assert (tmp_path / "var" / "txim.db").exists()
    assert "txim_call_failed" in said
    assert not any(secret in said for secret in (SECRET_KEY, *{asked.query["usersig"] for asked in tencent.asked}))


async def test_it_does_not_start_with_a_short_lived_user_sig_and_shows_no_key(tmp_path: Path) -> None:
    variables = {"BRANDMESH_TXIM_SECRET_KEY": SECRET_KEY, "BRANDMESH_TXIM_USER_SIG_SECONDS": "86399"}
    async with process(tmp_path, **variables) as running:
        _, said = await asyncio.wait_for(running.communicate(), 20)
    assert running.returncode
    assert b"BRANDMESH_TXIM_USER_SIG_SECONDS: " in said
    assert b"BRANDMESH_TXIM_SDK_APP_ID: " in said
    assert SECRET_KEY.encode() not in said
