from __future__ import annotations

from prometheus_client import REGISTRY

from tests.sms_rmq.providers.scripted_server import hang_up
from tests.txim_rpc.harness import Txim
from tests.txim_rpc.tencent_server import TencentServer, fail, ok
from txim_rpc.domain import Command


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"brandmesh_txim_{name}", labels) or 0.0


def calls() -> dict[str, float]:
    outcomes = ("ok", "re_sign", "unknown", "fail", "import")
    return {outcome: value("calls_total", command="sendmsg", outcome=outcome) for outcome in outcomes}


def messages() -> dict[str, float]:
    return {outcome: value("messages_total", outcome=outcome) for outcome in ("sent", "refused", "retry", "unknown")}


async def test_calls_and_messages_are_counted(txim: Txim, tencent: TencentServer) -> None:
    calls_before, messages_before = calls(), messages()
    seconds_before = value("call_seconds_count", command="sendmsg")
    tencent.script(Command.SEND_MSG, ok(), fail(70001), ok(), fail(90012), ok(), fail(80001), hang_up)
    for _ in range(5):
        await txim.send()
    tencent.script(Command.BATCH_SEND_MSG, ok(ErrorList=[{"To_Account": "desk-2", "ErrorCode": 70500}]))
    await txim.send_all("desk-1", "desk-2", "desk-3")
    await txim.send(life_seconds=-1)
    assert {outcome: count - calls_before[outcome] for outcome, count in calls().items()} == {
        "ok": 3, "re_sign": 1, "unknown": 1, "fail": 1, "import": 1,
    }  # fmt: skip
    assert {outcome: count - messages_before[outcome] for outcome, count in messages().items()} == {
        "sent": 3 + 2, "refused": 1 + 1, "retry": 1, "unknown": 1,
    }  # fmt: skip
    assert value("call_seconds_count", command="sendmsg") - seconds_before == 7
