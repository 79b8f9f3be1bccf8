import asyncio
import logging

import pytest

from tests.sandbox.harness import (
    PHONE,
    SIGNATURE,
    Customer,
    Sandbox,
    eventually,
    quick_settings,
    running_sandbox,
    section,
)


async def test_health(sandbox: Sandbox) -> None:
    assert await sandbox.get("/healthz") == {"status": "ok"}


async def test_targets_are_changed_one_by_one_and_shown(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.post("/admin/targets", {"chuanglan_receipt_url": "https://gateway.example/hook"})

    assert await sandbox.get("/admin/targets") == {
        "chuanglan_receipt_url": "https://gateway.example/hook",
        "chuanglan_uplink_url": f"{customer.url}/uplink",
        "payment_notify_url": f"{customer.url}/paid",
    }


@pytest.mark.parametrize("wrong", ["ftp://x/y", "/hook", "http://", "http://[", 7])
async def test_a_wrong_target_changes_nothing(sandbox: Sandbox, wrong: object) -> None:
    before = await sandbox.get("/admin/targets")

    status, answer = await sandbox.post_status(
        "/admin/targets", {"chuanglan_uplink_url": "", "chuanglan_receipt_url": wrong}
    )

    assert status == 400
    assert "chuanglan_receipt_url" in str(answer["error"])
    assert await sandbox.get("/admin/targets") == before


async def test_an_unknown_target_is_refused_by_name(sandbox: Sandbox) -> None:
    status, answer = await sandbox.post_status("/admin/targets", {"receipt": "http://127.0.0.1:1/"})

    assert status == 400
    assert "receipt" in str(answer["error"])


async def test_statistics_count_calls_messages_and_receipts(sandbox: Sandbox) -> None:
    await sandbox.send(phone=f"{PHONE},13800000002", msg=SIGNATURE + "x" * 70)
    await sandbox.send(phone="1")
    await sandbox.pull("report")
    await eventually(sandbox.settled, "the receipts are acknowledged")

    stats = await sandbox.stats()
    assert stats["calls"] == {"send": 2, "pull_report": 1}
    assert stats["refusals"] == {"107": 1}
    assert (stats["accepted_calls"], stats["accepted_messages"], stats["billed_segments"]) == (1, 2, 4)
    receipts = section(stats["receipts"])
    assert (receipts["created"], receipts["pushes"], receipts["acknowledged"]) == (2, 2, 2)
    assert section(stats["uplinks"])["created"] == 0
    assert (await sandbox.get("/admin/stats"))["pushes_waiting"] == 0


async def test_the_page_shows_messages_escaped_and_loads_nothing(sandbox: Sandbox) -> None:
    await sandbox.send(msg="【海蓝汤泉】<script>alert(1)</script>&")
    await sandbox.send(phone="13800000002", msg="【海蓝汤泉】another")

    async with sandbox.http.get(f"{sandbox.url}/") as response:
        page = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "【海蓝汤泉】&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in page
    assert "<script" not in page
    assert "http" not in page

    async with sandbox.http.get(f"{sandbox.url}/", params={"phone": '13800000002"><b>'}) as response:
        page = await response.text()
    assert "another" not in page
    assert "13800000002&quot;&gt;&lt;b&gt;" in page


async def test_a_stop_lets_a_push_under_way_finish_and_drops_the_pending(
    customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sandbox")
    settings = quick_settings(push_connections_max=1, push_timeout_seconds=10, stop_grace_seconds=10)
    async with running_sandbox(settings) as sandbox:
        await sandbox.push_to(customer)
        customer.gate.clear()
        await sandbox.send(phone="13800000001,13800000002,13800000003")
        await eventually(lambda: len(customer.received) == 1, "one push is under way")

        stopped = asyncio.create_task(sandbox.stop())
        await eventually(lambda: "dropped 2 pending pushes" in caplog.text, "the log line")
        assert not stopped.done()
        customer.gate.set()
        await stopped

    assert len(customer.received) == 1
    assert "broke off" not in caplog.text


async def test_a_stop_breaks_off_what_outlasts_the_grace(customer: Customer, caplog: pytest.LogCaptureFixture) -> None:
    settings = quick_settings(push_timeout_seconds=60, stop_grace_seconds=0.1)
    async with running_sandbox(settings) as sandbox:
        await sandbox.push_to(customer)
        customer.gate.clear()
        await sandbox.send()
        await eventually(lambda: len(customer.received) == 1, "the push is under way")

        async with asyncio.timeout(5):
            await sandbox.stop()

    assert "broke off 1 pushes" in caplog.text
