"""What orders tell: cancelled, refunded, received. Each has its effect once, in any order, however often it comes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import grpc
import pytest

from brandmesh.messaging.v1 import messaging_pb2
from brandmesh.wallet.v1 import wallet_pb2 as pb
from mesh.database import Database
from mesh.messages import Inbox, ReceivedMessage
from order_rpc.wallet import tables
from order_rpc.wallet.effects import order_effects
from tests.order.running import running
from tests.order.sms_package.refusals import refused
from tests.order.wallet.harness import BRAND, FAILED, OTHER_USER, PROCESSING, SELLER, SUCCEEDED, USER, Till

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def statuses(till: Till, *messages: messaging_pb2.Message) -> list[int]:
    return [result.status for result in await till.tell(*messages)]


# Cancelled.


async def test_002_08_a_cancelled_order_gives_back_what_it_took_in_one_log_of_type_2(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    assert await statuses(till, till.cancelled(11)) == [SUCCEEDED]
    entry = (await till.logs()).money_logs[0]
    assert (entry.money_log_type, entry.order_id) == (pb.MONEY_LOG_TYPE_REFUND, "11")
    assert (entry.use_money, entry.user_money) == ("4.00", "10.00")


async def test_002_08_cancelled_twice_is_one_restore(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    again = till.cancelled(11)
    # The same message twice, in one call and in two, and another one of the same order.
    for messages in ((again, again), (again,), (till.cancelled(11), till.cancelled(11))):
        assert set(await statuses(till, *messages)) == {SUCCEEDED}
    assert await till.balance() == "10.00"
    types = [log.money_log_type for log in (await till.logs()).money_logs]
    assert types.count(pb.MONEY_LOG_TYPE_REFUND) == 1


async def test_002_08_what_was_never_taken_is_not_given_back(till: Till) -> None:
    await till.fund(1_000)
    with refused("WALLET_SHORT", PRECONDITION):
        await till.debit(11, 1_001)
    assert await statuses(till, till.cancelled(11)) == [SUCCEEDED]
    assert await till.balance() == "10.00"


async def test_003_07_a_rollback_before_the_debit_makes_it_void(till: Till) -> None:
    await till.fund(1_000)
    assert await statuses(till, till.cancelled(11)) == [SUCCEEDED]
    for _ in range(2):
        with refused("DEBIT_RELEASED", PRECONDITION):
            await till.debit(11, 400)
    assert await till.balance() == "10.00"


async def test_003_07_a_debit_that_was_given_back_is_not_taken_again(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    await till.tell(till.cancelled(11))
    with refused("DEBIT_RELEASED", PRECONDITION):
        await till.debit(11, 400)
    assert await till.debit(12, 400) == 600


async def test_002_08_a_fault_within_the_restore_leaves_all_or_nothing(till: Till) -> None:
    """A crash after the effect and before its commit: the message comes again and finds nothing done."""
    await till.fund(1_000)
    await till.debit(11, 400)
    database = Database(till.running.settings.database_url)
    release = order_effects(database)["order", "cancelled"]
    reached = asyncio.Event()

    async def stuck(connection: object, messages: object) -> None:
        await release(connection, messages)  # type: ignore[arg-type]  # handed on as they came
        reached.set()
        await asyncio.Event().wait()

    inbox = Inbox(database, "wallet", tables.consumed_message, {("order", "cancelled"): stuck})
    message = till.cancelled(11)
    crashing = asyncio.create_task(
        inbox.consume([ReceivedMessage("order", message.msg_id, "order", "cancelled", "11", message.msg_body)])
    )
    await reached.wait()
    crashing.cancel()
    await asyncio.gather(crashing, return_exceptions=True)
    await database.close()
    assert await till.balance() == "6.00"
    assert await statuses(till, message, message) == [SUCCEEDED] * 2
    assert await till.balance() == "10.00"


# Refunded.


async def test_a_refund_gives_back_its_part_once_a_request(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    same = till.refunded(11, 150)
    messages = (same, same, till.refunded(11, 150), till.refunded(11, 100, "refund-2"))
    assert await statuses(till, *messages) == [SUCCEEDED] * 4
    assert await till.balance() == "8.50"


async def test_002_12_refunds_are_never_more_than_was_taken(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    results = await till.tell(till.refunded(11, 300), till.refunded(11, 101, "refund-2"), till.cancelled(12))
    assert [result.status for result in results] == [SUCCEEDED, PROCESSING, SUCCEEDED]
    assert "REFUND_TOO_HIGH" in results[1].remark
    assert await till.balance() == "9.00"
    assert await statuses(till, till.refunded(11, 100, "refund-3")) == [SUCCEEDED]
    assert await till.balance() == "10.00"


@pytest.mark.parametrize("refund_first", [True, False])
async def test_a_refund_and_a_cancellation_give_back_what_was_taken_in_either_order(
    till: Till, refund_first: bool
) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    messages = [till.refunded(11, 150), till.cancelled(11)]
    for message in messages if refund_first else reversed(messages):
        assert await statuses(till, message, message) == [SUCCEEDED] * 2
    assert await till.balance() == "10.00"


async def test_a_refund_of_coins_that_nobody_took_comes_again_until_they_are_known(till: Till) -> None:
    await till.fund(1_000)
    early = till.refunded(11, 150)
    assert await statuses(till, early) == [PROCESSING]
    await till.debit(11, 400)
    assert await statuses(till, early) == [SUCCEEDED]
    assert await till.balance() == "7.50"


async def test_a_refund_goes_to_nobody_but_who_paid(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    (result,) = await till.tell(till.refunded(11, 150, user_id=OTHER_USER))
    assert result.status == PROCESSING
    assert "DEBIT_NOT_FOUND" in result.remark
    assert await till.balance(OTHER_USER) == "0.00"


async def test_one_refund_of_two_amounts_is_refused(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    results = await till.tell(till.refunded(11, 150), till.refunded(11, 151))
    assert [result.status for result in results] == [SUCCEEDED, PROCESSING]
    assert "KEY_REUSED" in results[1].remark
    assert await till.balance() == "7.50"


# Received.


async def test_003_08_the_seller_is_paid_once(till: Till) -> None:
    same = till.received(11, 700)
    assert await statuses(till, same, same, till.received(11, 700)) == [SUCCEEDED] * 3
    (entry,) = (await till.logs(SELLER)).money_logs
    assert (entry.money_log_type, entry.order_id, entry.use_money) == (pb.MONEY_LOG_TYPE_EARN, "11", "7.00")


async def test_003_08_a_sale_pays_one_seller_alone(till: Till) -> None:
    results = await till.tell(till.received(11, 700), till.received(11, 700, OTHER_USER), till.received(12, 1))
    assert [result.status for result in results] == [SUCCEEDED, PROCESSING, SUCCEEDED]
    assert await till.balance(SELLER) == "7.01"
    assert await till.balance(OTHER_USER) == "0.00"


async def test_many_sales_of_one_seller_at_once_are_all_there(till: Till) -> None:
    batches = [[till.received(batch * 10 + place, 100) for place in range(1, 11)] for batch in range(10)]
    told = await asyncio.gather(*(statuses(till, *batch) for batch in batches))
    # One that met another may come again.
    while any(status == PROCESSING for some in told for status in some):
        told = await asyncio.gather(*(statuses(till, *batch) for batch in batches))
    wallet = await till.wallet(SELLER)
    assert (wallet.user_money, wallet.seq) == ("100.00", 100)


# What cannot be read.


@pytest.mark.parametrize(
    ("tag", "key", "body"),
    [
        ("cancelled", "eleven", {}),
        ("cancelled", "0", {}),
        ("refunded", "11", {"request_id": "r", "user_id": USER, "brand_id": BRAND}),
        ("refunded", "11", {"request_id": "r", "user_id": USER, "brand_id": BRAND, "amount_fen": -5}),
        ("refunded", "11", {"request_id": "r", "user_id": USER, "brand_id": BRAND, "amount_fen": 1.5}),
        ("refunded", "11", {"request_id": "r", "user_id": USER, "brand_id": BRAND, "amount_fen": True}),
        ("refunded", "11", {"request_id": "", "user_id": USER, "brand_id": BRAND, "amount_fen": 5}),
        ("refunded", "11", {"request_id": "r" * 97, "user_id": USER, "brand_id": BRAND, "amount_fen": 5}),
        ("refunded", "11", {"user_id": USER, "brand_id": BRAND, "amount_fen": 5}),
        ("received", "11", {"seller_id": 1 << 63, "brand_id": BRAND, "amount_fen": 5}),
        ("received", "11", {"brand_id": BRAND, "amount_fen": 5}),
        ("received", "11", {"seller_id": 1, "brand_id": BRAND, "amount_fen": 0}),
        ("eaten", "11", {}),
    ],
)
async def test_003_09_a_poison_message_is_given_up_at_once_and_its_neighbours_are_not(
    till: Till, tag: str, key: str, body: dict[str, object]
) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    poison = till.message("order", tag, key, **body)
    assert await statuses(till, till.cancelled(11), poison) == [SUCCEEDED, FAILED]
    assert await till.balance() == "10.00"


async def test_a_number_may_be_written_as_text(till: Till) -> None:
    body = {"seller_id": str(SELLER), "brand_id": str(BRAND), "amount_fen": 5}
    message = till.message("order", "received", 11)
    message.msg_body = json.dumps(body)
    assert await statuses(till, message) == [SUCCEEDED]
    assert await till.balance(SELLER) == "0.05"


async def test_two_processes_hear_of_one_cancellation(till: Till, tmp_path: Path) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    settings = till.running.settings
    same = {"database_url": settings.database_url, "peer_payment": settings.peer_payment}
    async with running(tmp_path, "wallet", **same) as second:
        other = Till(second, till.desk)
        message = till.cancelled(11)
        told = await asyncio.gather(*(one.tell(message) for one in (till, other) * 5))
        # On MariaDB one that meets another may have to come again.
        assert {result.status for results in told for result in results} <= {SUCCEEDED, PROCESSING}
        assert await statuses(other, message) == [SUCCEEDED]
    assert await till.balance() == "10.00"
