from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import pytest
from prometheus_client import REGISTRY

from mesh.provider.circuit import Circuit, CircuitPolicy, CircuitState, Trouble
from mesh.provider.rate_limit import Priority, Throttle, TokenBucket
from sms_rmq.providers import wiring
from sms_rmq.providers.accounts import Account, ProviderAccounts, priority_of
from sms_rmq.providers.port import (
    Accepted,
    Outcome,
    Pulled,
    Receipt,
    Rejected,
    RetryLater,
    SmsMode,
    SmsType,
    Submission,
    Unknown,
    Uplink,
)
from sms_rmq.providers.settings import ProviderAccountSettings
from sms_rmq.providers.wiring import open_provider_accounts
from tests.mesh.provider.virtual_time import now, run
from tests.sms_rmq.providers.conftest import SettingsMaker, SubmissionMaker
from tests.sms_rmq.providers.scripted_server import hang_up, http, never, running


class ScriptedProvider:
    """Answers submissions with `outcomes` in turn, the last one for ever; None: does not answer."""

    def __init__(self, *outcomes: Outcome | None) -> None:
        self.outcomes = list(outcomes)
        self.submissions: list[Submission] = []

    async def submit(self, submission: Submission) -> Outcome:
        self.submissions.append(submission)
        await asyncio.sleep(0)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is None:
            await asyncio.Event().wait()
            raise AssertionError
        return outcome

    async def pull_receipts(self) -> Pulled[Receipt]:
        return Pulled([], [])

    async def pull_uplinks(self) -> Pulled[Uplink]:
        return Pulled([], [])


