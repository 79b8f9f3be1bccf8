"""Every path of the contracts, with everything that somebody else could show: nothing is called behind the gateway.

The routes are those of the contracts, so that a new one is tested by being there.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import pytest_asyncio
from yarl import URL

from gateway.contracts import known_scopes, route_table
from gateway.transcoding.routes import Route
from gateway.transcoding.templates import Variable
from mesh.embedded_valkey import EmbeddedValkey
from tests.gateway.harness import BRAND, USER, Served, serve_gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER_BRAND = 1002
OTHER_USER = "274877906945"
ROUTES = [route for route in route_table().routes if not route.open_to_all]
OPEN_TO_USERS = [route for route in ROUTES if route.open_to_users]
OF_USERS = [route for route in OPEN_TO_USERS if route.user_field]
OPEN_TO_ALL = [route for route in route_table().routes if route.open_to_all]


class Recorder(grpc.GenericRpcHandler):
    """Stands for every service: remembers which rpcs were called, and answers none of them."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(self._answer(details.method))

    def _answer(self, method: str) -> Any:
        async def answer(_: bytes, context: Any) -> None:
            self.called.append(method.rpartition("/")[2])
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "only remembered")

        return answer


class Walker:
    """Goes along the routes."""

    def __init__(self, served: Served, recorder: Recorder) -> None:
        self.served = served
        self.recorder = recorder

    async def ask(self, route: Route, credential: str | None, user_id: str = USER) -> tuple[int, str, list[str]]:
        """Ask for a route about BRAND and a user; answer status, reason and the rpcs that were called."""
        self.recorder.called.clear()
        headers = {} if credential is None else {"authorization": f"Bearer {credential}"}
        body: dict[str, Any] | None = {} if route.has_body else None
        url = URL(self.served.url + path_of(route, user_id), encoded=True)
        async with self.served.http.request(route.http_method, url, headers=headers, json=body) as response:
            reason = json.loads(await response.read())["reason"]
            return response.status, reason, list(self.recorder.called)


def path_of(route: Route, user_id: str) -> str:
    values = {route.brand_field: str(BRAND), route.user_field: user_id}
    segments = [
        values.get(segment.field, "7") if isinstance(segment, Variable) else segment
        for segment in route.template.segments
    ]
    return "/" + "/".join(segments) + (f":{route.template.verb}" if route.template.verb else "")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def walker(tmp_path_factory: pytest.TempPathFactory, valkey: EmbeddedValkey) -> AsyncIterator[Walker]:
    async with AsyncExitStack() as stack:
        recorder = Recorder()
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([recorder])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, None)
        peers = {f"peer_{name}": f"127.0.0.1:{port}" for name in ("sms", "costcenter", "messagecenter", "order")}
        rates = dict.fromkeys(("rate_burst", "user_rate_burst", "address_rate_burst"), 100_000)
        directory = tmp_path_factory.mktemp("walked")
        served = await stack.enter_async_context(serve_gateway(directory, valkey.url, **peers, **rates))
        yield Walker(served, recorder)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.rpc)
async def test_key_is_let_in_by_brand_and_scope_alone(walker: Walker, route: Route) -> None:
    wanted = {route.method.name, route.batch.name if route.batch else route.method.name}
    _, right = await walker.served.make_key(scopes=frozenset({route.scope}))
    assert set((await walker.ask(route, right))[2]) & wanted
    _, others = await walker.served.make_key(brand_ids=frozenset({OTHER_BRAND}))
    assert await walker.ask(route, others) == (403, "BRAND_NOT_ALLOWED", [])
    _, without = await walker.served.make_key(scopes=known_scopes() - {route.scope})
    assert await walker.ask(route, without) == (403, "SCOPE_MISSING", [])
    past_ms = time.time_ns() // 1_000_000 - 1
    _, expired = await walker.served.make_key(expires_at_ms=past_ms)
    assert await walker.ask(route, expired) == (401, "KEY_EXPIRED", [])
    assert await walker.ask(route, None) == (401, "KEY_MISSING", [])
    assert await walker.ask(route, right[:-1]) == (401, "KEY_INVALID", [])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.rpc)
async def test_token_is_let_in_by_brand_and_user_where_users_may(walker: Walker, route: Route) -> None:
    token = walker.served.token
    own = await walker.ask(route, token())
    if route.open_to_users:
        assert own[2]
    else:
        assert own == (403, "TOKEN_NOT_ALLOWED", [])
    refused: tuple[int, str, list[str]] = (403, "BRAND_NOT_ALLOWED" if route.open_to_users else "TOKEN_NOT_ALLOWED", [])
    assert await walker.ask(route, token(brand_id=OTHER_BRAND)) == refused
    assert await walker.ask(route, token(seconds=-1)) == (401, "TOKEN_EXPIRED", [])
    assert await walker.ask(route, token() + "x") == (401, "TOKEN_INVALID", [])


@pytest.mark.parametrize("route", OF_USERS, ids=lambda route: route.rpc)
@pytest.mark.parametrize("other", [OTHER_USER, f"0{USER}", f"{USER}%20", f"%2B{USER}"])
async def test_token_is_of_the_user_of_the_path_to_the_letter(walker: Walker, route: Route, other: str) -> None:
    assert await walker.ask(route, walker.served.token(), other) == (403, "USER_NOT_ALLOWED", [])


@pytest.mark.parametrize("route", OPEN_TO_ALL, ids=lambda route: route.rpc)
async def test_what_is_open_to_all_asks_for_nothing(walker: Walker, route: Route) -> None:
    for credential in (None, "nonsense", walker.served.token(seconds=-1)):
        assert (await walker.ask(route, credential))[2] == [route.method.name]


async def test_routes_of_users_are_there() -> None:
    assert len(OF_USERS) > 20
    assert len(OPEN_TO_USERS) > len(OF_USERS)
    assert len(ROUTES) > len(OPEN_TO_USERS)
