from typing import Any, cast

import grpc
import orjson
import pytest
import redis.asyncio

from gateway.webhooks.chuanglan import INBOX_NAME
from mesh.embedded_valkey import EmbeddedValkey
from mesh.errors import DomainError
from mesh.inbox import InboxItem
from tests.gateway.harness import Served, ServeGateway
from tests.gateway.test_api import ask, refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECEIPT = "/webhooks/chuanglan/s3cret/receipt"
SENDER = "receiver=receiver-1&pswd=password-1"
FIGURES = "msgid=17041010383624511&mobile=13800138000&status=DELIVRD&statusDesc=%E5%88%B0%E8%BE%BE"


async def pushed(valkey: EmbeddedValkey) -> list[dict[str, Any]]:
    """Take everything out of all lists of the inbox."""
    items: list[dict[str, Any]] = []
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        for name in await client.keys(f"*{INBOX_NAME}*:items"):
            encoded = cast("list[bytes]", await client.lrange(name, 0, -1))
            items += [orjson.loads(InboxItem.decode(item).body) for item in encoded]
            await client.delete(name)
    return items


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["receipt", "uplink"])
@pytest.mark.parametrize("between", ["", "international/"])
async def test_push_is_kept_as_it_came_and_answered(
    served: Served, valkey: EmbeddedValkey, method: str, kind: str, between: str
) -> None:
    path = f"/webhooks/chuanglan/s3cret/{between}{kind}"
    query = f"{SENDER}&{FIGURES}"
    if method == "GET":
        status, answer, _ = await ask(served, method, f"{path}?{query}", headers={})
    else:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, answer, _ = await ask(served, method, path, data=query.encode(), headers=headers)
    assert (status, answer) == (200, {"clcode": "000000"})
    (item,) = await pushed(valkey)
    assert item == {"kind": kind, "international": bool(between), "query": f"receiver=receiver-1&{FIGURES}"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/webhooks/chuanglan/wrong/receipt?{SENDER}", 404),
        (f"/webhooks/chuanglan/S3CRET/receipt?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret/other?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret/international?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret/international/other?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret/national/receipt?{SENDER}", 404),
        (f"/webhooks/chuanglan/wrong/international/receipt?{SENDER}", 404),
        (f"/webhooks/chuanglan/s3cret/international/receipt?{SENDER}x", 403),
        (f"{RECEIPT}?receiver=receiver-1&pswd=wrong", 403),
        (f"{RECEIPT}?receiver=wrong&pswd=password-1", 403),
        (f"{RECEIPT}?receiver=receiver-1", 403),
        (RECEIPT, 403),
        (f"{RECEIPT}?{SENDER}&x={'a' * 17_000}", 413),
        (f"{RECEIPT}?{SENDER}{'&x=1' * 100}", 413),
    ],
)
async def test_push_of_others_is_refused(served: Served, valkey: EmbeddedValkey, path: str, status: int) -> None:
    found = await refusal(served, "GET", path, headers={})
    assert found[0] == status
    assert "s3cret" not in found[2]["detail"]
    assert await pushed(valkey) == []


async def test_wrong_secret_looks_like_no_path_at_all(served: Served) -> None:
    wrong = await refusal(served, "GET", f"/webhooks/chuanglan/wrong/receipt?{SENDER}", headers={})
    nothing = await refusal(served, "GET", "/webhooks/elsewhere", headers={})
    assert wrong[2]["detail"] == nothing[2]["detail"]


async def test_webhook_without_a_secret_takes_nothing(serve: ServeGateway) -> None:
    served = await serve(chuanglan_webhook_secret="")
    for path in ("/webhooks/chuanglan//receipt", "/webhooks/chuanglan/%20/receipt"):
        assert (await refusal(served, "GET", f"{path}?{SENDER}", headers={}))[0] == 404


@pytest.mark.parametrize(("networks", "status"), [("10.0.0.0/8", 403), ("10.0.0.0/8,127.0.0.0/8", 200)])
async def test_networks_that_may_push(serve: ServeGateway, networks: str, status: int) -> None:
    served = await serve(chuanglan_webhook_networks=networks)
    assert (await ask(served, "GET", f"{RECEIPT}?{SENDER}", headers={"x-forwarded-for": "10.1.1.1"}))[0] == status


async def test_address_behind_a_trusted_proxy_counts(serve: ServeGateway) -> None:
    served = await serve(chuanglan_webhook_networks="10.0.0.0/8", trusted_proxies="127.0.0.1")
    for address, status in (("10.1.1.1", 200), ("11.1.1.1", 403)):
        assert (await ask(served, "GET", f"{RECEIPT}?{SENDER}", headers={"x-forwarded-for": address}))[0] == status


