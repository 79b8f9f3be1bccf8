"""Orders use coupons, and give them back when they are cancelled."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from brandmesh.coupon.v1 import coupon_pb2 as pb
from mesh.errors import DomainError
from mesh.messages import ReceivedMessage
from mesh.timestamps import to_ms
from order_rpc.coupon import storage, tables
from order_rpc.coupon.domain import USE_TRANSITIONS, UseEvent, UseState, Wish
from order_rpc.coupon.using import CouponUsing
from tests.order.coupon.harness import BRAND, USER, Desk, now_ms, open_desk


async def uses(desk: Desk) -> dict[int, tuple[int, str]]:
    return {row["order_id"]: (row["coupon_id"], row["state"]) for row in await desk.process.rows(tables.coupon_use)}


async def test_002_07_an_order_is_linked_to_its_coupon(desk: Desk) -> None:
    coupon = await desk.issue()
    await desk.use(coupon, 42)
    used = await desk.get(coupon)
    assert (used.is_used, used.order_id) == (True, "42")
    assert abs(to_ms(used.used_time) - now_ms()) < 60_000
    (row,) = await desk.process.rows(tables.coupon)
    assert row["is_used"] == 1


async def test_a_repeat_changes_nothing(desk: Desk) -> None:
    coupon = await desk.issue()
    await desk.use(coupon, 42)
    before = await desk.process.rows(tables.coupon)
    await desk.expire(coupon)
    await desk.use(coupon, 42)
    (after,) = await desk.process.rows(tables.coupon)
    assert after == {**before[0], "expire_time_ms": 1}


@pytest.mark.parametrize("change", [{"user_id": USER + 1}, {"brand_id": BRAND + 1}, {"coupon_id": 5}])
async def test_002_05_another_owner_s_or_a_missing_coupon_is_refused(desk: Desk, change: dict[str, int]) -> None:
    coupon = await desk.issue()
    with pytest.raises(DomainError, match="COUPON_NOT_FOUND") as refusal:
        await desk.use(coupon, 1, **change)
    assert refusal.value.code is grpc.StatusCode.NOT_FOUND
    assert await desk.get(coupon) == coupon
    assert await uses(desk) == {}


async def test_002_05_a_used_coupon_is_refused(desk: Desk) -> None:
    coupon = await desk.issue()
    await desk.use(coupon, 1)
    with pytest.raises(DomainError, match="COUPON_USED") as refusal:
        await desk.use(coupon, 2)
    assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.value.metadata["coupon_id"] == coupon.coupon_id
    assert (await desk.get(coupon)).order_id == "1"
    assert await uses(desk) == {1: (int(coupon.coupon_id), "USED")}


async def test_002_05_an_expired_coupon_is_refused_by_the_database_s_clock(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    coupon = await desk.issue()
    desk.pass_hours(monkeypatch, 2)
    with pytest.raises(DomainError, match="COUPON_EXPIRED"):
        await desk.use(coupon, 1)
    assert await desk.get(coupon) == coupon


async def test_an_order_has_one_coupon_at_most(desk: Desk) -> None:
    first, second = await desk.issue(), await desk.issue()
    await desk.use(first, 1)
    with pytest.raises(DomainError, match=r"KEY_REUSED.*has coupon") as refusal:
        await desk.use(second, 1)
    assert refusal.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert await desk.get(second) == second


async def test_002_05_of_two_concurrent_orders_with_one_coupon_one_wins(desk: Desk) -> None:
    for first in range(1, 21, 2):
        coupon = await desk.issue()
        order_ids = [first, first + 1]
        outcomes = await asyncio.gather(*(desk.try_use(coupon, order_id) for order_id in order_ids))
        assert sorted(outcomes) == ["", "COUPON_USED"]
        assert (await desk.get(coupon)).order_id == str(order_ids[outcomes.index("")])


async def test_002_05_one_wins_of_many_orders_in_two_processes(desk: Desk, tmp_path: Path) -> None:
    url = desk.process.settings.database_url
    async with open_desk(tmp_path, database_url=url) as other:
        coupons = [await desk.issue() for _ in range(5)]
        wishes = [(coupon, 100 * c + o) for c, coupon in enumerate(coupons) for o in range(1, 11)]
        outcomes = await asyncio.gather(
            *((desk, other)[number % 2].try_use(*wish) for number, wish in enumerate(wishes))
        )
    assert Counter(outcomes) == {"": 5, "COUPON_USED": 45}
    assert len(await uses(desk)) == 5


async def test_one_order_at_once_in_two_processes_has_its_coupon_once(desk: Desk, tmp_path: Path) -> None:
    async with open_desk(tmp_path, database_url=desk.process.settings.database_url) as other:
        for order_id in range(1, 11):
            coupon = await desk.issue()
            outcomes = await asyncio.gather(*(one.try_use(coupon, order_id) for one in (desk, other, desk, other)))
            assert set(outcomes) == {""}
            assert (await desk.get(coupon)).order_id == str(order_id)


async def test_orders_that_come_together_fail_each_by_itself(desk: Desk) -> None:
    good, expired, used = [await desk.issue() for _ in range(3)]
    await desk.expire(expired)
    await desk.use(used, 9)
    missing = pb.Coupon(coupon_id="5")
    outcomes = await asyncio.gather(
        desk.try_use(missing, 1), desk.try_use(good, 2), desk.try_use(expired, 3), desk.try_use(used, 4)
    )
    assert list(outcomes) == ["COUPON_NOT_FOUND", "", "COUPON_EXPIRED", "COUPON_USED"]


class TestGivingBack:
    async def test_002_08_a_cancelled_order_gives_its_coupon_back_and_another_may_have_it(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.use(coupon, 1)
        await desk.cancel(1)
        assert await desk.get(coupon) == coupon
        await desk.use(coupon, 2)
        assert (await desk.get(coupon)).order_id == "2"

    async def test_002_08_the_message_twice_gives_back_once(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.use(coupon, 1)
        await desk.cancel(1, msg_ids=[5])
        await desk.use(coupon, 2)
        await desk.cancel(1, msg_ids=[5])
        await desk.cancel(1, msg_ids=[6])
        assert (await desk.get(coupon)).order_id == "2"
        assert await uses(desk) == {
            1: (int(coupon.coupon_id), "RELEASED"),
            2: (int(coupon.coupon_id), "USED"),
        }

    async def test_002_08_a_message_that_is_faster_than_the_order_keeps_it_from_the_coupon(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.cancel(1)
        assert await uses(desk) == {1: (0, "RELEASED")}
        with pytest.raises(DomainError, match="COUPON_RELEASED") as refusal:
            await desk.use(coupon, 1)
        assert refusal.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert await desk.get(coupon) == coupon

    async def test_after_it_was_given_back_the_order_does_not_get_it_again(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.use(coupon, 1)
        await desk.cancel(1)
        assert await desk.try_use(coupon, 1) == "COUPON_RELEASED"
        assert await desk.get(coupon) == coupon

    async def test_002_08_only_what_the_order_had_is_given_back(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.use(coupon, 1)
        assert await desk.try_use(coupon, 2) == "COUPON_USED"
        await desk.cancel(2)
        assert (await desk.get(coupon)).order_id == "1"

    async def test_a_coupon_that_is_given_back_after_its_time_stays_expired(self, desk: Desk) -> None:
        coupon = await desk.issue()
        await desk.use(coupon, 1)
        await desk.expire(coupon)
        await desk.cancel(1)
        assert not (await desk.get(coupon)).is_used
        assert await desk.try_use(coupon, 2) == "COUPON_EXPIRED"

    async def test_many_at_once_in_one_call(self, desk: Desk) -> None:
        coupons = [await desk.issue() for _ in range(30)]
        await asyncio.gather(*(desk.use(coupon, number) for number, coupon in enumerate(coupons, start=1)))
        await desk.cancel(*range(40, 0, -1))
        assert [await desk.get(coupon) for coupon in coupons] == coupons
        assert {state for _, state in (await uses(desk)).values()} == {"RELEASED"}

    async def test_use_and_cancel_at_once_leave_no_coupon_with_a_cancelled_order(self, desk: Desk) -> None:
        for order_id in range(1, 16):
            coupon = await desk.issue()
            outcome, _ = await asyncio.gather(desk.try_use(coupon, order_id), desk.cancel(order_id))
            assert outcome in {"", "COUPON_RELEASED"}
            assert await desk.get(coupon) == coupon
            assert (await uses(desk))[order_id][1] == "RELEASED"

    async def test_an_order_that_is_cancelled_while_it_waits_for_its_coupon_waits_for_nobody_else(
        self, desk: Desk, capsys: pytest.CaptureFixture[str]
    ) -> None:
        used, other = await desk.issue(), await desk.issue()
        await desk.use(used, 1)
        wishes = [Wish(BRAND, USER, int(other.coupon_id), 2), Wish(BRAND, USER, int(used.coupon_id), 3)]
        async with aclosing(CouponUsing(desk.process.database)) as using:
            async with desk.process.database.write() as connection:
                await storage.lock_coupons(connection, [int(other.coupon_id)])
                calls = asyncio.gather(*map(using.use, wishes), return_exceptions=True)
                await asyncio.wait([calls], timeout=0.3)  # for them to come to what is held, where they can
                cancelling = asyncio.create_task(desk.cancel(2, 1))
                await asyncio.wait([cancelling], timeout=0.3)
            await cancelling
            first, second = [one.reason if isinstance(one, DomainError) else one for one in await calls]
        assert first in {None, "COUPON_RELEASED"}
        assert second in {None, "COUPON_USED"}
        assert {order_id: state for order_id, (_, state) in (await uses(desk)).items() if order_id != 3} == {
            1: "RELEASED", 2: "RELEASED",
        }  # fmt: skip
        assert await desk.get(other) == other
        assert "database unavailable" not in capsys.readouterr().out

    async def test_a_key_that_is_no_order_is_a_failure_that_no_retry_mends(self, desk: Desk) -> None:
        message = ReceivedMessage("order", 1, "order", "cancelled", "x" * 10, "{}")
        async with aclosing(CouponUsing(desk.process.database)) as using, desk.process.database.write() as connection:
            with pytest.raises(ValueError, match="invalid literal"):
                await using.release_all(connection, [message])


async def test_a_caller_that_leaves_does_not_take_the_coupon_half(desk: Desk) -> None:
    coupon = await desk.issue()
    async with aclosing(CouponUsing(desk.process.database)) as using:
        wish = Wish(BRAND, USER, int(coupon.coupon_id), 1)
        call = asyncio.create_task(using.use(wish))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    used = await desk.get(coupon)
    assert (used.order_id, await uses(desk)) == ("1", {1: (int(coupon.coupon_id), "USED")})


def test_every_pair_of_state_and_event_is_decided() -> None:
    pairs = {(state, event) for state in (None, *UseState) for event in UseEvent}
    assert pairs - USE_TRANSITIONS.keys() == {(UseState.RELEASED, UseEvent.USE)}
