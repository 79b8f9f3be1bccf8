import asyncio
import hashlib
import hmac
import time
from itertools import count

import pytest

from tests.sandbox.harness import (
    MERCHANT,
    PAYMENT_SECRET,
    Customer,
    Json,
    Received,
    Sandbox,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    section,
)

SUCCESS = (200, '{"code":"SUCCESS"}')
_nonces = count(10_000_000)


@pytest.fixture(autouse=True)
def _answer_success(customer: Customer) -> None:
    customer.answering(SUCCESS)


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


async def attempts(sandbox: Sandbox) -> list[Json]:
    return rows((await sandbox.get("/admin/payments/order-1"))["notifications"])


async def paid_notifications(sandbox: Sandbox, customer: Customer, number: int) -> list[Received]:
    """Pay a new order and wait for so many notifications."""
    await pay(sandbox, await create(sandbox))
    await eventually(lambda: len(customer.received) >= number, f"{number} notifications")
    return customer.at("/paid")


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


@pytest.mark.parametrize("refusal", [(200, '{"code":"FAIL"}'), (200, "SUCCESS"), (500, '{"code":"SUCCESS"}')])
async def test_a_notification_is_repeated_until_it_is_taken(
    sandbox: Sandbox, customer: Customer, refusal: tuple[int, str]
) -> None:
    customer.answering(refusal, refusal, SUCCESS)

    first, second, third = await paid_notifications(sandbox, customer, 3)

    assert second.at_seconds - first.at_seconds >= 0.02
    assert third.at_seconds - second.at_seconds >= 0.04
    await eventually(lambda: _acknowledged(sandbox), "the notification is taken")
    assert [each["http_status"] for each in await attempts(sandbox)] == [refusal[0], refusal[0], 200]


async def test_notification_gives_up_after_its_attempts(customer: Customer) -> None:
    async with running_sandbox(quick_settings(payment_notify_attempts=3)) as sandbox:
        await sandbox.push_to(customer)
        customer.answering((500, ""))
        await pay(sandbox, await create(sandbox))

        await eventually(lambda: _abandoned(sandbox), "the attempts are used up")
        assert len(customer.received) == 3
        assert (await query(sandbox))["status"] == "SUCCESS"


async def test_a_notification_without_any_address_waits_for_one(customer: Customer) -> None:
    async with running_sandbox(quick_settings(payment_notify_attempts=1000)) as sandbox:
        await pay(sandbox, await create(sandbox))
        assert await attempts(sandbox) == []

        await sandbox.push_to(customer)
        await eventually(lambda: len(customer.received) == 1, "the notification")


async def test_wrong_amount_is_signed_and_the_next_attempt_is_right(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_wrong_amount", difference=-1, count=1)
    customer.answering((400, ""), SUCCESS)

    wrong, right = await paid_notifications(sandbox, customer, 2)

    assert (wrong.body["amount"], wrong.body["sign"]) == (12_344, sign(wrong.body))
    assert (right.body["amount"], right.body["sign"]) == (12_345, sign(right.body))


async def test_wrong_sign(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_wrong_sign", count=1, account=MERCHANT)
    customer.answering((400, ""), SUCCESS)

    wrong, right = await paid_notifications(sandbox, customer, 2)

    assert wrong.body["sign"] != sign(wrong.body)
    assert len(str(wrong.body["sign"])) == 64
    assert right.body["sign"] == sign(right.body)


async def test_unknown_order(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_unknown_order", count=1)
    customer.answering((404, ""), SUCCESS)

    wrong, right = await paid_notifications(sandbox, customer, 2)

    assert wrong.body["outTradeNo"] != "order-1"
    assert wrong.body["sign"] == sign(wrong.body)
    assert right.body["outTradeNo"] == "order-1"


async def test_duplicate_notify(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_duplicate_notify", copies=3)

    notifications = await paid_notifications(sandbox, customer, 3)

    assert {each.body["tradeNo"] for each in notifications} == {notifications[0].body["tradeNo"]}
    assert len({each.body["nonce"] for each in notifications}) == 3


async def test_late_notify(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_late_notify", delay_seconds=0.3)

    started_at = time.monotonic()
    [notification] = await paid_notifications(sandbox, customer, 1)

    assert notification.at_seconds - started_at >= 0.3


async def test_no_notify_leaves_only_the_query(sandbox: Sandbox, customer: Customer) -> None:
    await sandbox.fault("payment_no_notify", count=1)
    await pay(sandbox, await create(sandbox))
    await pay(sandbox, await create(sandbox, outTradeNo="order-2"))

    await eventually(lambda: len(customer.received) == 1, "the other order's notification")
    assert customer.received[0].body["outTradeNo"] == "order-2"
    assert (await query(sandbox))["status"] == "SUCCESS"


async def test_only_the_last_payments_are_kept() -> None:
    async with running_sandbox(quick_settings(payments_kept_max=2)) as sandbox:
        for each in range(3):
            await create(sandbox, outTradeNo=f"order-{each}")

        status, _ = await sandbox.post_status("/pay/v1/payments/order-0:query", signed(outTradeNo="order-0"))
        assert status == 404
        assert (await query(sandbox, "order-1"))["status"] == "NOTPAY"


async def _acknowledged(sandbox: Sandbox) -> bool:
    return section((await sandbox.stats("payment"))["notifications"])["acknowledged"] == 1


async def _abandoned(sandbox: Sandbox) -> bool:
    return section((await sandbox.stats("payment"))["notifications"])["abandoned"] == 1
