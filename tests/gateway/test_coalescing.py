import asyncio
import json

import aiohttp
import pytest
from prometheus_client import REGISTRY

from mesh.testing import eventually
from tests.gateway.harness import Served, ServeGateway
from tests.gateway.test_api import SEND, SMS, ask, ask_large, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_one_refused_item_does_not_touch_others_of_its_batch(served: Served) -> None:
    contents = ["a", "no credit", "b", "defect", "c"]
    answers = await asyncio.gather(
        *(
            ask(served, "POST", SMS, json={**SEND, "requestId": f"mixed-{index}", "content": content})
            for index, content in enumerate(contents)
        )
    )
    assert [status for status, _, _ in answers] == [200, 402, 200, 500, 200]
    assert "secret" not in json.dumps(answers[3][1])


async def test_sends_that_come_together_travel_together(served: Served) -> None:
    served.sms.batches.clear()
    served.sms.hold.clear()
    asking = [
        asyncio.create_task(ask(served, "POST", SMS, json={**SEND, "requestId": f"together-{number}"}))
        for number in range(100)
    ]
    # The first batches are held at the peer while the rest arrives.
    await eventually(lambda: REGISTRY.get_sample_value("http_server_in_flight") == 100)
    served.sms.hold.set()
    assert {status for status, _, _ in await asyncio.gather(*asking)} == {200}
    assert sum(map(len, served.sms.batches)) == 100
    assert len(served.sms.batches) < 50
    assert {sent.request_id for batch in served.sms.batches for sent in batch} == {f"together-{n}" for n in range(100)}


async def test_large_send_goes_by_itself(served: Served) -> None:
    served.sms.singles.clear()
    phones = [f"138{number:08d}" for number in range(100_000)]
    status, answer, _ = await ask_large(served, SMS, {**SEND, "phones": phones})
    assert (status, answer["acceptedCount"]) == (200, 100_000)
    assert len(served.sms.singles[0].phones) == 100_000


async def test_deadline_of_one_caller_is_its_own(serve: ServeGateway) -> None:
    served = await serve(request_timeout_seconds=0.3, coalesce_in_flight_max=1)
    served.sms.hold.clear()
    status, reason, _ = await refusal(served, "POST", SMS, json=SEND)
    assert (status, reason) == (504, "DEADLINE_EXCEEDED")
    served.sms.hold.set()
    status, _, _ = await ask(served, "POST", SMS, json={**SEND, "requestId": "after"})
    assert status == 200


async def test_caller_that_goes_away_does_not_break_its_batch(serve: ServeGateway) -> None:
    served = await serve(coalesce_in_flight_max=1)
    served.sms.hold.clear()
    first = asyncio.create_task(ask(served, "POST", SMS, json={**SEND, "requestId": "first"}))
    await eventually(lambda: served.sms.batches)
    async with aiohttp.ClientSession(served.url) as leaving:
        gone = asyncio.create_task(leaving.post(SMS, json={**SEND, "requestId": "gone"}, headers=served.headers()))
        stays = asyncio.create_task(ask(served, "POST", SMS, json={**SEND, "requestId": "stays"}))
        await eventually(lambda: REGISTRY.get_sample_value("http_server_in_flight") == 3)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    served.sms.hold.set()
    assert [(await task)[0] for task in (first, stays)] == [200, 200]
