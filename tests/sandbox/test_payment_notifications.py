import time

import pytest

from tests.sandbox.harness import (
    MERCHANT,
    Customer,
    Json,
    Sandbox,
    eventually,
    quick_settings,
    rows,
    running_sandbox,
    section,
)
from tests.sandbox.merchant import SUCCESS, create, paid_notifications, pay, query, sign


@pytest.fixture(autouse=True)
def _answer_success(customer: Customer) -> None:
    customer.answering(SUCCESS)


async def attempts(sandbox: Sandbox) -> list[Json]:
    return rows((await sandbox.get("/admin/payments/order-1"))["notifications"])


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


async def _acknowledged(sandbox: Sandbox) -> bool:
    return section((await sandbox.stats("payment"))["notifications"])["acknowledged"] == 1


async def _abandoned(sandbox: Sandbox) -> bool:
    return section((await sandbox.stats("payment"))["notifications"])["abandoned"] == 1
