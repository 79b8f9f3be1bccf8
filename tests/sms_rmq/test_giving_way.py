"""Single messages go before campaigns and receipts of the same consumer, and hold them up for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from brandmesh.sms.v1 import sms_pb2 as pb
from sms_rmq.providers.port import Accepted, Outcome, Submission, Verdict
from sms_rpc.domain import SmsMode, SmsType, queue_name
from tests.sms_rmq.chain import Chain, receipt, running_chain
from tests.sms_rmq.provider import PROVIDER_MESSAGE_ID
from tests.sms_rpc.harness import BRAND, e164, phone

LONG_SECONDS = 30
A_WHILE_SECONDS = 0.2
"""What waits has not gone on by then; had it not waited, it would have."""


async def work(chain: Chain, mode: SmsMode) -> None:
    """Work on the one message of a queue."""
    queue = queue_name(BRAND, SmsType.NOTIFICATION, mode)
    await chain.first.handle(queue, await chain.mesh.bus.receive(queue, 1, 30))


@asynccontextmanager
async def standing_at_the_provider(chain: Chain) -> AsyncIterator[None]:
    """Have a single message stand still at the provider for the block, and be sent after it."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def wait(_: Submission) -> Outcome:
        asked.set()
        await answer.wait()
        return Accepted(PROVIDER_MESSAGE_ID)

    chain.provider.script.append(wait)
    await chain.send(phone(1), type=pb.SMS_TYPE_NOTIFICATION)
    async with asyncio.TaskGroup() as group:
        group.create_task(work(chain, SmsMode.SINGLE))
        await asked.wait()
        try:
            yield
        finally:
            answer.set()


async def test_a_campaign_is_begun_when_no_single_message_is_on_its_way(tmp_path: Path) -> None:
    async with running_chain(tmp_path, giving_way_seconds=LONG_SECONDS) as chain:
        await chain.send(phone(2), phone(3), type=pb.SMS_TYPE_NOTIFICATION)
        async with standing_at_the_provider(chain):
            campaign = asyncio.create_task(work(chain, SmsMode.BATCH))
            await asyncio.sleep(A_WHILE_SECONDS)
            assert set((await chain.mesh.states()).values()) == {"SUBMITTING", "QUEUED"}, "it is not even claimed"
        await campaign
        assert chain.provider.phones == [e164(1), e164(2), e164(3)]


async def test_receipts_are_recorded_when_no_single_message_is_on_its_way(tmp_path: Path) -> None:
    async with running_chain(tmp_path, giving_way_seconds=LONG_SECONDS) as chain:
        (message_id,) = await chain.send(phone(4), type=pb.SMS_TYPE_NOTIFICATION)
        await chain.work()
        async with standing_at_the_provider(chain):
            receiving = asyncio.create_task(chain.receive(receipt(message_id, Verdict.DELIVERED, 4)))
            await asyncio.sleep(A_WHILE_SECONDS)
            assert await chain.mesh.statuses(message_id) == ["SUBMITTED"]
        await receiving
        assert await chain.mesh.statuses(message_id) == ["DELIVERED"]


async def test_single_messages_hold_a_campaign_up_so_long_and_no_longer(tmp_path: Path) -> None:
    async with running_chain(tmp_path, giving_way_seconds=A_WHILE_SECONDS) as chain:
        await chain.send(phone(2), phone(3), type=pb.SMS_TYPE_NOTIFICATION)
        async with standing_at_the_provider(chain):
            await work(chain, SmsMode.BATCH)
            assert chain.provider.phones == [e164(1), e164(2), e164(3)]
