"""Users at the gateway: which tokens it takes, and how much it lets them ask."""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from gateway.admission import network_of
from mesh.access_tokens import AccessTokens
from tests.gateway.harness import BRAND, USER, Served, ServeGateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

CART = f"/v1/brands/{BRAND}/users/{USER}/cart"
LOG_IN = f"/v1/brands/{BRAND}/users:logIn"
KEY = b"k" * 43


async def ask(served: Served, path: str, credential: str, method: str = "GET") -> tuple[int, str, Any]:
    headers = {"authorization": f"Bearer {credential}"} if credential else {}
    async with served.http.request(method, path, headers=headers) as response:
        problem = json.loads(await response.read())
        return response.status, problem["reason"], response.headers


def signed(changes: dict[str, Any], key: bytes = KEY, algorithm: str = "HS256", kid: str = "test") -> str:
    claims = {"brand": BRAND, "user": USER, "exp": 1 << 40, "jti": "a"} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


def unsigned() -> str:
    """Make a token that says itself that nobody signed it."""
    parts = [{"alg": "none", "kid": "test", "typ": "JWT"}, {"brand": BRAND, "user": USER, "exp": 1 << 40, "jti": "a"}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def test_token_is_let_through(served: Served) -> None:
    # The stand-in behind the gateway has no carts; a gate that is shut says 401 or 403.
    assert (await ask(served, CART, served.token()))[0] == 501
    assert (await ask(served, CART, signed({})))[0] == 501


@pytest.mark.parametrize(
    "token",
    [
        unsigned(),
        signed({}, key=b"x" * 43),
        signed({}, algorithm="HS512", key=b"k" * 64),
        signed({}, kid="other"),
        signed({"exp": None}),
        signed({"jti": None}),
        signed({"brand": None}),
        signed({"brand": str(BRAND)}),
        signed({"brand": True}),
        signed({"user": None}),
        signed({"user": int(USER)}),
        signed({"user": ""}),
        signed({"user": f"0{USER}"}),
        signed({"exp": "soon"}),
        signed({"more": "x" * 2000}),
        "a.b.c",
        "..",
        "bmr_7.secret.own",
    ],
)
async def test_what_is_no_token_of_ours_is_refused(served: Served, token: str) -> None:
    status, reason, headers = await ask(served, CART, token)
    assert (status, reason) == (401, "TOKEN_INVALID")
    assert 'error="invalid_token"' in headers["www-authenticate"]


async def test_keys_are_changed_without_a_pause(serve: ServeGateway) -> None:
    old, new = "old:" + "o" * 43, "new:" + "n" * 43
    served = await serve(user_token_keys=f"{old},{new}")
    expires_at_ms = time.time_ns() // 1_000_000 + 60_000
    for keys in (old, f"{new},{old}"):
        token = AccessTokens(SecretStr(keys)).issue(BRAND, USER, expires_at_ms=expires_at_ms)
        assert (await ask(served, CART, token))[0] == 501
    token = AccessTokens(SecretStr("next:" + "n" * 43)).issue(BRAND, USER, expires_at_ms=expires_at_ms)
    assert (await ask(served, CART, token))[1] == "TOKEN_INVALID"


async def test_without_keys_no_user_is_let_in(serve: ServeGateway) -> None:
    served = await serve(user_token_keys="")
    assert (await ask(served, CART, signed({})))[:2] == (401, "TOKEN_INVALID")


async def test_each_user_is_limited_alone(serve: ServeGateway) -> None:
    served = await serve(user_rate_per_second=0.001, user_rate_burst=2)
    for _ in range(2):
        assert (await ask(served, CART, served.token()))[0] == 501
    status, reason, headers = await ask(served, CART, served.token())
    assert (status, reason) == (429, "RATE_LIMITED")
    assert int(headers["retry-after"]) > 1
    other = served.token(user_id="7")
    assert (await ask(served, f"/v1/brands/{BRAND}/users/7/cart", other))[0] == 501
    same_in_another_brand = served.token(brand_id=1002)
    assert (await ask(served, f"/v1/brands/1002/users/{USER}/cart", same_in_another_brand))[0] == 501
    assert (await ask(served, CART, served.key))[0] == 501


async def test_who_need_not_be_known_is_limited_by_address(serve: ServeGateway) -> None:
    served = await serve(address_rate_per_second=0.001, address_rate_burst=3, trusted_proxies="127.0.0.1")

    async def log_in(address: str) -> str:
        headers = {"x-forwarded-for": address}
        async with served.http.post(LOG_IN, json={}, headers=headers) as response:
            return str(json.loads(await response.read())["reason"])

    answers = await asyncio.gather(*(log_in("203.0.113.7") for _ in range(6)))
    assert sorted(answers) == ["RATE_LIMITED"] * 3 + ["UNIMPLEMENTED"] * 3
    assert await log_in("203.0.113.8") == "UNIMPLEMENTED"
    for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:f::3"):
        assert await log_in(host) == "UNIMPLEMENTED"
    assert await log_in("2001:db8::4") == "RATE_LIMITED"
    assert await log_in("2001:db8:0:1::1") == "UNIMPLEMENTED"
    assert (await ask(served, CART, served.token()))[0] == 501


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, ""),
        ("no address", ""),
    ],
)
async def test_an_address_is_what_a_caller_cannot_choose(host: str | None, network: str) -> None:
    assert network_of(host) == network
