"""The user service behind the gateway, both real: from registration to the last token."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from mesh.embedded_valkey import EmbeddedValkey
from tests.gateway.harness import BRAND, Served, serve_gateway
from tests.order.user.harness import OTHER_PASSWORD, PASSWORD, running_accounts

pytestmark = pytest.mark.asyncio(loop_scope="session")

USERS = f"/v1/brands/{BRAND}/users"


class App:
    """What a user's app does."""

    def __init__(self, served: Served) -> None:
        self._http = served.http

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with self._http.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def register(self, user_name: str, **fields: Any) -> tuple[int, Any]:
        body = {"requestId": f"register-{user_name}", "userName": user_name, "password": PASSWORD, **fields}
        return await self.call("POST", USERS, body)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(tmp_path_factory: pytest.TempPathFactory, valkey: EmbeddedValkey) -> AsyncIterator[App]:
    async with AsyncExitStack() as stack:
        directory = tmp_path_factory.mktemp("users")
        accounts = await stack.enter_async_context(running_accounts(directory))
        settings = accounts.running.settings
        changes = {"peer_user": settings.listen, "user_token_keys": settings.user_token_keys}
        yield App(await stack.enter_async_context(serve_gateway(directory, valkey.url, **changes)))


async def test_003_01_a_user_registers_logs_in_and_reads_what_is_its_own(app: App) -> None:
    status, made = await app.register("li.wei", userMobile="13800138000")
    assert status == 200
    user_id = made["user"]["userId"]
    status, found = await app.call("POST", f"{USERS}:logIn", {"userName": "13800138000", "password": PASSWORD})
    assert (status, found["user"]) == (200, made["user"])
    token = found["tokens"]["accessToken"]
    assert await app.call("GET", f"{USERS}/{user_id}", token=token) == (200, {"user": made["user"]})
    for path in (f"{USERS}/404", f"/v1/brands/1002/users/{user_id}"):
        status, problem = await app.call("GET", path, token=token)
        assert status == 403, problem


async def test_another_user_reads_the_same_refusal_whether_there_is_such_a_user(app: App) -> None:
    _, first = await app.register("first")
    _, second = await app.register("second")
    token = second["tokens"]["accessToken"]
    told = []
    for user_id in (first["user"]["userId"], "404"):
        status, problem = await app.call("GET", f"{USERS}/{user_id}", token=token)
        told.append((status, {**problem, "instance": "", "requestId": ""}))
    assert told[0] == told[1]
    assert told[0][1]["reason"] == "USER_NOT_ALLOWED"


async def test_tokens_follow_each_other_until_the_user_logs_out(app: App) -> None:
    _, made = await app.register("lasting")
    refresh = {"refreshToken": made["tokens"]["refreshToken"]}
    status, found = await app.call("POST", f"{USERS}:refresh", refresh)
    assert status == 200
    assert (await app.call("GET", f"{USERS}/{made['user']['userId']}", token=found["tokens"]["accessToken"]))[0] == 200
    last = {"refreshToken": found["tokens"]["refreshToken"]}
    assert await app.call("POST", f"{USERS}:logOut", last) == (200, {})
    status, problem = await app.call("POST", f"{USERS}:refresh", last)
    assert (status, problem["reason"]) == (401, "TOKEN_INVALID")


async def test_a_user_changes_its_password(app: App) -> None:
    _, made = await app.register("changing")
    path = f"{USERS}/{made['user']['userId']}:changePassword"
    passwords = {"oldPassword": PASSWORD, "newPassword": OTHER_PASSWORD}
    status, found = await app.call("POST", path, passwords, made["tokens"]["accessToken"])
    assert (status, bool(found["tokens"]["refreshToken"])) == (200, True)
    status, problem = await app.call("POST", f"{USERS}:logIn", {"userName": "changing", "password": PASSWORD})
    assert (status, problem["reason"]) == (401, "LOGIN_WRONG")


@pytest.mark.parametrize(
    ("fields", "status", "reason", "field"),
    [
        ({"userName": "TAKEN"}, 409, "USER_NAME_TAKEN", "userName"),
        ({"userMobile": "13900139000"}, 409, "USER_MOBILE_TAKEN", "userMobile"),
        ({"password": "password123"}, 400, "PASSWORD_WEAK", "password"),
        ({"userMobile": "1"}, 400, "INVALID_REQUEST", "userMobile"),
    ],
)
async def test_003_01_refusals_of_registrations_name_the_field(
    app: App, fields: dict[str, str], status: int, reason: str, field: str
) -> None:
    await app.register("taken", userMobile="13900139000")
    found_status, problem = await app.register("newcomer", **fields)
    assert (found_status, problem["reason"]) == (status, reason)
    assert [violation["field"] for violation in problem["violations"]] == [field]
    assert PASSWORD not in str(problem)
