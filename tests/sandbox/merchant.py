"""A merchant of the payment channel: signs, orders, pays, queries."""

import hashlib
import hmac
import time
from itertools import count

from tests.sandbox.harness import (
    MERCHANT,
    PAYMENT_SECRET,
    Customer,
    Json,
    Received,
    Sandbox,
    eventually,
)

SUCCESS = (200, '{"code":"SUCCESS"}')
_nonces = count(10_000_000)


def sign(fields: Json, secret: str = PAYMENT_SECRET) -> str:
    text = "&".join(f"{key}={fields[key]}" for key in sorted(fields) if key != "sign")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed(**fields: object) -> Json:
    body: Json = {"merchantId": MERCHANT, "timestamp": int(time.time()), "nonce": str(next(_nonces))} | fields
    return {**body, "sign": sign(body)}


def order(**fields: object) -> Json:
    usual: Json = {"outTradeNo": "order-1", "amount": 12_345, "currency": "CNY", "subject": "足疗 <60> 分钟"}
    return signed(**(usual | fields))


async def create(sandbox: Sandbox, **fields: object) -> Json:
    status, answer = await sandbox.post_status("/pay/v1/payments", order(**fields))
    assert status == 200, answer
    return answer


async def pay(sandbox: Sandbox, payment: Json) -> tuple[int, Json]:
    return await sandbox.post_status(f"/pay/{payment['tradeNo']}:pay", {})


async def query(sandbox: Sandbox, out_trade_no: str = "order-1") -> Json:
    return await sandbox.post(f"/pay/v1/payments/{out_trade_no}:query", signed(outTradeNo=out_trade_no))


async def paid_notifications(sandbox: Sandbox, customer: Customer, number: int) -> list[Received]:
    """Pay a new order and wait for so many notifications."""
    await pay(sandbox, await create(sandbox))
    await eventually(lambda: len(customer.received) >= number, f"{number} notifications")
    return customer.at("/paid")
