"""Each rpc over a real channel: what it answers, and how it says no."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc
import pytest
from google.protobuf import json_format

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from costcenter_rpc.jobs import RECEIPT_QUEUE, RELEASE_QUEUE
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, HOUR_MS, OTHER_BRAND
from tests.costcenter.rpc import Rpc

NOBODY = 404


def amounts(balance: pb.SmsBalance | pb.GetSmsAccountResponse) -> tuple[int, int, int, int, int, int]:
    return (balance.available, balance.frozen, balance.spent, balance.expired, balance.granted, balance.seq)


async def refusal_of(call: Awaitable[object]) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        await call
    return refusal.value


async def test_an_account_is_opened_once(rpc: Rpc) -> None:
    request = pb.OpenSmsAccountRequest(brand_id=9)
    assert amounts((await rpc.peer.call(rpc.stub.OpenSmsAccount, request)).balance) == (0, 0, 0, 0, 0, 0)
    await rpc.grant("g", 5, brand_id=9)
    assert amounts((await rpc.peer.call(rpc.stub.OpenSmsAccount, request)).balance) == (5, 0, 0, 0, 5, 1)
    assert (await rpc.account(9)).brand_id == 9


async def test_the_way_of_a_send_that_succeeds(rpc: Rpc) -> None:
    assert amounts(await rpc.grant("g", 100)) == (100, 0, 0, 0, 100, 1)
    freeze = await rpc.peer.call(
        rpc.stub.SmsSendPrePay, pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="f", num=10, reference="task 1")
    )
    assert amounts(freeze.balance) == (90, 10, 0, 0, 100, 2)
    payment = await rpc.peer.call(
        rpc.stub.SmsSendPay, pb.SmsSendPayRequest(brand_id=BRAND, request_id="p", freeze_id=freeze.freeze_id, num=6)
    )
    assert payment.charged == 6
    assert amounts(payment.balance) == (90, 4, 6, 0, 100, 3)
    report = pb.SmsSendStatusCallBackRequest(
        brand_id=BRAND, request_id="s", payment_id=payment.payment_id, status=pb.SMS_SEND_STATUS_SENT
    )
    answer = await rpc.peer.call(rpc.stub.SmsSendStatusCallBack, report)
    assert answer.refunded == 0
    assert amounts(answer.balance) == (90, 4, 6, 0, 100, 3)
    assert amounts(await rpc.account()) == (90, 4, 6, 0, 100, 3)


async def test_the_provider_refuses_one_message_and_then_all(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    payment_id = await rpc.pay("p", await rpc.freeze("f", 10))
    failed = pb.SMS_SEND_STATUS_FAILED
    one = pb.SmsSendStatusCallBackRequest(
        brand_id=BRAND, request_id="s1", payment_id=payment_id, status=failed, message_id=5, num=3
    )
    assert (await rpc.peer.call(rpc.stub.SmsSendStatusCallBack, one)).refunded == 3
    whole = pb.SmsSendStatusCallBackRequest(brand_id=BRAND, request_id="s2", payment_id=payment_id, status=failed)
    assert (await rpc.peer.call(rpc.stub.SmsSendStatusCallBack, whole)).refunded == 7
    assert amounts(await rpc.account())[:3] == (100, 0, 0)


async def test_a_release_is_stored_and_then_applied(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    await rpc.freeze("f", 10)
    request = pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="r", freeze_request_id="f", num=4)
    job_id = (await rpc.peer.call(rpc.stub.SmsReleaseFreezeNum, request)).job_id
    assert (await rpc.peer.call(rpc.stub.SmsReleaseFreezeNum, request)).job_id == job_id
    assert (await rpc.account()).frozen == 10
    assert await rpc.work(RELEASE_QUEUE) == ["JOB_OUTCOME_APPLIED"]
    assert await rpc.work(RELEASE_QUEUE) == []
    again = await rpc.peer.call(rpc.jobs.ApplyJobs, pb.ApplyJobsRequest(job_ids=[job_id, 999]))
    assert list(again.outcomes) == [pb.JOB_OUTCOME_APPLIED] * 2
    assert (await rpc.account()).frozen == 6


async def test_receipts_are_stored_and_then_applied(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    payment_id = await rpc.pay("p", await rpc.freeze("f", 10))
    receipt = pb.SmsReceiptStatusCallBackRequest(
        brand_id=BRAND,
        request_id="c",
        payment_id=payment_id,
        message_id=1,
        status=pb.SMS_RECEIPT_STATUS_UNDELIVERED,
        charged_num=2,
    )
    assert (await rpc.peer.call(rpc.stub.SmsReceiptStatusCallBack, receipt)).job_id
    assert (await rpc.account()).spent == 10
    assert await rpc.work(RECEIPT_QUEUE) == ["JOB_OUTCOME_APPLIED"]
    assert (await rpc.account()).spent == 8
    longer = pb.SmsReceiptStatusCallBackRequest(
        brand_id=BRAND,
        request_id="c2",
        payment_id=payment_id,
        message_id=2,
        status=pb.SMS_RECEIPT_STATUS_DELIVERED,
        charged_num=1,
        billed_num=3,
    )
    await rpc.peer.call(rpc.stub.SmsReceiptStatusCallBack, longer)
    assert await rpc.work(RECEIPT_QUEUE) == ["JOB_OUTCOME_APPLIED"]
    assert (await rpc.account()).spent == 10


async def test_an_absent_bus_loses_no_job(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    await rpc.freeze("f", 10)
    rpc.center.bus.is_away = True
    request = pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="r", freeze_request_id="f")
    assert (await rpc.peer.call(rpc.stub.SmsReleaseFreezeNum, request)).job_id
    rpc.center.clock.pass_ms(45_000)
    with pytest.raises(DomainError, match="BUS_UNAVAILABLE"):
        await rpc.peer.call(rpc.jobs.ReplayJobs, pb.ReplayJobsRequest(older_than_seconds=30))
    rpc.center.bus.is_away = False
    backlog = await rpc.peer.call(rpc.jobs.ReplayJobs, pb.ReplayJobsRequest(older_than_seconds=30))
    assert (backlog.replayed, backlog.oldest_age_seconds) == (1, 45)
    assert await rpc.work(RELEASE_QUEUE) == ["JOB_OUTCOME_APPLIED"]
    assert (await rpc.account()).frozen == 0


async def test_a_job_that_the_ledger_refuses(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    freeze_id = await rpc.freeze("f", 10)
    request = pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="r", freeze_request_id="f")
    await rpc.peer.call(rpc.stub.SmsReleaseFreezeNum, request)
    await rpc.pay("p", freeze_id)
    assert await rpc.work(RELEASE_QUEUE) == ["JOB_OUTCOME_REFUSED"]
    request.request_id = "r2"
    with pytest.raises(DomainError, match="FREEZE_ALREADY_PAID"):
        await rpc.peer.call(rpc.stub.SmsReleaseFreezeNum, request)


async def test_the_sweeps(rpc: Rpc) -> None:
    await rpc.grant("g", 100, hours=3)
    freeze_id = await rpc.freeze("f", 10, hours=1)
    rpc.center.clock.pass_ms(2 * HOUR_MS)
    freezes = pb.ExpireSmsFreezesRequest(freezes_max=10)
    assert (await rpc.peer.call(rpc.jobs.ExpireSmsFreezes, freezes)).freezes == 1
    assert (await rpc.peer.call(rpc.jobs.ExpireSmsFreezes, freezes)).freezes == 0
    request = pb.GetSmsFreezeRequest(brand_id=BRAND, freeze_id=freeze_id)
    freeze = await rpc.peer.call(rpc.stub.GetSmsFreeze, request)
    assert (freeze.state, freeze.released) == (pb.SMS_FREEZE_STATE_EXPIRED, 10)
    rpc.center.clock.pass_ms(2 * HOUR_MS)
    lots = pb.ExpireSmsLotsRequest(accounts_max=10)
    assert (await rpc.peer.call(rpc.jobs.ExpireSmsLots, lots)).accounts == 1
    assert (await rpc.peer.call(rpc.jobs.ExpireSmsLots, lots)).accounts == 0
    assert amounts(await rpc.account()) == (0, 0, 0, 100, 100, 4)


async def test_what_has_expired_is_never_shown_as_available(rpc: Rpc) -> None:
    await rpc.grant("g1", 5, hours=1)
    await rpc.grant("g2", 7, hours=3)
    rpc.center.clock.pass_ms(2 * HOUR_MS)
    assert amounts(await rpc.account())[:4] == (7, 0, 0, 5)
    rpc.center.clock.pass_ms(2 * HOUR_MS)
    lots = await rpc.peer.call(rpc.stub.ListSmsLots, pb.ListSmsLotsRequest(brand_id=BRAND))
    assert not lots.lots
    assert amounts(await rpc.grant("g3", 1))[:4] == (1, 0, 0, 12)


async def test_a_freeze_is_shown_as_it_stands(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    freeze_id = await rpc.freeze("f", 10)
    await rpc.pay("p", freeze_id, 3)
    request = pb.GetSmsFreezeRequest(brand_id=BRAND, freeze_id=freeze_id)
    freeze = await rpc.peer.call(rpc.stub.GetSmsFreeze, request)
    assert (freeze.freeze_id, freeze.request_id, freeze.state) == (freeze_id, "f", pb.SMS_FREEZE_STATE_FROZEN)
    assert (freeze.num, freeze.captured, freeze.released) == (10, 3, 0)
    assert freeze.create_time.ToMilliseconds() == rpc.center.clock.now_ms
    assert freeze.expire_time.ToMilliseconds() == rpc.center.clock.now_ms + 24 * HOUR_MS
    await rpc.pay("p2", freeze_id)
    assert (await rpc.peer.call(rpc.stub.GetSmsFreeze, request)).state == pb.SMS_FREEZE_STATE_PAID


async def test_a_brand_finds_nothing_of_another_brand(rpc: Rpc) -> None:
    await rpc.grant("g", 100)
    freeze_id = await rpc.freeze("f", 10)
    payment_id = await rpc.pay("p", freeze_id, 5)
    other = {"brand_id": OTHER_BRAND, "request_id": "x"}
    get = pb.GetSmsFreezeRequest(brand_id=OTHER_BRAND, freeze_id=freeze_id)
    pay = json_format.ParseDict(other | {"freeze_id": freeze_id}, pb.SmsSendPayRequest())
    failed = json_format.ParseDict(other | {"payment_id": payment_id, "status": 2}, pb.SmsSendStatusCallBackRequest())
    undelivered = json_format.ParseDict(
        other | {"payment_id": payment_id, "message_id": 1, "status": 2, "charged_num": 1},
        pb.SmsReceiptStatusCallBackRequest(),
    )
    call, stub = rpc.peer.call, rpc.stub
    assert (await refusal_of(call(stub.GetSmsFreeze, get))).reason == "FREEZE_NOT_FOUND"
    assert (await refusal_of(call(stub.SmsSendPay, pay))).reason == "FREEZE_NOT_FOUND"
    assert (await refusal_of(call(stub.SmsSendStatusCallBack, failed))).reason == "PAYMENT_NOT_FOUND"
    assert (await refusal_of(call(stub.SmsReceiptStatusCallBack, undelivered))).reason == "PAYMENT_NOT_FOUND"
    assert not (await call(stub.ListSmsLots, pb.ListSmsLotsRequest(brand_id=OTHER_BRAND))).lots


class TestRefusals:
    async def test_too_little_credit_tells_how_much(self, rpc: Rpc) -> None:
        await rpc.grant("g", 3)
        refusal = await refusal_of(rpc.freeze("f", 4))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_CREDIT")
        assert refusal.metadata == {"available": "3", "required": "4"}
        assert not refusal.is_retryable

    async def test_a_used_id_already_exists(self, rpc: Rpc) -> None:
        await rpc.grant("g", 3)
        await rpc.freeze("f", 1)
        refusal = await refusal_of(rpc.freeze("f", 2))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "KEY_REUSED")

    async def test_an_unknown_brand_is_not_found(self, rpc: Rpc) -> None:
        call, stub = rpc.peer.call, rpc.stub
        release = pb.SmsReleaseFreezeNumRequest(brand_id=NOBODY, request_id="r", freeze_request_id="f")
        refused = [
            await refusal_of(rpc.account(NOBODY)),
            await refusal_of(rpc.grant("g", 1, brand_id=NOBODY)),
            await refusal_of(call(stub.SmsReleaseFreezeNum, release)),
            await refusal_of(call(stub.ListSmsLots, pb.ListSmsLotsRequest(brand_id=NOBODY))),
            await refusal_of(call(stub.ListSmsEntries, pb.ListSmsEntriesRequest(brand_id=NOBODY))),
        ]
        assert {(one.code, one.reason) for one in refused} == {(grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")}

    async def test_a_time_that_is_over_or_never_comes_names_its_field(self, rpc: Rpc) -> None:
        for seconds in (1, 253_402_300_800, 1 << 62):
            request = pb.GrantSmsPackageRequest(brand_id=BRAND, request_id=f"g{seconds}", num=1)
            request.expire_time.seconds = seconds
            refusal = await refusal_of(rpc.peer.call(rpc.stub.GrantSmsPackage, request))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_EXPIRE_TIME")
            assert [violation.field for violation in refusal.violations] == ["expire_time"]

    async def test_every_field_that_breaks_the_contract_is_named(self, rpc: Rpc) -> None:
        request = pb.SmsSendPayRequest(brand_id=0, request_id="a b", freeze_id="x-1", num=-1)
        refusal = await refusal_of(rpc.peer.call(rpc.stub.SmsSendPay, request))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert [one.field for one in refusal.violations] == ["brand_id", "request_id", "freeze_id", "num"]
        report = pb.SmsSendStatusCallBackRequest(brand_id=BRAND, request_id="s", payment_id="7-1")
        refusal = await refusal_of(rpc.peer.call(rpc.stub.SmsSendStatusCallBack, report))
        assert [one.field for one in refusal.violations] == ["status"]
