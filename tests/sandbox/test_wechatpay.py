"""WeChat Pay of the sandbox, called as its documentation says; the adapter's tests run on it too."""

import base64
import csv
import hashlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from functools import cache

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.sandbox.harness import Customer, Json, Sandbox, eventually, quick_settings, running_sandbox, section

MCHID = "1900000002"
NATIVE = "/v3/pay/transactions/native"
QUERY = f"/v3/pay/transactions/out-trade-no/order-1?mchid={MCHID}"
CLOSE = "/v3/pay/transactions/out-trade-no/order-1/close"
REFUNDS = "/v3/refund/domestic/refunds"


@cache
def key(of: str) -> RSAPrivateKey:
    del of
    return generate_private_key(65_537, 2048)


def authorization(method: str, path: str, body: bytes, by: str = "merchant", at_seconds: float = 0) -> str:
    timestamp = str(int(at_seconds or time.time()))
    lines = f"{method}\n{path}\n{timestamp}\nnonce\n".encode() + body + b"\n"
    signature = base64.b64encode(key(by).sign(lines, PKCS1v15(), hashes.SHA256())).decode()
    return (
        f'WECHATPAY2-SHA256-RSA2048 mchid="{MCHID}",nonce_str="nonce",signature="{signature}",'
        f'timestamp="{timestamp}",serial_no="5AD0C"'
    )


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    """Check an answer or a notification; raises InvalidSignature."""
    lines = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode() + body + b"\n"
    signature = base64.b64decode(headers["wechatpay-signature"])
    key("platform").public_key().verify(signature, lines, PKCS1v15(), hashes.SHA256())
    return headers["wechatpay-serial"] == "PUB_KEY_ID_SANDBOX"


@pytest_asyncio.fixture
async def wechat() -> AsyncIterator[Sandbox]:
    keys = {
        "wechat_merchant_key": key("merchant")
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
        "wechat_platform_key": key("platform")
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
    }
    async with running_sandbox(quick_settings(**keys)) as running:
        yield running


