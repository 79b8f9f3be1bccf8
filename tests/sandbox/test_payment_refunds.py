"""Refunds and statements of the payment channel."""

import csv
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.sandbox.harness import MERCHANT, PAYMENT_SECRET, Json, Sandbox, section
from tests.sandbox.merchant import create, pay, query, sign, signed

CHINA = timezone(timedelta(hours=8))


def day(days_ago: int) -> str:
    """A day in China, by now."""
    return (datetime.now(UTC).astimezone(CHINA).date() - timedelta(days=days_ago)).isoformat()


async def refund(sandbox: Sandbox, fen: int, **fields: object) -> tuple[int, Json]:
    body = signed(**({"outTradeNo": "order-1", "outRefundNo": "refund-1", "amount": fen} | fields))
    return await sandbox.post_status("/pay/v1/refunds", body)


async def statement(sandbox: Sandbox, date: str = "") -> list[list[str]]:
    asked = signed(date=date or day(1))
    async with sandbox.http.post(f"{sandbox.url}/pay/v1/statements", json=asked) as response:
        body = await response.read()
        assert response.status == 200, body
        signature = hmac.new(PAYMENT_SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert response.headers["Statement-Sign"] == signature
    return list(csv.reader(body.decode().splitlines()))


async def paid(sandbox: Sandbox, **fields: object) -> Json:
    payment = await create(sandbox, **fields)
    await pay(sandbox, payment)
    return payment


async def test_a_refund_is_made_once_by_its_number(sandbox: Sandbox) -> None:
    await paid(sandbox)
    status, first = await refund(sandbox, 345)
    assert (status, first["amount"], first["sign"]) == (200, 345, sign(first))
    assert await refund(sandbox, 345) == (200, first)
    assert (await query(sandbox))["status"] == "SUCCESS"
    assert section((await sandbox.stats("payment"))["refunds"]) == {"made": 1, "amount": 345}
    shown = await sandbox.get("/admin/payments/order-1")
    assert shown["refunds"] == [{"outRefundNo": "refund-1", "refundNo": first["refundNo"], "amount": 345}]


async def test_refunds_are_never_more_than_was_paid(sandbox: Sandbox) -> None:
    await paid(sandbox)
    assert (await refund(sandbox, 12_345, outRefundNo="refund-2"))[0] == 200
    status, answer = await refund(sandbox, 1, outRefundNo="refund-3")
    assert (status, answer["code"]) == (409, "REFUND_TOO_HIGH")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"amount": 346}, "OUT_REFUND_NO_USED"),
        ({"outTradeNo": "order-9", "outRefundNo": "refund-9"}, "ORDER_NOT_FOUND"),
        ({"outTradeNo": "order-2", "outRefundNo": "refund-9"}, "ORDER_NOT_PAID"),
        ({"outRefundNo": "a/b"}, "PARAM_ERROR"),
        ({"amount": 0}, "PARAM_ERROR"),
    ],
)
async def test_what_is_refused(sandbox: Sandbox, fields: Json, code: str) -> None:
    await paid(sandbox)
    await create(sandbox, outTradeNo="order-2")
    assert (await refund(sandbox, 345))[0] == 200
    status, answer = await refund(sandbox, 345, **fields)
    assert (status >= 400, answer["code"]) == (True, code)


async def test_a_statement_has_what_happened_on_its_day(sandbox: Sandbox) -> None:
    await sandbox.fault("payment_days_ago", days=1, count=2)
    await paid(sandbox)
    await refund(sandbox, 345)
    await paid(sandbox, outTradeNo="today")
    await create(sandbox, outTradeNo="never")
    assert await statement(sandbox) == [
        ["kind", "number", "amount", "status"],
        ["payment", "order-1", "12345", "SUCCESS"],
        ["refund", "refund-1", "345", "SUCCESS"],
    ]
    assert await statement(sandbox, "2020-01-01") == [["kind", "number", "amount", "status"]]


@pytest.mark.parametrize(
    ("date", "code"), [("today", "STATEMENT_NOT_READY"), ("2026-02-30", "PARAM_ERROR"), ("x", "PARAM_ERROR")]
)
async def test_a_day_without_a_statement_is_refused(sandbox: Sandbox, date: str, code: str) -> None:
    asked = signed(date=day(0) if date == "today" else date)
    status, answer = await sandbox.post_status("/pay/v1/statements", asked)
    assert (status >= 400, answer["code"]) == (True, code)


async def test_a_statement_as_its_faults_have_it(sandbox: Sandbox) -> None:
    await sandbox.fault("payment_days_ago", days=1)
    for number in range(3):
        await paid(sandbox, outTradeNo=f"order-{number}")
    await sandbox.fault("payment_statement_omits", count=1)
    await sandbox.fault("payment_statement_amount", count=1, difference=-5)
    await sandbox.fault("payment_statement_status", count=1)
    await sandbox.fault("payment_statement_invents", account=MERCHANT)
    assert (await statement(sandbox))[1:] == [
        ["payment", "order-1", "12340", "CLOSED"],
        ["payment", "order-2", "12345", "SUCCESS"],
        ["payment", "404", "404", "SUCCESS"],
    ]


async def test_a_call_that_fails_is_carried_out_or_not(sandbox: Sandbox) -> None:
    await sandbox.fault("payment_http_error", status=503, count=1)
    body = signed(outTradeNo="order-1", amount=1, currency="CNY", subject="x")
    async with sandbox.http.post(f"{sandbox.url}/pay/v1/payments", json=body) as response:
        assert response.status == 503
    assert section((await sandbox.stats("payment"))["payments"])["NOTPAY"] == 0
    await sandbox.fault("payment_http_error", accepted=True, count=1, operations=["create"])
    async with sandbox.http.post(f"{sandbox.url}/pay/v1/payments", json=body) as response:
        assert response.status == 500
    assert section((await sandbox.stats("payment"))["payments"])["NOTPAY"] == 1


@pytest.mark.parametrize(
    ("fault", "code"), [("payment_refuse_refund", "REFUND_REFUSED"), ("payment_pending_refund", "REFUND_UNDER_WAY")]
)
async def test_a_refund_that_is_not_said_to_be_made(sandbox: Sandbox, fault: str, code: str) -> None:
    await paid(sandbox)
    await sandbox.fault(fault, count=1)
    status, answer = await refund(sandbox, 345)
    assert (status, answer["code"]) == (409, code)
    assert (await refund(sandbox, 345))[0] == 200
    assert section((await sandbox.stats("payment"))["refunds"])["made"] == 1