async def test_provider_is_asked_to_push_again_while_redis_is_away(serve: ServeGateway) -> None:
    served = await serve(redis_url="redis://127.0.0.1:1/0")
    status, answer, _ = await ask(served, "GET", f"{RECEIPT}?{SENDER}", headers={})
    assert (status, answer) == (200, {"clcode": "111111"})


NOTIFICATION = {"outTradeNo": "5", "tradeNo": "T1", "amountFen": 990, "status": "SUCCESS", "sign": "ab12"}


async def test_payment_is_handed_on_as_text(served: Served) -> None:
    status, answer, _ = await ask(served, "POST", "/webhooks/payment", json=NOTIFICATION, headers={})
    assert (status, answer) == (200, {"code": "SUCCESS"})
    taken = served.payments.notifications[-1]
    assert (taken.channel, dict(taken.fields)) == ("", {**NOTIFICATION, "amountFen": "990"})


async def test_notification_of_another_channel_is_handed_on_as_it_came(served: Served) -> None:
    body = b'{"id": "EV-1",\n "resource": {"ciphertext": "c2VhbGVk"}}'
    headers = {"Wechatpay-Signature": "c2ln" * 80, "Wechatpay-Nonce": "n1", "X-Long": "x" * 1025}
    status, answer, _ = await ask(served, "POST", "/webhooks/payment/wechat", data=body, headers=headers)
    assert (status, answer) == (200, {"code": "SUCCESS"})
    taken = served.payments.notifications[-1]
    assert (taken.channel, taken.body, dict(taken.fields)) == ("wechat", body, {})
    assert (taken.headers["wechatpay-signature"], taken.headers["wechatpay-nonce"]) == ("c2ln" * 80, "n1")
    assert "x-long" not in taken.headers


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\x00", b'{"a": "1", "a": "2"}', orjson.dumps(dict.fromkeys(map(str, range(33)), "a"))]
)
async def test_body_of_another_channel_need_not_be_flat(served: Served, body: bytes) -> None:
    status, _, _ = await ask(served, "POST", "/webhooks/payment/wechat", data=body, headers={})
    assert status == 200
    assert (served.payments.notifications[-1].body, dict(served.payments.notifications[-1].fields)) == (body, {})


async def test_oversized_body_of_another_channel_is_refused(served: Served) -> None:
    status, answer, _ = await ask(served, "POST", "/webhooks/payment/wechat", data=b" " * 65_537, headers={})
    assert (status, answer) == (413, {"code": "FAIL", "reason": "BODY_TOO_LARGE"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"a": null}',
        b'{"a": {}}',
        b'{"a": 1.5}',
        b'{"a": true}',
        b'{"a": "\xff"}',
        b"{" * 4000,
        b'{"a": "1", "a": "2"}',
    ],
)
async def test_payment_that_is_not_flat_is_refused_for_good(served: Served, body: bytes) -> None:
    count = len(served.payments.notifications)
    status, answer, _ = await ask(served, "POST", "/webhooks/payment", data=body, headers={})
    assert (status, answer) == (400, {"code": "FAIL", "reason": "JSON_MALFORMED"})
    assert len(served.payments.notifications) == count


async def test_oversized_payment_is_refused(served: Served) -> None:
    status, answer, _ = await ask(served, "POST", "/webhooks/payment", data=b" " * 8193, headers={})
    assert (status, answer) == (413, {"code": "FAIL", "reason": "BODY_TOO_LARGE"})


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "PAYMENT_SIGNATURE_WRONG", 403),
        (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND", 404),
        (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_AMOUNT_WRONG", 409),
        (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 503),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 503),
        (grpc.StatusCode.INTERNAL, "INTERNAL", 503),
    ],
)
async def test_payment_refusals_tell_whether_a_repeat_helps(
    served: Served, code: grpc.StatusCode, reason: str, status: int
) -> None:
    served.payments.refusal = DomainError(code, reason, "no")
    try:
        answer = await ask(served, "POST", "/webhooks/payment", json=NOTIFICATION, headers={})
    finally:
        served.payments.refusal = None
    assert answer[:2] == (status, {"code": "FAIL", "reason": reason})


async def test_fields_beyond_the_contract_are_refused(served: Served) -> None:
    body = {f"field{number}": "a" for number in range(33)}
    status, answer, _ = await ask(served, "POST", "/webhooks/payment", json=body, headers={})
    assert (status, answer) == (400, {"code": "FAIL", "reason": "INVALID_REQUEST"})
