import asyncio
import time

import pytest

from tests.sandbox.harness import (
    MERCHANT,
    Customer,
    Json,
    Sandbox,
    eventually,
    number,
    quick_settings,
    rows,
    running_sandbox,
    section,
)
from tests.sandbox.merchant import SUCCESS, create, order, paid_notifications, pay, query, sign, signed


@pytest.fixture(autouse=True)
def _answer_success(customer: Customer) -> None:
    customer.answering(SUCCESS)


async def test_a_payment_is_created_paid_and_notified_with_a_signature(sandbox: Sandbox, customer: Customer) -> None:
    payment = await create(sandbox, notifyUrl=f"{customer.url}/own")
    assert payment["payUrl"] == f"{sandbox.url}/pay/{payment['tradeNo']}"
    assert payment["sign"] == sign(payment)
    assert (await query(sandbox))["status"] == "NOTPAY"

    status, paid = await pay(sandbox, payment)

    assert (status, paid["status"]) == (200, "SUCCESS")
    await eventually(lambda: len(customer.received) == 1, "the notification")
    [notification] = customer.received
    body = notification.body
    assert notification.path == "/own"
    assert set(body) == {"merchantId", "tradeNo", "outTradeNo", "amount", "status", "paidAt", "nonce", "sign"}
    assert (body["merchantId"], body["outTradeNo"], body["tradeNo"]) == (MERCHANT, "order-1", payment["tradeNo"])
    assert (body["amount"], body["status"], body["paidAt"]) == (12_345, "SUCCESS", paid["paidAt"])
    assert body["sign"] == sign(body)
    state = await query(sandbox)
    assert (state["status"], state["amount"], state["currency"]) == ("SUCCESS", 12_345, "CNY")
    assert state["sign"] == sign(state)


async def test_a_payment_without_a_notify_url_goes_to_the_default_one(sandbox: Sandbox, customer: Customer) -> None:
    [notification] = await paid_notifications(sandbox, customer, 1)
    assert notification.body["outTradeNo"] == "order-1"


async def test_paying_twice_pays_and_notifies_once(sandbox: Sandbox, customer: Customer) -> None:
    payment = await create(sandbox)
    answers = await asyncio.gather(*[pay(sandbox, payment) for _ in range(5)])

    assert {(status, answer["status"], answer["paidAt"]) for status, answer in answers} == {
        (200, "SUCCESS", answers[0][1]["paidAt"])
    }
    await eventually(lambda: len(customer.received) == 1, "the notification")
    await create(sandbox, outTradeNo="order-2")
    assert section((await sandbox.stats("payment"))["payments"]) == {"NOTPAY": 1, "SUCCESS": 1, "CLOSED": 0}
    assert len(customer.received) == 1


async def test_the_same_order_gets_the_same_answer_and_another_body_is_refused(sandbox: Sandbox) -> None:
    first = await create(sandbox)
    assert await create(sandbox) == first

    for change in ({"amount": 1}, {"subject": "other"}, {"notifyUrl": "http://127.0.0.1:1/"}):
        status, answer = await sandbox.post_status("/pay/v1/payments", order(**change))
        assert (status, answer["code"]) == (409, "OUT_TRADE_NO_USED")
    assert (await query(sandbox))["amount"] == 12_345


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("amount", {"amount": 0}),
        ("amount", {"amount": "100"}),
        ("amount", {"amount": 1.5}),
        ("amount", {"amount": True}),
        ("currency", {"currency": "USD"}),
        ("subject", {"subject": ""}),
        ("outTradeNo", {"outTradeNo": "a/b"}),
        ("outTradeNo", {"outTradeNo": "x" * 65}),
        ("notifyUrl", {"notifyUrl": "ftp://x"}),
        ("nonce", {"nonce": "short"}),
        ("colour", {"colour": "red"}),
    ],
)
async def test_a_wrong_order_is_refused_by_name(sandbox: Sandbox, field: str, change: Json) -> None:
    status, answer = await sandbox.post_status("/pay/v1/payments", order(**change))

    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    assert field in str(answer["message"])


@pytest.mark.parametrize("malformed", ["", "0" * 63, "G" * 64, "\ud800" * 64])
async def test_a_signature_that_is_no_lower_case_hex_is_refused(sandbox: Sandbox, malformed: str) -> None:
    status, answer = await sandbox.post_status("/pay/v1/payments", order() | {"sign": malformed})

    assert (status, answer["code"]) == (400, "PARAM_ERROR")
    assert "sign" in str(answer["message"])


async def test_a_body_that_is_no_json_is_refused(sandbox: Sandbox) -> None:
    async with sandbox.http.post(f"{sandbox.url}/pay/v1/payments", data=b"{") as response:
        assert response.status == 400
        assert section(await response.json())["code"] == "PARAM_ERROR"


