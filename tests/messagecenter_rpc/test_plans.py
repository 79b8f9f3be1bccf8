"""No statement walks through a table: what SQLite's planner says of every one that the service makes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from brandmesh.messagecenter.v1 import im_call_pb2
from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from tests.databases import SERVER_URL
from tests.messagecenter_rpc.harness import (
    BRAND,
    KITCHEN,
    REFRESH,
    ROOM_PAD,
    SHOP,
    TECHNICIAN,
    MessageCenter,
    record_ids_of,
)

pytestmark = pytest.mark.skipif(bool(SERVER_URL), reason="reads the plans of SQLite")

PLANNED = ("SELECT", "UPDATE", "DELETE")


async def test_every_statement_finds_its_rows_by_an_index(center: MessageCenter) -> None:
    statements: dict[str, Any] = {}

    def note(
        _connection: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool
    ) -> None:
        if statement.startswith(PLANNED):
            statements.setdefault(statement, parameters[0] if many else parameters)

    engines = [center.database._writer.sync_engine, center.database._reader.sync_engine]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    await _use_everything(center)
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", note)

    assert len(statements) > 30
    scanned = []
    async with center.database.read() as connection:
        for statement, parameters in statements.items():
            rows = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [row.detail for row in rows]
            # The table of ids has one row.
            if any("SCAN" in step and "id_block" not in step for step in plan) or _is_by_status(plan):
                scanned.append((statement, plan))
    assert scanned == []


def _is_by_status(plan: list[str]) -> bool:
    """Whether an index of all records of a status is walked through."""
    return any("(status" in step for step in plan)


async def _use_everything(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.update_template(template_id, "changed")
    await center.configure(template_id=template_id)
    await center.device("pad", channel=ROOM_PAD, location="801")
    await center.device("pad", channel=KITCHEN)
    await center.device("phone", channel=TECHNICIAN)
    await center.clock_on()
    sends = [await center.send(), await center.send(TECHNICIAN, MsgType=REFRESH), await center.send()]
    ids = [record_id for response in sends for record_id in record_ids_of(response)]
    batch = im_call_pb2.BatchSendImCallRequest(requests=[center.request() for _ in range(3)])
    await center.peer.call(center.calls.BatchSendImCall, batch)
    await center.claim(ids)
    await center.outcome(ids[:1])
    await center.outcome(ids[1:2], pb.IM_OUTCOME_UNKNOWN)
    center.bus.is_away = True
    await center.outcome(ids[2:], pb.IM_OUTCOME_RETRY)
    await center.send()
    center.bus.is_away = False
    await center.sweep()
    await center.claim(ids)
    center.clock.pass_seconds(35)
    await center.claim(ids[1:2])
    await center.sweep()
    center.bus.lose_everything()
    center.clock.pass_seconds(100)
    await center.sweep()
    await center.cancel(sends[0].call_id)
    await _read_everything(center, sends[0].call_id, template_id)
    await center.remove_config()
    await center.delete_template(template_id)
    await center.delete_device("pad")


async def _read_everything(center: MessageCenter, call_id: str, template_id: int) -> None:
    await center.get(call_id)
    await center.list_records(call_id)
    for shop_id in (0, SHOP):
        await center.list_calls(shop_id=shop_id)
        await center.list_devices(shop_id=shop_id)
        configs = pb.ListBroadcastConfigsRequest(brand_id=BRAND, shop_id=shop_id)
        await center.peer.call(center.admin.ListBroadcastConfigs, configs)
        configs.page_token = "WzAsMSwxXQ=="
        await center.peer.call(center.admin.ListBroadcastConfigs, configs)
    await center.device_states()
    await center.peer.call(center.admin.ListImTemplates, pb.ListImTemplatesRequest(brand_id=BRAND))
    template = pb.GetImTemplateRequest(brand_id=BRAND, template_id=template_id)
    await center.peer.call(center.admin.GetImTemplate, template)
    technician = pb.GetTechnicianRequest(brand_id=BRAND, technician_id="t1")
    await center.peer.call(center.admin.GetTechnician, technician)
