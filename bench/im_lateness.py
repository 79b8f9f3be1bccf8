"""How late IM messages leave when 100 records come due in a second: from their due time until Tencent has them.

Beside it, in the same run: how late the bus alone hands over delayed messages at that rate, which no record can beat.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from bench.engine_choice import DatabaseEngine
from bench.figures import Figure, over_runs, percentile
from bench.local import Measured, measured_mesh
from bench.pace import paced
from mesh.bus.connect import connect_bus
from mesh.bus.port import Delivery, Message
from mesh.worker import Done, Outcome, Route, Worker
from meshctl.app import App

ROW = "IM lateness at 100 records/s"

RECORDS_PER_SECOND = 100
SECONDS = 20
DELAY_SECONDS = 3
SHOP_ID = 77
_QUEUE = "bench.delayed"
_PAGE = 1000
_READS_AT_ONCE = 32
_ARRIVAL_SECONDS_MAX = 60.0


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure `runs` times on one mesh, once more before that to warm it up."""
    async with measured_mesh(database) as measured:
        app = measured.apps[0]
        await _furnish(app)
        await _run(measured, app, seconds=2)
        results = [
            await _run(measured, app, SECONDS) | await _bus_alone(measured.mesh.valkey.url, SECONDS)
            for _ in range(runs)
        ]
    return over_runs(ROW, "ms", results)


async def _furnish(app: App) -> None:
    """Give the shop a kitchen and a text whose number tells one call from another."""
    await app.ok("PUT", "/imDevices/bench-kitchen", {"shopId": SHOP_ID, "channel": "kitchen", "location": "bench"})
    template = {"requestId": "bench", "name": "bench", "content": "{number}"}
    template_id = (await app.ok("POST", "/imTemplates", template))["template"]["templateId"]
    config = {
        "shopId": SHOP_ID,
        "event": "catering_ordered",
        "channel": "kitchen",
        "enabled": True,
        "templateId": template_id,
        "firstDelaySeconds": DELAY_SECONDS,
    }
    await app.ok("PUT", "/broadcastConfigs", {"config": config})


async def _run(measured: Measured, app: App, seconds: int) -> dict[str, float]:
    """Make calls at an even pace; answer how late they reached Tencent, in milliseconds."""
    run_id = uuid.uuid4().hex
    call_ids: dict[str, str] = {}

    async def call(text: str) -> None:
        body = {
            "requestId": text,
            "event": "catering_ordered",
            "Channels": ["kitchen"],
            "callParams": {"number": text},
            "shopId": SHOP_ID,
            "MsgType": "broadcast",
        }
        call_ids[text] = (await app.ok("POST", "/imCalls", body))["callId"]

    async with asyncio.TaskGroup() as group:
        async for number in paced(RECORDS_PER_SECOND, seconds):
            group.create_task(call(f"{run_id}-{number}"))
    await asyncio.sleep(DELAY_SECONDS)
    received_at_ms = await _received(measured, run_id, len(call_ids))
    due_at_ms = await _due(app, call_ids)
    late_ms = [received_at_ms[text] - due_at_ms[text] for text in call_ids]
    return {"p50": percentile(late_ms, 50), "p99": percentile(late_ms, 99), "greatest": max(late_ms)}


async def _received(measured: Measured, run_id: str, count: int) -> dict[str, int]:
    """Wait until Tencent has all messages of a run; answer when each came, by its text."""
    async with asyncio.timeout(_ARRIVAL_SECONDS_MAX):
        while True:
            found = await _read_received(measured, run_id, count)
            if len(found) == count:
                return found
            await asyncio.sleep(0.5)


async def _read_received(measured: Measured, run_id: str, count: int) -> dict[str, int]:
    found: dict[str, int] = {}
    before = 0
    for _ in range(math.ceil(count / _PAGE) + 1):
        page = await measured.sandbox("GET", "/admin/txim/messages", limit=str(_PAGE), before=str(before))
        found |= {one["text"]: one["received_at_ms"] for one in page["messages"] if one["text"].startswith(run_id)}
        before = page["next_before"]
        if not before:
            break
    return found


async def _due(app: App, call_ids: Mapping[str, str]) -> dict[str, float]:
    """Read when each call's one record was due."""
    due_at_ms: dict[str, float] = {}
    turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(text: str, call_id: str) -> None:
        async with turns:
            (record,) = (await app.ok("GET", f"/imCalls/{call_id}"))["records"]
        due_at_ms[text] = datetime.fromisoformat(record["dueTime"]).timestamp() * 1000

    async with asyncio.TaskGroup() as group:
        for text, call_id in call_ids.items():
            group.create_task(read(text, call_id))
    return due_at_ms


async def _bus_alone(redis_url: str, seconds: int) -> dict[str, float]:
    """Publish delayed messages at the same pace to a worker that does nothing; answer how late it got them."""
    bus = connect_bus("", redis_url, consumer="bench")
    late_ms: list[float] = []
    is_complete = asyncio.Event()

    async def note(_: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        late_ms.extend(time.time() * 1000 - delivery.published_at_ms for delivery in deliveries)
        if len(late_ms) >= RECORDS_PER_SECOND * seconds:
            is_complete.set()
        return [Done()] * len(deliveries)

    stop = asyncio.Event()
    route = Route(name="bench", prefix=_QUEUE, handler=note, concurrency=4, batch_max=10)
    async with asyncio.TaskGroup() as group:
        group.create_task(Worker(bus, [route]).run(stop, drain_seconds=1))
        async for number in paced(RECORDS_PER_SECOND, seconds):
            group.create_task(bus.publish(_QUEUE, [Message(str(number).encode())], delay_seconds=DELAY_SECONDS))
        async with asyncio.timeout(_ARRIVAL_SECONDS_MAX):
            await is_complete.wait()
        stop.set()
    await bus.close()
    return {"p50 of the bus alone": percentile(late_ms, 50), "p99 of the bus alone": percentile(late_ms, 99)}
