"""Server-sent events of an attempt, from real flash sales behind a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import sqlalchemy as sa

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from gateway import attempt_events
from mesh.embedded_valkey import EmbeddedValkey
from mesh.testing import eventually
from order_rpc.flash_sale import tables
from tests.gateway.harness import Served, serve_gateway
from tests.order.flash_sale.harness import BRAND, BUYER, Market, open_market


@dataclass
class Stage:
    """A gateway before flash sales."""

    served: Served
    market: Market
    key: str

    def path(self, attempt: pb.Attempt, *, user_id: str = "") -> str:
        user = f"/v1/brands/{BRAND}/users/{user_id or attempt.user_id}"
        return f"{user}/flashSales/{attempt.flash_sale_id}/attempts/{attempt.attempt_id}/events"

    @asynccontextmanager
    async def listening(self, attempt: pb.Attempt) -> AsyncIterator[aiohttp.StreamReader]:
        """Open a stream."""
        path, headers = self.path(attempt), self.served.headers(self.key)
        async with self.served.http.get(path, headers=headers) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")
            yield response.content


async def next_status(stream: aiohttp.StreamReader) -> str:
    """Read lines up to the next event; answer the status that it tells."""
    async with asyncio.timeout(10):
        while True:
            line = await stream.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                attempt: dict[str, Any] = json.loads(line.removeprefix(b"data: "))["attempt"]
                return str(attempt["status"])


async def until_end(stream: aiohttp.StreamReader) -> None:
    async with asyncio.timeout(10):
        await stream.read()


@pytest_asyncio.fixture
async def stage(tmp_path: Path, valkey: EmbeddedValkey) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(open_market(tmp_path, valkey.url))
        address = market.running.settings.listen
        served = await stack.enter_async_context(serve_gateway(tmp_path, valkey.url, peer_flash_sale=address))
        _, key = await served.make_key(brand_ids=frozenset({BRAND}))
        yield Stage(served, market, key)


async def test_an_attempt_is_told_as_it_stands_and_when_it_has_its_end(stage: Stage) -> None:
    attempt = await stage.market.buy(await stage.market.publish())
    async with stage.listening(attempt) as stream:
        assert await next_status(stream) == "in_progress"
        async with asyncio.timeout(attempt_events.LOOK_SECONDS / 2):  # woken, and not found by looking
            await stage.market.answer("debited", attempt)
            assert await next_status(stream) == "sold"
        await until_end(stream)


async def test_what_has_ended_is_told_once(stage: Stage) -> None:
    attempt = await stage.market.buy(await stage.market.publish())
    await stage.market.answer("debit_refused", attempt)
    async with stage.listening(attempt) as stream:
        assert await next_status(stream) == "coins_short"
        await until_end(stream)


async def test_news_that_redis_loses_are_found_by_looking(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_events, "LOOK_SECONDS", 0.1)
    attempt = await stage.market.buy(await stage.market.publish())
    async with stage.listening(attempt) as stream:
        assert await next_status(stream) == "in_progress"
        await stage.market.running.execute(sa.update(tables.attempt).values(status=int(pb.ATTEMPT_STATUS_SOLD)))
        assert await next_status(stream) == "sold"


async def test_a_stream_ends_after_its_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_events, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(attempt_events, "STREAM_SECONDS_MAX", 0.3)
    attempt = await stage.market.buy(await stage.market.publish())
    async with stage.listening(attempt) as stream:
        await until_end(stream)


async def test_there_are_so_many_streams_and_one_that_is_left_makes_room(
    tmp_path: Path, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_events, "STREAMS_MAX", 1)
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(open_market(tmp_path, valkey.url))
        address = market.running.settings.listen
        served = await stack.enter_async_context(serve_gateway(tmp_path, valkey.url, peer_flash_sale=address))
        _, key = await served.make_key(brand_ids=frozenset({BRAND}))
        stage = Stage(served, market, key)
        attempt = await market.buy(await market.publish())
        path, headers = stage.path(attempt), served.headers(key)
        async with served.http.get(path, headers=headers) as first:
            await next_status(first.content)
            async with served.http.get(path, headers=headers) as second:
                assert (second.status, (await second.json(content_type=None))["reason"]) == (503, "OVERLOADED")
            first.close()

        async def has_room() -> bool:
            async with served.http.get(path, headers=headers) as again:
                return again.status == 200

        await eventually(has_room)


@pytest.mark.parametrize("who", ["user", "key"])
async def test_one_caller_leaves_room_for_others(stage: Stage, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    monkeypatch.setattr(attempt_events, f"STREAMS_OF_{who.upper()}_MAX", 3)
    attempt = await stage.market.buy(await stage.market.publish())
    user = stage.served.token(brand_id=BRAND, user_id=str(BUYER))
    mine, others = (user, stage.key) if who == "user" else (stage.key, user)
    async with AsyncExitStack() as stack:

        async def status_for(credential: str) -> tuple[int, str]:
            headers = stage.served.headers(credential)
            response = await stack.enter_async_context(stage.served.http.get(stage.path(attempt), headers=headers))
            if response.status == 200:
                return 200, await next_status(response.content)
            return response.status, str((await response.json(content_type=None))["reason"])

        assert [await status_for(mine) for _ in range(3)] == [(200, "in_progress")] * 3
        assert await status_for(mine) == (429, "RATE_LIMITED")
        assert await status_for(others) == (200, "in_progress")
    headers = stage.served.headers(mine)

    async def has_room() -> bool:
        async with stage.served.http.get(stage.path(attempt), headers=headers) as again:
            return again.status == 200

    await eventually(has_room)


async def test_streams_end_where_the_gateway_drains(stage: Stage) -> None:
    attempt = await stage.market.buy(await stage.market.publish())
    async with stage.listening(attempt) as stream:
        assert await next_status(stream) == "in_progress"
        async with asyncio.timeout(attempt_events.LOOK_SECONDS / 2):
            stage.served.gateway.events.drain()
            await until_end(stream)
    async with stage.listening(attempt) as stream:
        await until_end(stream)


async def test_others_do_not_hear_of_it(stage: Stage) -> None:
    attempt = await stage.market.buy(await stage.market.publish())
    unknown = pb.Attempt(attempt_id="5", user_id=str(BUYER), flash_sale_id=attempt.flash_sale_id)
    for path, token, status, reason in (
        (stage.path(attempt), "", 401, "CREDENTIAL_MISSING"),
        (stage.path(attempt), stage.served.token(brand_id=BRAND, user_id="12"), 403, "USER_NOT_ALLOWED"),
        (stage.path(attempt, user_id="12"), stage.key, 404, "ATTEMPT_NOT_FOUND"),
        (stage.path(unknown), stage.key, 404, "ATTEMPT_NOT_FOUND"),
    ):
        headers = stage.served.headers(token) if token else {}
        async with stage.served.http.get(path, headers=headers) as response:
            problem = await response.json(content_type=None)
            assert response.status == status, problem
            assert problem["reason"] == reason or not token
