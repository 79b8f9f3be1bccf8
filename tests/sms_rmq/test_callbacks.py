"""Receipts and messages from handsets, pushed or pulled: each counts once, and nothing that came is dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from brandmesh.sms.v1 import sms_pb2 as pb
from mesh.bus.port import DEAD_REASON_HEADER
from mesh.embedded_valkey import EmbeddedValkey
from mesh.errors import DomainError
from mesh.inbox import Inbox, InboxConsumer, InboxItem, InboxOptions, InboxOutcome, Requeue
from mesh.redis_connection import connect_redis
from mesh.testing import eventually
from sms_rmq.callbacks import CALLBACK_QUEUE, INBOX_NAME, CallbackRequeue, ReceiptPull
from sms_rmq.providers.port import (
    MalformedCallbackError,
    MalformedItem,
    ProviderCallError,
    Pulled,
    Receipt,
    Uplink,
    Verdict,
)
from tests.sms_rmq.chain import Chain, receipt, running_chain
from tests.sms_rmq.provider import ScriptedProvider
from tests.sms_rpc.harness import BRAND, e164, phone, refused

IN_THE_USA = "13802012345"
"""As an international account writes it. From any other account it is a phone of mainland China."""

AWAY = grpc.StatusCode.ABORTED
TAKEN = pb.SMS_STATUS_DELIVERED


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(tmp_path_factory.mktemp("valkey"))
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    client = connect_redis(valkey.url, "tests")
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis, INBOX_NAME, 1)


def push(kind: str, *, international: bool | None = None, **query: object) -> bytes:
    """Write an item as the webhook does; one of before said when it came, not whether the account is international."""
    item: dict[str, object] = {"kind": kind, "query": urlencode(query)}
    item |= {"received_at_ms": 1} if international is None else {"international": international}
    return json.dumps(item).encode()


def pushed_receipt(message_id: int, status: str = "DELIVRD", number: int = 1, **changes: object) -> bytes:
    fields: dict[str, Any] = {
        "msgid": "26112115004712345",
        "uid": message_id,
        "mobile": phone(number),
        "status": status,
        "reportTime": "2611211500",
        "length": 1,
    }
    return push("receipt", **(fields | changes))


def pushed_uplink(text: str, number: int = 1, **changes: object) -> bytes:
    fields: dict[str, Any] = {"mobile": phone(number), "msg": text, "destcode": "10690000", "moTime": "2611211500"}
    return push("uplink", **(fields | changes))


async def handle(chain: Chain, *bodies: bytes) -> Sequence[InboxOutcome]:
    outcomes = await chain.first.callbacks.handle([InboxItem.new(body) for body in bodies])
    await chain.apply_jobs()
    return outcomes


async def letters(chain: Chain) -> list[tuple[bytes, str]]:
    return [(letter.body, letter.headers[DEAD_REASON_HEADER]) for letter in await chain.dead_letters(CALLBACK_QUEUE)]


async def blocked(chain: Chain) -> list[str]:
    request = pb.ListBlockedPhonesRequest(brand_id=BRAND)
    answer = await chain.mesh.sms_peer.call(chain.mesh.sms.ListBlockedPhones, request)
    return [one.phone for one in answer.blocked_phones]


# Pushes.


async def test_pushed_receipts_settle_their_messages(chain: Chain) -> None:
    first, second = await chain.send(phone(1), phone(2))
    await chain.work()
    bodies = [
        pushed_receipt(first, "MBBLACK", 2),
        pushed_receipt(first, "DELIVRD", 1),
        pushed_receipt(first, "UNKNOWN", 1),
    ]
    assert await handle(chain, *bodies) == [True, True, True]
    assert await chain.mesh.statuses(first, second) == ["DELIVERED", "FAILED"]
    assert (await chain.mesh.get(second)).sms.provider_code == "MBBLACK"
    await chain.costs(1)
    await chain.ends(1)


async def test_a_receipt_for_what_is_not_paid_yet_comes_again_and_the_others_are_done(chain: Chain) -> None:
    (paid,) = await chain.send(phone(1))
    await chain.work()
    (unpaid,) = await chain.send(phone(2))
    bodies = [pushed_receipt(unpaid, number=2), pushed_receipt(paid), pushed_receipt(99)]
    assert await handle(chain, *bodies) == [Requeue("NOT_PAID_YET"), True, True]
    await chain.work()
    assert await handle(chain, bodies[0]) == [True]
    assert await chain.mesh.statuses() == ["DELIVERED", "DELIVERED"]


async def test_pushed_uplinks_are_kept_and_an_unsubscribe_blocks(chain: Chain) -> None:
    await chain.send(phone(1), phone(2))
    await chain.work()
    parts = [pushed_uplink(text, 2, isems=1, emshead=f"7,2,{n}") for n, text in ((2, "订"), (1, "退"))]
    assert await handle(chain, pushed_uplink("td"), *parts, pushed_uplink("Thanks")) == [True] * 4
    assert await blocked(chain) == [e164(1), e164(2)]
    with refused("RECIPIENT_BLOCKED"):
        await chain.mesh.send(phone(1), phone(2), type=pb.SMS_TYPE_MARKETING)


@pytest_asyncio.fixture
async def abroad(tmp_path: Path, chain: Chain) -> AsyncIterator[Chain]:
    """A chain whose brand may send abroad, by an international account."""
    del chain  # for its logs alone
    (tmp_path / "abroad").mkdir()
    async with running_chain(tmp_path / "abroad", international=True) as running:
        yield running


@pytest.mark.parametrize("international", [True, False], ids=["its own path", "the path of others"])
async def test_a_receipt_of_an_international_account_settles_its_message(abroad: Chain, *, international: bool) -> None:
    (single,) = await abroad.send(f"+{IN_THE_USA}")
    at_home, away = await abroad.send(phone(1), "+14155552672")
    await abroad.work()
    bodies = [
        pushed_receipt(single, mobile=IN_THE_USA, international=international),
        pushed_receipt(away, "UNDELIV", mobile="14155552672", international=international),
        pushed_receipt(at_home, mobile="14155552672"),
        pushed_receipt(at_home),
    ]
    assert await handle(abroad, *bodies) == [True] * 4
    assert await abroad.mesh.statuses(single, at_home, away) == ["DELIVERED", "DELIVERED", "FAILED"]
    await abroad.ends(2)


async def test_an_unsubscribe_from_abroad_blocks_the_phone_that_sent_it(abroad: Chain) -> None:
    await abroad.send(f"+{IN_THE_USA}", f"+86{IN_THE_USA}")
    await abroad.work()
    await handle(abroad, pushed_uplink("TD", mobile=IN_THE_USA, international=True))
    assert await blocked(abroad) == [f"+{IN_THE_USA}"]


MALFORMED = [
    b"",
    b"\xff",
    b"[]",
    b"{}",
    b'"receipt"',
    b'{"kind": "receipt"}',
    b'{"kind": "other", "query": ""}',
    b'{"kind": "other", "value": {}}',
    b'{"kind": "receipt", "value": {}}',
    b'{"kind": "receipt", "value": {"verdict": "maybe"}}',
    b'{"kind": "uplink", "value": {"text": "TD"}}',
    b'{"kind": "uplink", "value": 7}',
    b'{"kind": "receipt", "row": []}',
    b'{"kind": "receipt", "row": {"uid": 1}}',
    b'{"kind": "other", "row": {}}',
    b'{"kind": ["receipt"], "query": ""}',
    push("uplink", mobile="", msg="TD"),
    pushed_uplink("T\0D"),
    pushed_receipt(1, msgid="1\0"),
    pushed_receipt(0),
    pushed_receipt(1 << 63),
    pushed_receipt(1, status=""),
    pushed_receipt(1, mobile="nobody"),
    pushed_receipt(1, length="many"),
    pushed_receipt(1, status="X" * 33),
    pushed_uplink("x" * 2001),
    pushed_uplink("x", emshead="7,2"),
]


async def test_what_cannot_be_read_is_kept_as_a_dead_letter_and_the_others_are_done(chain: Chain) -> None:
    (message_id,) = await chain.send()
    await chain.work()
    assert await handle(chain, *MALFORMED, pushed_receipt(message_id)) == [True] * (len(MALFORMED) + 1)
    kept = await letters(chain)
    assert [body for body, _ in kept] == MALFORMED
    assert all(reason for _, reason in kept)
    assert await chain.mesh.statuses() == ["DELIVERED"]


async def test_what_cannot_be_read_is_kept_once_though_its_neighbours_come_again(chain: Chain) -> None:
    (message_id,) = await chain.send()
    await chain.work()
    chain.mesh.faults.refuse("RecordReceipts", AWAY, AWAY)
    for _ in range(2):
        with pytest.raises(DomainError):
            await handle(chain, MALFORMED[0], pushed_receipt(message_id))
    await handle(chain, MALFORMED[0], pushed_receipt(message_id))
    assert [body for body, _ in await letters(chain)] == [MALFORMED[0]]
    assert await chain.mesh.statuses() == ["DELIVERED"]


async def test_a_hostile_receipt_does_not_hold_up_the_others(chain: Chain) -> None:
    (message_id,) = await chain.send()
    await chain.work()
    hostile = [pushed_receipt((1 << 63) - 1), pushed_receipt(message_id + 1), pushed_receipt(message_id, number=9)]
    assert await handle(chain, *hostile, pushed_receipt(message_id)) == [True] * 4
    assert await chain.mesh.statuses() == ["DELIVERED"]


# Through Redis.


async def test_an_item_of_the_inbox_is_handled_until_it_is_done(chain: Chain, inbox: Inbox) -> None:
    (early,) = await chain.send(phone(1))
    options = InboxOptions(batch_max=10, concurrency=1)
    stop = asyncio.Event()
    consuming = asyncio.create_task(InboxConsumer(inbox, chain.first.callbacks.handle, options).run(stop, 5))
    await inbox.push(pushed_receipt(early), MALFORMED[0])

    async def is_requeued() -> bool:
        return (await inbox.depth()).later == 1

    await eventually(is_requeued)
    await chain.work()

    async def is_done() -> bool:
        depth = await inbox.depth()
        return (depth.waiting, depth.later) == (0, 0)

    await eventually(is_done)
    stop.set()
    await consuming
    assert await chain.mesh.statuses() == ["DELIVERED"]
    assert len(await letters(chain)) == 1


async def test_dead_letters_that_are_put_back_go_through_the_inbox_again(chain: Chain, inbox: Inbox) -> None:
    await handle(chain, *MALFORMED[:3])
    assert await chain.mesh.bus.requeue_dead(CALLBACK_QUEUE, 10) == 3
    deliveries = await chain.mesh.bus.receive(CALLBACK_QUEUE, 10, 30)
    await CallbackRequeue(inbox).handle(CALLBACK_QUEUE, deliveries)
    claim = await inbox.claim(0, 10, 30)
    assert claim is not None
    assert [item.body for item in claim.items] == MALFORMED[:3]


async def put_back(chain: Chain, inbox: Inbox) -> Sequence[InboxOutcome]:
    """Requeue all dead letters, and handle what comes of that."""
    await chain.mesh.bus.requeue_dead(CALLBACK_QUEUE, 100)
    deliveries = await chain.mesh.bus.receive(CALLBACK_QUEUE, 100, 30)
    await CallbackRequeue(inbox).handle(CALLBACK_QUEUE, deliveries)
    return await handle(chain, *await take(inbox))


@pytest.mark.parametrize("international", [True, False])
async def test_pulled_rows_that_could_not_be_read_are_read_when_they_are_put_back(
    abroad: Chain, inbox: Inbox, *, international: bool
) -> None:
    """As by a later version, which reads what this one did not."""
    number = f"+{IN_THE_USA}" if international else f"+86{IN_THE_USA}"
    (message_id,) = await abroad.send(number)
    await abroad.work()
    receipt_row = {"uid": str(message_id), "mobile": IN_THE_USA, "msgId": "1", "status": "DELIVRD", "length": "1"}
    uplink_row = {"mobile": IN_THE_USA, "messageContent": "TD", "destCode": "10690000", "moTime": "2611211500"}
    error = MalformedCallbackError("mobile", "is no phone number")
    abroad.provider.receipts.append(Pulled([], [MalformedItem(receipt_row, error)]))
    abroad.provider.receipts.append(Pulled([], []))
    abroad.provider.uplinks.append(Pulled([], [MalformedItem(uplink_row, error)]))
    account = abroad.accounts[international]
    await ReceiptPull([account], inbox, abroad.mesh.bus).pull()
    bodies = [json.loads(body) for body, _ in await letters(abroad)]
    assert [(body["kind"], body["account"]) for body in bodies] == [("receipt", account.name), ("uplink", account.name)]
    assert await put_back(abroad, inbox) == [True, True]
    assert await letters(abroad) == []
    assert await abroad.mesh.statuses() == ["DELIVERED"]
    assert await blocked(abroad) == [number]


async def test_a_pulled_row_that_still_cannot_be_read_is_a_dead_letter_again(chain: Chain, inbox: Inbox) -> None:
    row = MalformedItem({"row": "17"}, MalformedCallbackError("uid", "is missing"))
    chain.provider.receipts.append(Pulled([], [row]))
    await ReceiptPull([chain.account], inbox, chain.mesh.bus).pull()
    before = await letters(chain)
    assert await put_back(chain, inbox) == [True]
    after = await letters(chain)
    assert [body for body, _ in after] == [body for body, _ in before]
    assert after[0][1].startswith("status: ")


# Pulls.


async def take(inbox: Inbox) -> list[bytes]:
    """Take all items off the inbox."""
    claim = await inbox.claim(0, 100_000, 30)
    if claim is None:
        return []
    await inbox.settle(claim, [])
    return [item.body for item in claim.items]


async def test_pulled_receipts_and_uplinks_go_the_way_of_pushed_ones(chain: Chain, inbox: Inbox) -> None:
    (message_id,) = await chain.send(phone(1))
    await chain.work()
    malformed = MalformedItem({"mobile": "nobody"}, MalformedCallbackError("mobile", "is no phone number"))
    chain.provider.receipts.append(Pulled([receipt(message_id, Verdict.UNDELIVERED)], [malformed]))
    chain.provider.receipts.append(Pulled([receipt(message_id, Verdict.UNDELIVERED)], []))
    chain.provider.uplinks.append(Pulled([Uplink(e164(1), "TD", "10690000", "2611211500")], []))
    await ReceiptPull([chain.account], inbox, chain.mesh.bus).pull()
    assert await handle(chain, *await take(inbox)) == [True] * 3
    assert await chain.mesh.statuses() == ["FAILED"]
    assert await blocked(chain) == [e164(1)]
    ((body, reason),) = await letters(chain)
    assert b"nobody" in body
    assert reason == "mobile: is no phone number"
    await chain.costs(0)


async def test_what_was_pulled_and_could_not_be_kept_is_kept_by_the_next_pull(
    chain: Chain, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider has deleted it: nobody else has it."""
    await chain.send(phone(1))
    chain.provider.receipts.extend(
        [Pulled([receipt(1, Verdict.DELIVERED)], []), Pulled([receipt(2, Verdict.DELIVERED)], [])]
    )
    pull = ReceiptPull([chain.account], inbox, chain.mesh.bus)

    async def full(*_: bytes) -> None:
        raise DomainError(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "the inbox is full")

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "push", full)
        for _ in range(2):
            with refused("OVERLOADED"):
                await pull.pull()
    assert len(chain.provider.receipts) == 1, "nothing more is pulled before what there is was kept"
    await pull.pull()
    assert [json.loads(body)["value"]["dispatch_id"] for body in await take(inbox)] == [1, 2]
    await pull.pull()
    assert await take(inbox) == []


