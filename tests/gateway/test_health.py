import asyncio
import json
import signal
import sys
from typing import Any

import aiohttp
import pytest

from mesh.testing import eventually
from tests.gateway.harness import BRAND, Served, ServeGateway
from tests.gateway.test_api import SEND, SMS, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_ready_when_all_is_there(served: Served) -> None:
    assert (await ask(served, "GET", "/healthz", headers={}))[:2] == (200, {"status": "alive"})
    status, answer, _ = await ask(served, "GET", "/readyz", headers={})
    assert status == 200
    assert answer == {
        "status": "ready",
        "checks": dict.fromkeys(["sms", "costcenter", "order", "messagecenter", "database", "redis"], "ready"),
    }


async def test_not_ready_names_what_is_away(serve: ServeGateway) -> None:
    served = await serve(redis_url="redis://127.0.0.1:1/0", peer_order="127.0.0.1:1")
    status, answer, _ = await ask(served, "GET", "/readyz", headers={})
    assert (status, answer["status"]) == (503, "not ready")
    assert {name for name, state in answer["checks"].items() if state != "ready"} == {"order", "redis"}
    assert (await ask(served, "GET", "/healthz", headers={}))[0] == 200


class Process:
    """A gateway run as its own process, with its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.log.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line["event"] == event]

    async def url(self) -> str:
        await eventually(lambda: self.said("serving"))
        return f"http://{self.said('serving')[0]['address']}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        code = await self._process.wait()
        await self._reading
        return code


async def start(served: Served, **changes: str) -> Process:
    settings = served.settings
    environment = {
        "PYTHONPATH": ":".join(sys.path),
        "BRANDMESH_DATABASE_URL": settings.database_url,
        "BRANDMESH_REDIS_URL": settings.redis_url,
        "BRANDMESH_PEER_SMS": settings.peer_sms,
        "BRANDMESH_PEER_COSTCENTER": settings.peer_costcenter,
        "BRANDMESH_PEER_ORDER": settings.peer_order,
        "BRANDMESH_PEER_MESSAGECENTER": settings.peer_messagecenter,
        "BRANDMESH_DRAIN_NOTICE_SECONDS": "0.5",
        **changes,
    }
    return Process(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "--listen", "127.0.0.1:0", env=environment, stderr=asyncio.subprocess.PIPE
        )
    )


async def test_sigterm_lets_requests_under_way_finish(serve: ServeGateway) -> None:
    served = await serve()
    process = await start(served)
    async with aiohttp.ClientSession(await process.url()) as http:
        served.sms.hold.clear()
        sending = asyncio.create_task(http.post(SMS, json=SEND, headers=served.headers()))
        await eventually(lambda: served.sms.batches)
        process.stop()

        async def is_draining() -> bool:
            async with http.get("/readyz") as response:
                return response.status == 503 and (await response.json())["status"] == "draining"

        await eventually(is_draining)
        served.sms.hold.set()
        assert (await sending).status == 200
    assert await process.wait() == 0
    assert process.said("drained")


async def test_log_line_tells_the_route_and_neither_key_nor_phone_nor_content(serve: ServeGateway) -> None:
    served = await serve()
    process = await start(served)
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {
        **served.headers(),
        "x-request-id": "my-request",
        "traceparent": f"00-{trace_id}-b7ad6b7169203331-01",
    }
    async with aiohttp.ClientSession(await process.url()) as http:
        (await http.post(SMS, json=SEND, headers=headers)).close()
        (await http.delete(f"/v1/brands/{BRAND}/smsBlocks/13800138000", headers=headers)).close()
        (await http.get("/nothing/13800138000", headers=headers)).close()
        (await http.get("/webhooks/chuanglan/s3cret/receipt?pswd=password-1")).close()
    process.stop()
    assert await process.wait() == 0
    lines = process.said("request")
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/v1/brands/{brand_id}/sms", 200),
        ("DELETE", "/v1/brands/{brand_id}/smsBlocks/{phone}", 200),
        ("other", "", 404),
        ("GET", "/webhooks/chuanglan/{secret}/{kind}", 404),
    ]
    assert lines[0]["brand_id"] == BRAND
    assert lines[0]["key_id"] == served.key.split("_")[1]
    assert lines[0]["request_id"] == "my-request"
    assert lines[0]["trace_id"] == trace_id
    assert lines[0]["body_bytes"] == len(json.dumps(SEND))
    assert lines[0]["response_bytes"] > 50
    assert lines[0]["duration_ms"] > 0
    written = json.dumps(process.log)
    for secret in (served.key, "13800138000", SEND["content"], "s3cret", "password-1"):
        assert str(secret) not in written


async def test_settings_that_are_missing_are_named() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env={"PYTHONPATH": ":".join(sys.path)}, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"BRANDMESH_PEER_SMS: " in said
    assert b"Traceback" not in said