async def test_an_unknown_merchant_a_wrong_signature_and_an_old_request_are_refused(sandbox: Sandbox) -> None:
    forged = order() | {"amount": 1}
    refusals = {
        "MERCHANT_UNKNOWN": order(merchantId="190000002"),
        "SIGN_ERROR": forged,
        "TIMESTAMP_ERROR": order(timestamp=int(time.time()) - 301),
    }
    for code, body in refusals.items():
        status, answer = await sandbox.post_status("/pay/v1/payments", body)
        assert (status, answer["code"]) == (401, code)
    assert section((await sandbox.stats("payment"))["payments"])["NOTPAY"] == 0


async def test_query_and_close_act_only_on_the_order_that_was_signed(sandbox: Sandbox) -> None:
    await create(sandbox)
    await create(sandbox, outTradeNo="order-2")
    for action in ("query", "close"):
        path = f"/pay/v1/payments/order-2:{action}"
        status, answer = await sandbox.post_status(path, signed(outTradeNo="order-1"))
        assert (status, answer["code"]) == (400, "PARAM_ERROR")
        status, answer = await sandbox.post_status(f"/pay/v1/payments/unknown:{action}", signed(outTradeNo="unknown"))
        assert (status, answer["code"]) == (404, "ORDER_NOT_FOUND")
    assert (await query(sandbox, "order-2"))["status"] == "NOTPAY"


async def test_close_is_repeatable_and_a_closed_payment_cannot_be_paid(sandbox: Sandbox, customer: Customer) -> None:
    payment = await create(sandbox)
    for _ in range(2):
        closed = await sandbox.post("/pay/v1/payments/order-1:close", signed(outTradeNo="order-1"))
        assert (closed["code"], closed["status"], closed["sign"]) == ("SUCCESS", "CLOSED", sign(closed))

    status, answer = await pay(sandbox, payment)

    assert (status, answer["code"]) == (409, "ORDER_CLOSED")
    assert (await query(sandbox))["status"] == "CLOSED"
    assert customer.received == []


async def test_a_paid_payment_cannot_be_closed(sandbox: Sandbox) -> None:
    await pay(sandbox, await create(sandbox))

    status, answer = await sandbox.post_status("/pay/v1/payments/order-1:close", signed(outTradeNo="order-1"))

    assert (status, answer["code"]) == (409, "ORDER_PAID")
    assert (await query(sandbox))["status"] == "SUCCESS"


async def test_the_page_has_a_button_that_pays(sandbox: Sandbox, customer: Customer) -> None:
    payment = await create(sandbox)
    async with sandbox.http.get(str(payment["payUrl"])) as response:
        page = await response.text()
    assert "123.45" in page
    assert "&lt;60&gt;" in page
    action = f"/pay/{payment['tradeNo']}:pay"
    assert f'action="{action}"' in page

    async with sandbox.http.post(sandbox.url + action, headers={"Accept": "text/html"}) as response:
        assert str(response.url) == payment["payUrl"]
        page = await response.text()
    assert "SUCCESS" in page
    assert "<button" not in page
    await eventually(lambda: len(customer.received) == 1, "the notification")


async def test_an_unknown_trade_number_is_not_found(sandbox: Sandbox) -> None:
    async with sandbox.http.get(f"{sandbox.url}/pay/1") as response:
        assert response.status == 404
    status, answer = await sandbox.post_status("/pay/1:pay", {})
    assert (status, answer["code"]) == (404, "ORDER_NOT_FOUND")


async def test_only_the_last_payments_are_kept() -> None:
    async with running_sandbox(quick_settings(payments_kept_max=2)) as sandbox:
        for each in range(3):
            await create(sandbox, outTradeNo=f"order-{each}")

        status, _ = await sandbox.post_status("/pay/v1/payments/order-0:query", signed(outTradeNo="order-0"))
        assert status == 404
        assert (await query(sandbox, "order-1"))["status"] == "NOTPAY"


async def test_the_admin_sees_all_payments_with_their_refunds_newest_first(sandbox: Sandbox) -> None:
    for place in (1, 2, 3):
        await create(sandbox, outTradeNo=f"order-{place}")
    await pay(sandbox, await create(sandbox, outTradeNo="order-2"))
    await sandbox.post("/pay/v1/refunds", signed(outTradeNo="order-2", outRefundNo="refund-1", amount=345))

    first = await sandbox.get("/admin/payments", {"limit": 2})
    last = await sandbox.get("/admin/payments", {"limit": 2, "before": number(first["next_before"])})

    shown = [*rows(first["payments"]), *rows(last["payments"])]
    expected = [("order-3", "NOTPAY"), ("order-2", "SUCCESS"), ("order-1", "NOTPAY")]
    assert [(one["outTradeNo"], one["status"]) for one in shown] == expected
    [refund] = rows(shown[1]["refunds"])
    assert (refund["outRefundNo"], refund["amount"]) == ("refund-1", 345)
    assert last["next_before"] == 0
