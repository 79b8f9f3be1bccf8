import asyncio
import io
import json

import pytest

from gateway.limits import Budget, TokenBuckets
from gateway.problems import ProblemError
from mesh.testing import eventually
from tests.gateway.harness import USER, ServeGateway
from tests.gateway.test_api import SEND, SMS, ask, ask_large, refusal

LOG_IN = "/v1/brands/1001/users:logIn"
ORDERS = f"/v1/brands/1001/users/{USER}/orders"

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def test_bucket_gives_its_burst_then_its_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(8, 3, clock=clock)
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(ProblemError) as caught:
        buckets.take("a")
    assert caught.value.problem.reason == "RATE_LIMITED"
    assert caught.value.problem.retry_after_seconds == pytest.approx(0.125)
    buckets.take("b")
    clock.seconds += 0.125
    buckets.take("a")
    with pytest.raises(ProblemError):
        buckets.take("a")
    clock.seconds += 3600
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(ProblemError):
        buckets.take("a")


async def test_who_is_refused_is_not_forgotten_for_others() -> None:
    buckets = TokenBuckets(1, 1, buckets_max=2, clock=Clock())
    buckets.take("greedy")
    for number in range(5):
        buckets.take(str(number))
        with pytest.raises(ProblemError):
            buckets.take("greedy")


async def test_number_of_buckets_is_bounded() -> None:
    buckets = TokenBuckets(10, 3, buckets_max=5)
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets._buckets) == 5


async def test_budget_is_given_back_whatever_happens() -> None:
    budget = Budget("the place", 10)
    with budget.hold(4) as hold, pytest.raises(ProblemError):
        hold.add(7)
    with budget.hold(4) as hold:
        hold.add(6)
    with budget.hold(10), pytest.raises(ProblemError), budget.hold(1):
        pytest.fail("the budget is used up")
    with pytest.raises(ProblemError), budget.hold(11):
        pytest.fail("the budget is not so large")
    with budget.hold(10):
        pass


async def test_rate_of_a_key(serve: ServeGateway) -> None:
    served = await serve(rate_per_second=0.1, rate_burst=3)
    for _ in range(3):
        assert (await ask(served, "GET", SMS))[0] == 200
    status, reason, _ = await refusal(served, "GET", SMS)
    assert (status, reason) == (429, "RATE_LIMITED")
    _, _, headers = await ask(served, "GET", SMS)
    assert 8 <= int(headers["retry-after"]) <= 10
    _, other = await served.make_key()
    assert (await ask(served, "GET", SMS, headers=served.headers(other)))[0] == 200


async def test_requests_at_once(serve: ServeGateway) -> None:
    served = await serve(requests_in_flight_max=2)
    served.sms.hold.clear()
    held = [
        asyncio.create_task(ask(served, "POST", SMS, json={**SEND, "requestId": f"held-{number}"}))
        for number in range(2)
    ]
    await eventually(lambda: sum(map(len, served.sms.batches)) == 2)
    status, reason, _ = await refusal(served, "GET", SMS)
    assert (status, reason) == (503, "OVERLOADED")
    assert (await ask(served, "GET", "/healthz"))[0] == 200
    served.sms.hold.set()
    assert [(await task)[0] for task in held] == [200, 200]
    assert (await ask(served, "GET", SMS))[0] == 200


async def test_size_of_a_body(serve: ServeGateway) -> None:
    served = await serve(body_bytes_max=2048)
    body = {**SEND, "content": "x" * 3000}
    status, reason, _ = await refusal(served, "POST", SMS, json=body)
    assert (status, reason) == (413, "BODY_TOO_LARGE")

    async def chunks() -> object:
        for _ in range(100):
            yield b" " * 100

    headers = {**served.headers(), "content-type": "application/json"}
    status, reason, _ = await refusal(served, "POST", SMS, data=chunks(), headers=headers)
    assert (status, reason) == (413, "BODY_TOO_LARGE")
    assert (await ask(served, "POST", SMS, json=SEND))[0] == 200


async def test_answer_to_a_large_body_is_heard(serve: ServeGateway) -> None:
    served = await serve(body_bytes_max=2048)
    headers = {**served.headers(), "content-type": "application/json"}
    for _ in range(3):
        found = await refusal(served, "POST", SMS, data=io.BytesIO(b" " * (8 << 20)), headers=headers)
        assert found[:2] == (413, "BODY_TOO_LARGE")


async def test_bodies_in_memory(serve: ServeGateway) -> None:
    served = await serve(body_bytes_in_flight_max=20_000)
    served.sms.hold.clear()
    body = {**SEND, "phones": ["13800138000"] * 900}
    held = asyncio.create_task(ask_large(served, SMS, body))
    await eventually(lambda: served.sms.batches)
    status, answer, _ = await ask_large(served, SMS, body)
    assert (status, answer["reason"]) == (503, "OVERLOADED")
    served.sms.hold.set()
    assert (await held)[0] == 200
    assert (await ask_large(served, SMS, body))[0] == 200


async def test_body_that_does_not_arrive(serve: ServeGateway) -> None:
    served = await serve(body_timeout_seconds=0.2)
    head = f"POST {SMS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.key}\r\ncontent-length: 10\r\n\r\n"
    answer = await served.raw(head.encode() + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "BODY_TIMEOUT"


@pytest.mark.parametrize("caller", ["a user", "anybody"])
async def test_who_has_no_key_has_a_smaller_body_and_less_time_for_it(serve: ServeGateway, caller: str) -> None:
    """Else a few strangers could hold all memory for bodies, and all places, from those who have one."""
    served = await serve(body_without_key_bytes_max=1024, body_without_key_timeout_seconds=0.2)
    head = f"POST {LOG_IN} HTTP/1.1\r\nhost: a\r\n"
    if caller == "a user":
        head = f"POST {ORDERS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.token()}\r\n"
    for length, reason in ((1025, "BODY_TOO_LARGE"), (1024, "BODY_TIMEOUT")):
        answer = await served.raw(f"{head}content-length: {length}\r\n\r\n{{".encode())
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == reason
    assert (await ask_large(served, SMS, {**SEND, "phones": ["13800138000"] * 900}))[0] == 200
