import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.txim import limits
from sandbox.txim.windows import SlidingWindow
from tests.sandbox.harness import Sandbox, quick_settings, running_sandbox, text_message

STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=60)


@given(steps=STEPS, width_ms=st.integers(0, 50))
def test_a_window_sums_what_lies_within_its_width(steps: list[tuple[int, int]], width_ms: int) -> None:
    window = SlidingWindow(width_ms)
    happened: list[tuple[int, int]] = []
    sums: list[int] = []
    at_ms = 0
    for step_ms, amount in steps:
        at_ms += step_ms
        happened.append((at_ms, amount))
        window.add(at_ms, amount)
        sums.append(sum(each for when_ms, each in happened if at_ms - width_ms <= when_ms))
        assert window.total(at_ms) == sums[-1]

    assert window.peak == max(sums, default=0)
    assert window.total(at_ms + width_ms + 1) == 0
    assert len(window._entries) <= width_ms + 1


class Clock:
    """The time that the limits go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_000_000
        monkeypatch.setattr(limits, "_monotonic_ms", lambda: self.now_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_more_calls_of_a_command_than_a_second_may_have_are_refused(clock: Clock) -> None:
    async with running_sandbox(quick_settings(txim_calls_per_second_max=10)) as sandbox:
        await sandbox.import_accounts("k1")

        answers = await asyncio.gather(*[sandbox.im("k1") for _ in range(25)])

        codes = [answer["ErrorCode"] for answer in answers]
        assert (codes.count(0), codes.count(60007)) == (10, 15)
        # Other commands have windows of their own.
        assert (await sandbox.im_batch(["k1"]))["ErrorCode"] == 0
        stats = await sandbox.stats("txim")
        assert stats["rate_refusals"] == {"calls": 15, "recipients": 0}
        assert stats["calls_per_second_peak"] == {"multiaccount_import": 1, "sendmsg": 25, "batchsendmsg": 1}
        clock.now_ms += 1000
        assert (await sandbox.im("k1"))["ErrorCode"] == 60007
        clock.now_ms += 1
        assert (await sandbox.im("k1"))["ErrorCode"] == 0


@pytest.mark.usefixtures("clock")
async def test_imports_of_many_have_half_the_calls() -> None:
    async with running_sandbox(quick_settings(txim_calls_per_second_max=4)) as sandbox:
        codes = [
            (await sandbox.txim("im_open_login_svc/multiaccount_import", {"Accounts": ["k1"]}))["ErrorCode"]
            for _ in range(3)
        ]

    assert codes == [0, 0, 60007]


@pytest.mark.usefixtures("clock")
async def test_more_recipients_than_a_minute_may_have_are_refused_whole_batches() -> None:
    async with running_sandbox(quick_settings(txim_recipients_per_minute_max=5)) as sandbox:
        await sandbox.import_accounts("k1", "k2", "k3")
        message = text_message()

        answers = [
            await sandbox.im_batch(["k1", "k2", "k3"]),
            await sandbox.im_batch(["k1", "k2", "k3"], **message),
            await sandbox.im_batch(["k1", "k2"]),
            await sandbox.im_batch(["k1"], **message),
        ]

        assert [answer["ErrorCode"] for answer in answers] == [0, 60011, 0, 60011]
        # One recipient at a time is no batch.
        assert (await sandbox.im("k1", **message))["ErrorCode"] == 0
        stats = await sandbox.stats("txim")
        assert (stats["delivered"], stats["recipients_per_minute_peak"]) == (6, 9)
        assert stats["rate_refusals"] == {"calls": 0, "recipients": 2}


async def test_a_refused_call_is_not_remembered_as_a_repeat(sandbox: Sandbox) -> None:
    await sandbox.import_accounts("k1")
    await sandbox.fault("txim_error", code=60007, count=1)
    message = text_message(MsgTimeStamp=1)

    assert [(await sandbox.im("k1", **message))["ErrorCode"] for _ in range(2)] == [60007, 0]
    assert len(await sandbox.delivered()) == 1
