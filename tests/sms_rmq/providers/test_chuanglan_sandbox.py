"""ChuangLan's adapter against the sandbox in its own process: every fault that it has, and what comes of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from mesh.provider.circuit import Trouble
from sms_rmq.providers.chuanglan import ChuangLan, ChuangLanCallbacks
from sms_rmq.providers.chuanglan.answers import outcome_of_meaning
from sms_rmq.providers.chuanglan.codes import MAINLAND, UNLISTED
from sms_rmq.providers.port import (
    Accepted,
    Outcome,
    ProviderCallError,
    Receipt,
    Recipient,
    Rejected,
    RetryLater,
    Submission,
    Unknown,
    Verdict,
)
from tests.sms_rmq.providers.conftest import ProviderMaker, SettingsMaker
from tests.sms_rmq.providers.sandbox_process import (
    POOR_ACCOUNT,
    Customer,
    SandboxAdmin,
    eventually,
    running_customer,
    sandbox_process,
)

PHONE = "+8613800138000"
TEXT = "【Blue Bay】Your table is ready"
LOST = Unknown("ANSWER_LOST", trouble=Trouble.TRANSPORT)
SERVER_ERROR = Unknown("PROVIDER_SERVER_ERROR", trouble=Trouble.TRANSPORT)
CALLBACKS = ChuangLanCallbacks()
SOURCE = Path(__file__).read_text(encoding="utf-8")

_dispatch_ids = itertools.count(1)
_account_numbers = itertools.count()


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with sandbox_process() as url:
        yield url


@pytest.fixture
async def sandbox(sandbox_url: str) -> AsyncIterator[SandboxAdmin]:
    async with aiohttp.ClientSession() as http:
        admin = SandboxAdmin(sandbox_url, http)
        yield admin
        await admin.reset()


@pytest.fixture
async def customer(sandbox: SandboxAdmin) -> AsyncIterator[Customer]:
    async with running_customer() as running:
        await sandbox.push_to(running.url)
        yield running
        await sandbox.reset()


@pytest.fixture
def account() -> str:
    return f"N{next(_account_numbers)}"


@pytest.fixture
async def provider(
    sandbox_url: str, account: str, make_settings: SettingsMaker, make_provider: ProviderMaker
) -> ChuangLan:
    return make_provider(make_settings(sandbox_url, timeout_seconds=1.0, account=account))


def single(text: str = TEXT) -> Submission:
    return Submission(
        next(_dispatch_ids), 7, "verification", "single", text, variable=False, recipients=[Recipient(PHONE)]
    )


def batch(size: int) -> Submission:
    recipients = [Recipient(f"+86138{number:08d}") for number in range(size)]
    return Submission(next(_dispatch_ids), 7, "marketing", "batch", TEXT, variable=False, recipients=recipients)


def variable(size: int) -> Submission:
    recipients = [Recipient(f"+86138{number:08d}", (f"guest{number}", "7")) for number in range(size)]
    text = "【Blue Bay】Dear {$var}, table {$var} is ready"
    return Submission(next(_dispatch_ids), 7, "notification", "batch", text, variable=True, recipients=recipients)


def message_id(outcome: Outcome) -> str:
    assert isinstance(outcome, Accepted)
    return outcome.provider_message_id


async def accepted_count(sandbox: SandboxAdmin, submission: Submission) -> int:
    return len(await sandbox.messages(submission.dispatch_id))


async def test_a_single_send(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    submission = single()
    outcome = await provider.submit(submission)
    [message] = await sandbox.messages(submission.dispatch_id)
    assert (message["phone"], message["content"], message["report"]) == ("13800138000", TEXT, True)
    assert message["msgid"] == message_id(outcome)


async def test_a_batch_of_1000(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    submission = batch(1000)
    message_id(await provider.submit(submission))
    sent = [message["phone"] for message in await sandbox.messages(submission.dispatch_id)]
    assert sent == [recipient.phone_e164.removeprefix("+86") for recipient in submission.recipients]


async def test_a_variable_batch(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    submission = variable(3)
    message_id(await provider.submit(submission))
    assert [message["content"] for message in await sandbox.messages(submission.dispatch_id)] == [
        f"【Blue Bay】Dear guest{number}, table 7 is ready" for number in range(3)
    ]


@pytest.mark.parametrize("code", [*MAINLAND, "777"])
async def test_answer_code(code: str, sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("answer_code", code=code)
    submission = single()
    assert await provider.submit(submission) == outcome_of_meaning(code, MAINLAND.get(code, UNLISTED))
    assert await accepted_count(sandbox, submission) == 0


async def test_integer_code(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("integer_code")
    message_id(await provider.submit(single()))
    message_id(await provider.submit(variable(2)))
    await sandbox.fault("answer_code", code="104")
    assert await provider.submit(single()) == RetryLater(5.0, "104", "PROVIDER_BUSY")


async def test_every_fault_of_the_sandbox_is_tested_here(sandbox: SandboxAdmin) -> None:
    kinds = [kind for kind in await sandbox.fault_kinds() if not kind.startswith(("payment_", "txim_"))]
    assert len(kinds) > 10
    assert [kind for kind in kinds if f'fault("{kind}"' not in SOURCE] == []


async def test_lose_response(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("lose_response", count=1)
    submission = single()
    assert await provider.submit(submission) == LOST
    assert await accepted_count(sandbox, submission) == 1, "sent once, though nobody was told"


@pytest.mark.parametrize("accepted", [True, False])
async def test_hang(accepted: bool, sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("hang", accepted=accepted)
    submission = single()
    assert await provider.submit(submission) == LOST
    assert await accepted_count(sandbox, submission) == int(accepted), "the caller cannot tell"


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("status", [500, 503])
async def test_http_error(status: int, accepted: bool, sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("http_error", status=status, accepted=accepted)
    submission = single()
    assert await provider.submit(submission) == SERVER_ERROR
    assert await accepted_count(sandbox, submission) == int(accepted), "the caller cannot tell"


async def test_slow_answer(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("slow_answer", delay_seconds=0.3)
    message_id(await provider.submit(single()))


async def test_filter_group(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    await sandbox.fault("filter_group", count=1)
    submission = variable(3)
    outcome = await provider.submit(submission)
    messages = await sandbox.messages(submission.dispatch_id)
    assert len(messages) == 2
    assert outcome == Unknown("PARTLY_ACCEPTED", str(messages[0]["msgid"]))


async def test_refusals_of_the_sandbox_itself(
    sandbox_url: str, provider: ChuangLan, make_settings: SettingsMaker, make_provider: ProviderMaker
) -> None:
    wrong_password = make_provider(make_settings(sandbox_url, account=POOR_ACCOUNT, password="wrong"))
    unknown_account = make_provider(make_settings(sandbox_url, account="nobody"))
    poor = make_provider(make_settings(sandbox_url, account=POOR_ACCOUNT))
    elsewhere = make_provider(make_settings(sandbox_url, send_path="/no/such/path"))
    account = Trouble.ACCOUNT
    assert await wrong_password.submit(single()) == RetryLater(60.0, "102", "PASSWORD_WRONG", account)
    assert await unknown_account.submit(single()) == RetryLater(60.0, "101", "ACCOUNT_UNKNOWN", account)
    assert await poor.submit(batch(2)) == RetryLater(60.0, "109", "ACCOUNT_NO_CREDIT", account)
    assert await elsewhere.submit(single()) == RetryLater(60.0, "HTTP_404", "PROVIDER_ADDRESS_REFUSED", account)
    assert await provider.submit(single(TEXT + " sandbox-forbidden")) == Rejected("105", "SENSITIVE_WORD")
    assert await provider.submit(single("no signature")) == Rejected("116", "SIGNATURE_INVALID")
    assert await provider.submit(single(TEXT + "x" * 536)) == Rejected("106", "TEXT_LENGTH")


async def test_a_pull_with_a_wrong_password_is_refused(
    sandbox_url: str, make_settings: SettingsMaker, make_provider: ProviderMaker
) -> None:
    with pytest.raises(ProviderCallError) as caught:
        await make_provider(make_settings(sandbox_url, password="wrong")).pull_receipts()
    assert (caught.value.reason, caught.value.code) == ("PROVIDER_REFUSED", "1")


async def submit_and_await_receipts(provider: ChuangLan, customer: Customer, count: int = 1) -> list[Receipt]:
    submission = single()
    outcome = await provider.submit(submission)
    await eventually(lambda: len(customer.receipts_of(submission.dispatch_id)) == count, f"{count} receipts")
    receipts = [CALLBACKS.parse_receipt(query) for query in customer.receipts_of(submission.dispatch_id)]
    assert {receipt.provider_message_id for receipt in receipts} == {message_id(outcome)}
    return receipts


async def test_a_pushed_receipt(provider: ChuangLan, customer: Customer) -> None:
    [receipt] = await submit_and_await_receipts(provider, customer)
    assert (receipt.phone_e164, receipt.verdict, receipt.billed_segments) == (PHONE, Verdict.DELIVERED, 1)


async def test_receipt_first(sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer) -> None:
    await sandbox.fault("receipt_first")
    submission = single()
    outcome = await provider.submit(submission)
    [query] = customer.receipts_of(submission.dispatch_id)
    assert CALLBACKS.parse_receipt(query).provider_message_id == message_id(outcome)


async def test_duplicate_receipt(sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer) -> None:
    await sandbox.fault("duplicate_receipt", copies=3)
    assert len(set(await submit_and_await_receipts(provider, customer, count=3))) == 1


async def test_reordered_and_late_receipts(sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer) -> None:
    await sandbox.fault("reorder_receipt", spread_seconds=0.5)
    await sandbox.fault("delay_receipt", delay_seconds=0.2, count=1)
    submission = batch(50)
    await provider.submit(submission)
    await eventually(lambda: len(customer.receipts_of(submission.dispatch_id)) == 50, "fifty receipts")
    queries = customer.receipts_of(submission.dispatch_id)
    phones = [CALLBACKS.parse_receipt(query).phone_e164 for query in queries]
    sent = [recipient.phone_e164 for recipient in submission.recipients]
    assert sorted(phones) == sent
    assert phones != sent


async def test_drop_receipt(sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer) -> None:
    await sandbox.fault("drop_receipt", count=1)
    dropped = single()
    await provider.submit(dropped)
    await submit_and_await_receipts(provider, customer)
    assert customer.receipts_of(dropped.dispatch_id) == []
    assert (await provider.pull_receipts()).items == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("UNDELIV", Verdict.UNDELIVERED), ("UNKNOWN", Verdict.PENDING), ("MBBLACK", Verdict.UNDELIVERED)],
)
async def test_fail_receipt(
    status: str, verdict: Verdict, sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer
) -> None:
    await sandbox.fault("fail_receipt", statuses={status: 1.0})
    [receipt] = await submit_and_await_receipts(provider, customer)
    assert (receipt.verdict, receipt.provider_code) == (verdict, status)


async def test_billed_length(sandbox: SandboxAdmin, provider: ChuangLan, customer: Customer) -> None:
    await sandbox.fault("billed_length", difference=2)
    [receipt] = await submit_and_await_receipts(provider, customer)
    assert receipt.billed_segments == 3


async def test_pulled_receipts(sandbox: SandboxAdmin, provider: ChuangLan) -> None:
    submission = batch(120)
    await sandbox.fault("receipt_first")
    outcome = await provider.submit(submission)
    pages = [await provider.pull_receipts() for _ in range(3)]
    assert [len(page.items) for page in pages] == [100, 20, 0]
    assert not any(page.malformed for page in pages)
    receipts = [receipt for page in pages for receipt in page.items]
    assert {receipt.phone_e164 for receipt in receipts} == {each.phone_e164 for each in submission.recipients}
    assert {receipt.provider_message_id for receipt in receipts} == {message_id(outcome)}
    assert {receipt.dispatch_id for receipt in receipts} == {submission.dispatch_id}


async def test_pushed_uplinks(sandbox: SandboxAdmin, customer: Customer) -> None:
    await sandbox.uplink(mobile="13800138000", msg="TD", destcode="10690001")
    await sandbox.uplink(mobile="13800138000", msg="a long answer", parts=3)
    await eventually(lambda: len(customer.uplinks) == 4, "four uplinks")
    uplinks = [CALLBACKS.parse_uplink(each) for each in customer.uplinks]
    [whole] = [each for each in uplinks if not each.part_group]
    parts = sorted((each for each in uplinks if each.part_group), key=lambda each: each.part_number)
    assert (whole.phone_e164, whole.content, whole.destination) == (PHONE, "TD", "10690001")
    assert [(part.part_number, part.part_count) for part in parts] == [(1, 3), (2, 3), (3, 3)]
    assert "".join(part.content for part in parts) == "a long answer"
    assert len({part.part_group for part in parts}) == 1


async def test_pulled_uplinks(sandbox: SandboxAdmin, provider: ChuangLan, account: str) -> None:
    await sandbox.uplink(mobile="13800138000", msg="T", account=account)
    while not (pulled := await provider.pull_uplinks()).items:
        assert not pulled.malformed
    assert [(each.phone_e164, each.content) for each in pulled.items] == [(PHONE, "T")]
