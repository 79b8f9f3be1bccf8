"""Which queues a process takes, whatever they are called."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_rmq.queues import QUEUE_PREFIX, QueueSelection
from sms_rpc.domain import SmsMode, SmsType, queue_name
from tests.sms_rmq.chain import Chain
from tests.sms_rpc.harness import OTHER_BRAND, phone

TYPES = frozenset({"verification", "notification", "marketing"})
MODES = frozenset({"single", "batch"})
NOBODY: frozenset[int] = frozenset()


def selection(
    brands: AbstractSet[int] = NOBODY,
    except_brands: AbstractSet[int] = NOBODY,
    types: AbstractSet[str] = TYPES,
    modes: AbstractSet[str] = MODES,
) -> QueueSelection:
    return QueueSelection(brands, except_brands, types, modes)


def takes(chosen: QueueSelection, queue: str) -> list[str]:
    """Name the modes whose route takes a queue."""
    return [mode for mode in sorted(MODES) if chosen.takes(queue, mode)]


@pytest.mark.parametrize("sms_type", SmsType)
@pytest.mark.parametrize("mode", SmsMode)
def test_every_queue_that_is_published_to_has_exactly_one_route(sms_type: SmsType, mode: SmsMode) -> None:
    assert takes(selection(), queue_name(1001, sms_type, mode)) == [mode.lower()]


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (selection(), {7, 8, 9}),
        (selection(brands={7}), {7}),
        (selection(brands={7, 9}), {7, 9}),
        (selection(except_brands={7}), {8, 9}),
        (selection(except_brands={7, 8, 9}), set()),
        (selection(brands={7, 8}, except_brands={8, 9}), {7}),
        (selection(brands={7}, except_brands={7}), set()),
        (selection(types={"marketing"}), set()),
        (selection(modes={"batch"}), set()),
        (selection(types={"verification"}, modes={"single"}), {7, 8, 9}),
    ],
)
def test_brands_are_split_between_processes(chosen: QueueSelection, taken: set[int]) -> None:
    assert {one for one in (7, 8, 9) if chosen.takes(f"sms.send.{one}.verification.single", "single")} == taken


def test_two_processes_that_share_the_brands_take_each_queue_once() -> None:
    ours, theirs = selection(brands={7}), selection(except_brands={7})
    for brand_id in range(1, 20):
        for sms_type in SmsType:
            for mode in SmsMode:
                queue = queue_name(brand_id, sms_type, mode)
                assert len(takes(ours, queue) + takes(theirs, queue)) == 1


HOSTILE = [
    "",
    "sms.send.",
    "sms.send",
    "sms.send.7",
    "sms.send.7.marketing",
    "sms.send.7.marketing.",
    "sms.send.7.marketing.single.dead",
    "sms.send.7.marketing.single.extra",
    "sms.send.7..single",
    "sms.send..marketing.single",
    "sms.send.-7.marketing.single",
    "sms.send.+7.marketing.single",
    "sms.send. 7.marketing.single",
    "sms.send.7 .marketing.single",
    "sms.send.7\n.marketing.single",
    "sms.send.0.marketing.single",
    "sms.send.007.marketing.single",
    "sms.send.7_0.marketing.single",
    "sms.send.0x7.marketing.single",
    "sms.send.7.5.marketing.single",
    "sms.send.\u00b2.marketing.single",
    "sms.send.\u0667.marketing.single",
    "sms.send.\uff17.marketing.single",
    "sms.send." + "7" * 17 + ".marketing.single",
    "sms.send." + "7" * 5000 + ".marketing.single",
    "sms.send.7.MARKETING.single",
    "sms.send.7.marketing.SINGLE",
    "sms.send.7.spam.single",
    "sms.send.7.marketing.triple",
    "7.marketing.single",
    "sms.send.sms.send.7.marketing.single",
    "xsms.send.7.marketing.single",
    "costcenter.release",
]


@pytest.mark.parametrize("queue", HOSTILE, ids=lambda queue: repr(queue[:40]))
def test_a_queue_of_another_name_is_nobodys(queue: str) -> None:
    assert takes(selection(), queue) == []
    assert takes(selection(brands={7}), queue) == []


@given(st.text(max_size=40), st.sampled_from(sorted(MODES)))
def test_no_name_is_too_strange_to_be_looked_at(rest: str, mode: str) -> None:
    chosen = selection(brands={7})
    if chosen.takes(QUEUE_PREFIX + rest, mode):
        assert rest in {f"7.{sms_type}.{mode}" for sms_type in TYPES}


async def test_hostile_names_leave_a_worker_at_work(chain: Chain) -> None:
    for queue in HOSTILE:
        if queue:
            await chain.mesh.bus.ensure(queue)
    await chain.send(phone(1))
    await chain.work()
    assert await chain.mesh.statuses() == ["SUBMITTED"]


async def test_a_process_leaves_other_brands_queues_alone(chain: Chain) -> None:
    await chain.mesh.open_brand(OTHER_BRAND)
    chain.use(chain.first, brands="7", types="notification,verification")
    (ours,) = await chain.send(phone(1))
    (theirs,) = await chain.send(phone(1), brand_id=OTHER_BRAND)
    (another_type,) = await chain.send(phone(1), type=3)
    await chain.work()
    assert await chain.mesh.statuses(ours, theirs, another_type) == ["SUBMITTED", "QUEUED", "QUEUED"]
    chain.use(chain.second, except_brands="7")
    await chain.work(chain.second)
    assert await chain.mesh.statuses(ours, theirs, another_type) == ["SUBMITTED", "SUBMITTED", "QUEUED"]
