"""The whole way of one call, step by step."""

from __future__ import annotations

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from tests.messagecenter_rpc.harness import CONTENT, KITCHEN, PARAMS, MessageCenter, record_ids_of


async def test_a_call_goes_all_the_way(center: MessageCenter) -> None:
    template_id = await center.template()
    await center.configure(template_id=template_id)
    device = await center.device("screen-1", location="back kitchen")

    response = await center.send()
    assert response.record_count == 1
    (record_id,) = record_ids_of(response)
    assert await center.due_ids() == [[record_id]]

    (delivery,) = await center.claim([record_id])
    assert delivery.template_content == CONTENT
    assert dict(delivery.params) == PARAMS
    assert delivery.channel == KITCHEN
    assert delivery.due_time.ToMilliseconds() == center.clock.now_ms
    assert delivery.expire_time.ToMilliseconds() == center.clock.now_ms + 600_000
    assert delivery.msg_random
    facts = delivery.call_cancelled, delivery.switched_off, delivery.quiet
    assert facts == (False, False, False)
    (recipient,) = delivery.recipients
    assert recipient == pb.ImRecipient(record_id=record_id, account=device.account, nick="kitchen back kitchen")

    await center.outcome([record_id], text="801房间下单了水饺2份,请注意")
    (record,) = (await center.get(response.call_id)).records
    assert record.status == pb.IM_RECORD_STATUS_SENT
    assert record.text == "801房间下单了水饺2份,请注意"
    assert record.end_time.ToMilliseconds() == center.clock.now_ms
