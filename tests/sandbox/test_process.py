import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.sandbox.harness import Json, Sandbox, section

ROOT = Path(__file__).parents[2]


async def start(*flags: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox",
        *flags,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode()


async def finish(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def send(url: str, account: str, password: str) -> Json:
    body = {"account": account, "password": password, "msg": "【海蓝汤泉】hello", "phone": "13800000001"}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/msg/send/json", json=body) as response:
        return section(await response.json())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_prints_its_address_serves_and_stops_at_a_signal(number: signal.Signals) -> None:
    accounts = json.dumps([{"account": "N7", "password": "of-the-flag", "balance": 1}])
    process = await start("--port", "0", "--chuanglan-accounts", accounts, BRANDMESH_SANDBOX_HOST="127.0.0.1")
    try:
        line = await first_line(process)
        assert line.startswith("sandbox listening on http://127.0.0.1:")
        url = line.split()[-1]

        assert (await send(url, "N7", "of-the-flag"))["code"] == "0"
        assert (await send(url, "N7", "of-the-flag"))["code"] == "109"
        assert (await send(url, "N1000001", "sandbox-password"))["code"] == "101"

        process.send_signal(number)
        status, errors = await finish(process)
        assert status == 0
        assert "stopped" in errors
        assert "of-the-flag" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", "70000"), ("chuanglan_receipt_url", "/hook"), ("chuanglan_accounts", "{"), ("chuanglan_accounts", "[]")],
)
async def test_a_wrong_setting_is_refused_by_name_without_a_stack_trace(name: str, value: str) -> None:
    process = await start(**{f"BRANDMESH_SANDBOX_{name.upper()}": value})

    status, errors = await finish(process)

    assert status == 1
    assert errors.startswith("sandbox: ")
    assert name in errors
    assert "Traceback" not in errors


async def test_a_port_in_use_is_told_without_a_stack_trace(sandbox: Sandbox) -> None:
    port = sandbox.url.rpartition(":")[2]

    status, errors = await finish(await start("--port", port))

    assert status == 1
    assert errors.startswith(f"sandbox: cannot listen on 127.0.0.1 port {port}: ")
    assert "Traceback" not in errors


async def test_an_unknown_flag_is_refused() -> None:
    process = await start("--colour", "red")

    status, errors = await finish(process)

    assert status != 0
    assert "--colour" in errors