async def call(wechat: Sandbox, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
    raw = json.dumps(body).encode() if body is not None else b""
    headers = {"Authorization": authorization(method, path, raw)}
    async with wechat.http.request(method, wechat.url + path, data=raw or None, headers=headers) as response:
        answer = await response.read()
        if response.status < 300:
            assert is_signed({name.lower(): value for name, value in response.headers.items()}, answer)
        return response.status, section(json.loads(answer)) if answer else {}


def order(notify_url: object = "http://127.0.0.1:1/paid", **changes: object) -> Json:
    amount = {"total": 12_345, "currency": "CNY"}
    usual: Json = {"appid": "wxsandbox", "mchid": MCHID, "description": "足疗", "out_trade_no": "order-1"}
    return {**usual, "notify_url": notify_url, "amount": amount, **changes}


async def pay(wechat: Sandbox, code_url: object) -> int:
    return (await wechat.post_status(str(code_url).removeprefix(wechat.url) + ":pay", {}))[0]


async def test_a_payment_is_made_paid_told_of_and_closed_to_further_calls(wechat: Sandbox, customer: Customer) -> None:
    customer.answering((200, '{"code":"SUCCESS"}'))
    status, made = await call(wechat, "POST", NATIVE, order(f"{customer.url}/paid"))
    assert status == 200
    assert (await call(wechat, "POST", NATIVE, order(f"{customer.url}/paid")))[1] == made
    assert (await call(wechat, "GET", QUERY))[1]["trade_state"] == "NOTPAY"
    assert await pay(wechat, made["code_url"]) == 200
    _, transaction = await call(wechat, "GET", QUERY)
    assert (transaction["trade_state"], section(transaction["amount"])["total"]) == ("SUCCESS", 12_345)
    assert datetime.fromisoformat(str(transaction["success_time"])).utcoffset() == timedelta(hours=8)
    assert (await call(wechat, "POST", CLOSE, {"mchid": MCHID}))[0] == 400
    await eventually(lambda: len(customer.received) == 1, "the notification")
    [told] = customer.received
    assert (told.body["event_type"], section(told.body["resource"])["algorithm"]) == (
        "TRANSACTION.SUCCESS",
        "AEAD_AES_256_GCM",
    )


async def test_a_close_is_answered_with_nothing_and_ends_it(wechat: Sandbox) -> None:
    _, made = await call(wechat, "POST", NATIVE, order())
    assert await call(wechat, "POST", CLOSE, {"mchid": MCHID}) == (204, {})
    assert await pay(wechat, made["code_url"]) == 400
    assert (await call(wechat, "GET", QUERY))[1]["trade_state"] == "CLOSED"
    assert (await call(wechat, "POST", CLOSE, {"mchid": MCHID}))[1]["code"] == "ORDER_CLOSED"


async def test_a_refund_is_made_once_and_never_above_what_was_paid(wechat: Sandbox) -> None:
    _, made = await call(wechat, "POST", NATIVE, order())
    wanted: Json = {"out_trade_no": "order-1", "out_refund_no": "r1"}
    part: Json = {**wanted, "amount": {"refund": 345, "total": 12_345, "currency": "CNY"}}
    assert (await call(wechat, "POST", REFUNDS, part))[1]["code"] == "INVALID_REQUEST"
    await pay(wechat, made["code_url"])
    first = await call(wechat, "POST", REFUNDS, part)
    assert (first[0], first[1]["status"]) == (200, "SUCCESS")
    assert await call(wechat, "POST", REFUNDS, part) == first
    much: Json = {**wanted, "out_refund_no": "r2", "amount": {"refund": 12_001, "total": 12_345, "currency": "CNY"}}
    assert (await call(wechat, "POST", REFUNDS, much))[1]["code"] == "INVALID_REQUEST"
    assert (await call(wechat, "GET", QUERY))[1]["trade_state"] == "REFUND"


async def test_a_bill_has_the_rows_and_the_sums_of_its_day(wechat: Sandbox) -> None:
    await wechat.fault("payment_days_ago", days=1)
    _, made = await call(wechat, "POST", NATIVE, order())
    await pay(wechat, made["code_url"])
    amount = {"refund": 345, "total": 12_345, "currency": "CNY"}
    await call(wechat, "POST", REFUNDS, {"out_trade_no": "order-1", "out_refund_no": "r1", "amount": amount})
    today = datetime.now(UTC).astimezone(timezone(timedelta(hours=8))).date()
    path = f"/v3/bill/tradebill?bill_date={today - timedelta(days=1)}&bill_type=ALL"
    _, where = await call(wechat, "GET", path)
    file = str(where["download_url"]).removeprefix(wechat.url)
    async with wechat.http.get(
        wechat.url + file, headers={"Authorization": authorization("GET", file, b"")}
    ) as response:
        bill = await response.read()
    assert hashlib.sha1(bill, usedforsecurity=False).hexdigest() == where["hash_value"]
    columns, paid, back, _, sums = list(csv.reader(bill.decode("utf-8-sig").splitlines()))
    assert dict(zip(columns, paid, strict=True))["订单金额"] == "`123.45"
    assert dict(zip(columns, back, strict=True))["申请退款金额"] == "`3.45"
    assert sums == ["`2", "`123.45", "`3.45"]
    status, answer = await call(wechat, "GET", f"/v3/bill/tradebill?bill_date={today}&bill_type=ALL")
    assert (status, answer["code"]) == (400, "INVALID_REQUEST")
    status, answer = await call(wechat, "GET", "/v3/bill/tradebill?bill_date=2020-01-01&bill_type=ALL")
    assert (status, answer["code"]) == (400, "NO_STATEMENT_EXIST")


@pytest.mark.parametrize(
    "forge",
    [
        {},
        {"Authorization": ""},
        {"Authorization": authorization("POST", NATIVE, b"other")},
        {"Authorization": authorization("POST", NATIVE, json.dumps(order()).encode(), by="somebody")},
        {"Authorization": authorization("POST", NATIVE, json.dumps(order()).encode(), at_seconds=time.time() - 400)},
        {"Authorization": authorization("POST", NATIVE, json.dumps(order()).encode()).replace("5AD0C", "other")},
    ],
)
async def test_a_call_that_the_merchant_did_not_sign_is_refused(wechat: Sandbox, forge: dict[str, str]) -> None:
    body = json.dumps(order()).encode()
    async with wechat.http.post(wechat.url + NATIVE, data=body, headers=forge) as response:
        assert (response.status, section(await response.json())["code"]) == (401, "SIGN_ERROR")
    assert section((await wechat.stats("wechatpay"))["payments"])["NOTPAY"] == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"appid": "other"}, "APPID_MCHID_NOT_MATCH"),
        ({"amount": {"total": 0}}, "PARAM_ERROR"),
        ({"notify_url": ""}, "PARAM_ERROR"),
        ({"out_trade_no": "a/b"}, "PARAM_ERROR"),
        ({"colour": "red"}, "PARAM_ERROR"),
    ],
)
async def test_a_wrong_order_is_refused(wechat: Sandbox, change: Json, code: str) -> None:
    status, answer = await call(wechat, "POST", NATIVE, order(**change))
    assert (status, answer["code"]) == (400, code)


async def test_without_its_keys_it_is_not_there(sandbox: Sandbox) -> None:
    async with sandbox.http.post(sandbox.url + NATIVE, json=order()) as response:
        assert response.status == 404