async def test_malformed_rows_that_could_not_be_kept_are_kept_by_the_next_pull(chain: Chain, inbox: Inbox) -> None:
    malformed = MalformedItem({"mobile": "nobody"}, MalformedCallbackError("mobile", "is no phone number"))
    chain.provider.receipts.append(Pulled([receipt(1, Verdict.DELIVERED)], [malformed]))
    pull = ReceiptPull([chain.account], inbox, chain.mesh.bus)
    chain.mesh.bus.is_away = True
    with pytest.raises(Exception, match="switched off"):
        await pull.pull()
    chain.mesh.bus.is_away = False
    await pull.pull()
    assert len(await letters(chain)) == 1
    assert len(await take(inbox)) == 1


async def test_an_account_that_cannot_be_pulled_does_not_keep_the_others(chain: Chain, inbox: Inbox) -> None:
    broken = ScriptedProvider()
    broken.receipts.append(ProviderCallError("PROVIDER_REFUSED", "102"))
    chain.provider.receipts.append(Pulled([receipt(1, Verdict.DELIVERED)], []))
    accounts = [broken.as_account(chain.mesh.clock.seconds, name="broken"), chain.account]
    await ReceiptPull(accounts, inbox, chain.mesh.bus).pull()
    assert len(await take(inbox)) == 1


async def test_one_pull_is_bounded(chain: Chain, inbox: Inbox) -> None:
    one: Pulled[Receipt] = Pulled([receipt(1, Verdict.DELIVERED)], [])
    chain.provider.receipts.extend([one] * 60)
    await ReceiptPull([chain.account], inbox, chain.mesh.bus).pull()
    assert len(await take(inbox)) == 50
