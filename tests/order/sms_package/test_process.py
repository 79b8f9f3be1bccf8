"""The two processes as operators run them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageServiceStub
from mesh.channel import Peer

SECRET = "a-secret-of-32-characters-or-so"
ORDER_RPC = {
    "BRANDMESH_PAYMENT_MERCHANT_ID": "190000001",
    "BRANDMESH_PAYMENT_SECRET": SECRET,
    "BRANDMESH_USER_TOKEN_KEYS": "test:" + "k" * 43,
}


@asynccontextmanager
async def running(module: str, directory: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m module` without waiting for anything it writes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module,
        cwd=directory,
        env={**os.environ, "BRANDMESH_BUS_URL": "memory://", "BRANDMESH_LISTEN": "127.0.0.1:0", **variables},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_order_rpc_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async with running("order_rpc", tmp_path, **ORDER_RPC) as process:
        assert process.stderr is not None
        line: dict[str, str] = {}
        while line.get("event") != "serving":
            line = json.loads(await asyncio.wait_for(process.stderr.readline(), 20))
        peer = Peer("order_rpc", line["address"])
        request = sms_package_pb2.ListPackagesRequest(brand_id=1)
        answer = await peer.call(SmsPackageServiceStub(peer.channel).ListPackages, request)
        assert list(answer.packages) == []
        await peer.close()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert (tmp_path / "var" / "order.db").exists()


async def test_order_rpc_does_not_start_without_its_secret_and_never_shows_it(tmp_path: Path) -> None:
    async with running("order_rpc", tmp_path, BRANDMESH_PAYMENT_SECRET="short-secret") as process:
        _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode
    assert b"BRANDMESH_PAYMENT_MERCHANT_ID: " in said
    assert b"BRANDMESH_PAYMENT_SECRET: " in said
    assert b"short-secret" not in said


async def test_order_rmq_stops_cleanly_though_its_peers_are_away(tmp_path: Path) -> None:
    away = {"BRANDMESH_PEER_ORDER": "127.0.0.1:1", "BRANDMESH_SWEEP_SECONDS": "0.2", "BRANDMESH_DRAIN_SECONDS": "1"}
    async with running("order_rmq", tmp_path, **away) as process:
        assert process.stderr is not None
        # A sweep found its peer away and said so: the process is up.
        line = await asyncio.wait_for(process.stderr.readline(), 30)
        assert b'"part":"periodic"' in line
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