class Clock:
    """The time that a circuit goes by."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def account(
    settings: ProviderAccountSettings,
    provider: ScriptedProvider | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Account:
    throttle = Throttle(
        TokenBucket(settings.requests_per_second, settings.reserved_share, clock),
        settings.connections_max,
        settings.reserved_share,
        settings.wait_seconds_max,
        settings.waiting_max,
    )
    policy = CircuitPolicy(2, open_seconds=30, stop_seconds=60)
    circuit = Circuit(settings.name, policy, clock)
    return Account(settings, provider or ScriptedProvider(Accepted("1")), circuit, throttle)


@pytest.mark.parametrize(
    ("brand_id", "sms_type", "mainland", "name"),
    [
        (1, "verification", True, "codes"),
        (1, "notification", True, "first"),
        (1, "marketing", True, "first"),
        (7, "verification", True, "brand7"),
        (7, "marketing", True, "first"),
        (8, "verification", True, "codes"),
        (1, "verification", False, "abroad"),
        (7, "verification", False, "abroad"),
        (1, "marketing", False, None),
    ],
)
def test_choice(
    brand_id: int, sms_type: SmsType, mainland: bool, name: str | None, make_settings: SettingsMaker
) -> None:
    accounts = ProviderAccounts(
        [
            account(make_settings(name="codes", types=["verification"])),
            account(make_settings(name="first", types=["notification", "marketing"])),
            account(make_settings(name="second")),
            account(make_settings(name="brand7", brands=[7, 9], types=["verification", "notification"])),
            account(make_settings(name="brand7b", brands=[7], types=["verification"])),
            account(make_settings(name="abroad", international=True, types=["verification"])),
        ]
    )
    chosen = accounts.choose(brand_id, sms_type, mainland=mainland)
    assert (chosen and chosen.name) == name


async def test_without_an_account_a_submission_is_rejected(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    accounts = ProviderAccounts([account(make_settings(brands=[8]))])
    assert await accounts.submit(make_submission(brand_id=7)) == Rejected("", "NO_PROVIDER_ACCOUNT")
    assert await accounts.submit(make_submission("+85291234567", brand_id=8)) == Rejected("", "NO_PROVIDER_ACCOUNT")
    assert await accounts.submit(make_submission(brand_id=8)) == Accepted("1")


async def test_one_submission_goes_to_one_kind_of_destination(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    accounts = ProviderAccounts([account(make_settings()), account(make_settings(name="abroad", international=True))])
    assert await accounts.submit(make_submission("+8613800138000", "+85291234567")) == Rejected(
        "", "MIXED_DESTINATIONS"
    )
    # +86 is the mainland's alone; these countries only look alike.
    assert await accounts.submit(make_submission("+85291234567", "+886912345678")) == Accepted("1")


@pytest.mark.parametrize(
    ("sms_type", "mode", "priority"),
    [
        ("verification", "single", Priority.URGENT),
        ("verification", "batch", Priority.URGENT),
        ("notification", "single", Priority.URGENT),
        ("notification", "batch", Priority.BULK),
        ("marketing", "single", Priority.BULK),
        ("marketing", "batch", Priority.BULK),
    ],
)
def test_priority(sms_type: SmsType, mode: SmsMode, priority: Priority, make_submission: SubmissionMaker) -> None:
    assert priority_of(make_submission(sms_type=sms_type, mode=mode)) is priority


@pytest.mark.parametrize("size", [0, 1001])
def test_a_submission_has_1_to_1000_recipients(size: int, make_submission: SubmissionMaker) -> None:
    one = make_submission()
    with pytest.raises(ValueError, match="1 to 1000"):
        Submission(1, 7, "marketing", "batch", one.text, variable=False, recipients=[*one.recipients] * size)


async def test_a_refused_account_is_not_called_again(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    provider = ScriptedProvider(RetryLater(60, "109", "ACCOUNT_NO_CREDIT", Trouble.ACCOUNT))
    stopped = account(make_settings(), provider)
    await stopped.submit(make_submission())
    outcome = await stopped.submit(make_submission())
    assert isinstance(outcome, RetryLater)
    assert outcome.reason == "PROVIDER_CIRCUIT_OPEN"
    assert outcome.after_seconds == pytest.approx(60, abs=1)
    assert (len(provider.submissions), stopped.circuit.reason) == (1, "ACCOUNT_NO_CREDIT")


def test_who_waited_while_the_account_was_refused_is_put_back(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    provider = ScriptedProvider(RetryLater(60, "109", "ACCOUNT_NO_CREDIT", Trouble.ACCOUNT))

    async def main() -> list[Outcome]:
        # A rate whose burst is two calls, so that the third and fourth wait.
        stopped = account(make_settings(requests_per_second=20), provider, now)
        return await asyncio.gather(*[stopped.submit(make_submission()) for _ in range(4)])

    outcomes = run(main)
    assert [outcome.reason for outcome in outcomes] == [*["ACCOUNT_NO_CREDIT"] * 2, *["PROVIDER_CIRCUIT_OPEN"] * 2]
    assert len(provider.submissions) == 2


async def test_rejected_messages_say_nothing_against_the_account(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    provider = ScriptedProvider(
        Rejected("105", "SENSITIVE_WORD"), Unknown("PARTLY_ACCEPTED", "1"), RetryLater(1, "103", "")
    )
    fine = account(make_settings(), provider)
    for _ in range(10):
        await fine.submit(make_submission())
    assert fine.circuit.state is CircuitState.CLOSED


def test_a_cancelled_probe_lets_another_try(make_settings: SettingsMaker, make_submission: SubmissionMaker) -> None:
    refused = RetryLater(60, "109", "ACCOUNT_NO_CREDIT", Trouble.ACCOUNT)

    async def main() -> Outcome:
        half_open = account(make_settings(), ScriptedProvider(refused, None, Accepted("1")), now)
        await half_open.submit(make_submission())
        await asyncio.sleep(60)
        probe = asyncio.ensure_future(half_open.submit(make_submission()))
        await asyncio.sleep(1)
        probe.cancel()
        await asyncio.wait([probe])
        return await half_open.submit(make_submission())

    assert run(main) == Accepted("1")


async def test_a_cancelled_call_gives_its_turn_back(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    provider = ScriptedProvider(None, None, Accepted("1"))
    busy = account(make_settings(connections_max=2), provider)
    calls = [asyncio.ensure_future(busy.submit(make_submission())) for _ in range(2)]
    await asyncio.sleep(0.01)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert [await busy.submit(make_submission()) for _ in range(3)] == [Accepted("1")] * 3


async def test_no_turn_in_time_is_tried_later(make_settings: SettingsMaker, make_submission: SubmissionMaker) -> None:
    provider = ScriptedProvider(None, None, Accepted("1"))
    busy = account(make_settings(connections_max=2, wait_seconds_max=0.05), provider)
    calls = [asyncio.ensure_future(busy.submit(make_submission())) for _ in range(2)]
    await asyncio.sleep(0.01)
    outcome = await busy.submit(make_submission())
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert outcome == RetryLater(0.05, "", "PROVIDER_RATE")
    assert busy.circuit.state is CircuitState.CLOSED


def counted(name: str, account_name: str, outcome: str) -> float:
    return REGISTRY.get_sample_value(name, {"account": account_name, "outcome": outcome}) or 0.0


async def test_submissions_are_counted_and_timed(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    metered = account(make_settings(name="metered"), ScriptedProvider(Accepted("1"), Rejected("105", "SENSITIVE_WORD")))
    await metered.submit(make_submission("+8613800138000", "+8613800138001"))
    await metered.submit(make_submission())
    assert counted("brandmesh_provider_submissions_total", "metered", "accepted") == 1
    assert counted("brandmesh_provider_messages_total", "metered", "accepted") == 2
    assert counted("brandmesh_provider_submissions_total", "metered", "rejected") == 1
    assert counted("brandmesh_provider_submissions_total", "metered", "unknown") == 0
    assert REGISTRY.get_sample_value("brandmesh_provider_submission_seconds_count", {"account": "metered"}) == 2


async def test_wired_accounts_open_their_circuit_on_lost_calls(
    make_settings: SettingsMaker, make_submission: SubmissionMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(wiring, "Circuit", partial(Circuit, clock=clock))
    async with running(hang_up) as server:
        settings = make_settings(server.url, circuit_failures_max=3, circuit_open_seconds=10)
        async with open_provider_accounts([settings]) as accounts:
            outcomes = [await accounts.submit(make_submission()) for _ in range(4)]
            server.answer = http({"code": "0", "msgId": "1"})
            clock.now += 10
            recovered = await accounts.submit(make_submission())
    assert [outcome.reason for outcome in outcomes] == [*["ANSWER_LOST"] * 3, "PROVIDER_CIRCUIT_OPEN"]
    assert (recovered, len(server.requests)) == (Accepted("1"), 4)


async def test_hanging_bulk_calls_do_not_hold_up_a_code(
    make_settings: SettingsMaker, make_submission: SubmissionMaker
) -> None:
    async with running(never) as server:
        settings = make_settings(server.url, connections_max=4, requests_per_second=1000)
        async with open_provider_accounts([settings]) as accounts:
            bulk = [asyncio.ensure_future(accounts.submit(make_submission(sms_type="marketing"))) for _ in range(10)]
            await server.asked(3)
            server.answer = http({"code": "0", "msgId": "1"})
            async with asyncio.timeout(10):
                assert await accounts.submit(make_submission()) == Accepted("1")
            for call in bulk:
                call.cancel()
            await asyncio.wait(bulk)


async def test_accounts_need_names_of_their_own(make_settings: SettingsMaker) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        async with open_provider_accounts([make_settings(), make_settings()]):
            pass
