"""The batch form of each rpc: one result an item, in order, of any brands; a bad item fails alone."""

from __future__ import annotations

import grpc
import pytest

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from costcenter_rpc.jobs import RECEIPT_QUEUE, RELEASE_QUEUE
from mesh.batch import unpack
from mesh.errors import DomainError
from tests.costcenter.harness import BRAND, OTHER_BRAND
from tests.costcenter.rpc import Rpc

NOBODY = 404
ITEMS_MAX = 1000


async def test_freezes(rpc: Rpc) -> None:
    await rpc.grant("g", 10)
    await rpc.grant("g", 10, brand_id=OTHER_BRAND)
    requests = [
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="a", num=6),
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="a b", num=1),
        pb.SmsSendPrePayRequest(brand_id=OTHER_BRAND, request_id="a", num=10),
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="b", num=6),
        pb.SmsSendPrePayRequest(brand_id=NOBODY, request_id="a", num=1),
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="a", num=6),
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="a", num=7),
        pb.SmsSendPrePayRequest(brand_id=BRAND, request_id="c", num=4),
    ]
    answer = await rpc.peer.call(rpc.stub.BatchSmsSendPrePay, pb.BatchSmsSendPrePayRequest(requests=requests))
    results = unpack(answer.results)
    assert [one.reason if isinstance(one, DomainError) else one.freeze_id for one in results] == [
        "7-2", "INVALID_REQUEST", "8-2", "INSUFFICIENT_CREDIT", "ACCOUNT_NOT_FOUND", "7-2", "KEY_REUSED", "7-3",
    ]  # fmt: skip
    refused = results[3]
    assert isinstance(refused, DomainError)
    assert refused.metadata == {"available": "4", "required": "6"}


async def test_charges(rpc: Rpc) -> None:
    await rpc.grant("g", 10)
    freeze_id = await rpc.freeze("f", 10)
    requests = [
        pb.SmsSendPayRequest(brand_id=BRAND, request_id="a", freeze_id=freeze_id, num=4),
        pb.SmsSendPayRequest(brand_id=BRAND, request_id="b", freeze_id="none"),
        pb.SmsSendPayRequest(brand_id=BRAND, request_id="c", freeze_id=freeze_id, num=7),
        pb.SmsSendPayRequest(brand_id=BRAND, request_id="d", freeze_id=freeze_id),
        pb.SmsSendPayRequest(brand_id=BRAND, request_id="e", freeze_id=freeze_id),
        pb.SmsSendPayRequest(brand_id=OTHER_BRAND, request_id="a", freeze_id=freeze_id),
    ]
    answer = await rpc.peer.call(rpc.stub.BatchSmsSendPay, pb.BatchSmsSendPayRequest(requests=requests))
    assert [one.reason if isinstance(one, DomainError) else one.charged for one in unpack(answer.results)] == [
        4, "INVALID_REQUEST", "FREEZE_EXCEEDED", 6, "FREEZE_ALREADY_PAID", "FREEZE_NOT_FOUND",
    ]  # fmt: skip


async def test_releases(rpc: Rpc) -> None:
    await rpc.grant("g", 20)
    await rpc.freeze("f", 10)
    await rpc.pay("p", await rpc.freeze("paid", 10))
    requests = [
        pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="a", freeze_request_id="f", num=4),
        pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="", freeze_request_id="f"),
        pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="b", freeze_request_id="paid"),
        pb.SmsReleaseFreezeNumRequest(brand_id=NOBODY, request_id="a", freeze_request_id="f"),
        pb.SmsReleaseFreezeNumRequest(brand_id=BRAND, request_id="c", freeze_request_id="f"),
    ]
    answer = await rpc.peer.call(
        rpc.stub.BatchSmsReleaseFreezeNum, pb.BatchSmsReleaseFreezeNumRequest(requests=requests)
    )
    assert [one.reason if isinstance(one, DomainError) else "" for one in unpack(answer.results)] == [
        "", "INVALID_REQUEST", "FREEZE_ALREADY_PAID", "ACCOUNT_NOT_FOUND", "",
    ]  # fmt: skip
    assert await rpc.work(RELEASE_QUEUE) == ["JOB_OUTCOME_APPLIED"] * 2
    assert (await rpc.account()).available == 10


async def test_reports(rpc: Rpc) -> None:
    await rpc.grant("g", 10)
    payment_id = await rpc.pay("p", await rpc.freeze("f", 10))
    failed = pb.SMS_SEND_STATUS_FAILED

    def report(request_id: str, payment_id: str, **message: int) -> pb.SmsSendStatusCallBackRequest:
        return pb.SmsSendStatusCallBackRequest(
            brand_id=BRAND, request_id=request_id, payment_id=payment_id, status=failed, **message
        )

    requests = [
        report("a", payment_id, message_id=1, num=2),
        report("b", payment_id, message_id=-1, num=2),
        report("c", "7-999", message_id=1, num=2),
        report("d", payment_id, message_id=2, num=3),
        report("a", payment_id, message_id=1, num=2),
    ]
    answer = await rpc.peer.call(
        rpc.stub.BatchSmsSendStatusCallBack, pb.BatchSmsSendStatusCallBackRequest(requests=requests)
    )
    assert [one.reason if isinstance(one, DomainError) else one.refunded for one in unpack(answer.results)] == [
        2, "INVALID_REQUEST", "PAYMENT_NOT_FOUND", 3, 2,
    ]  # fmt: skip
    assert (await rpc.account()).spent == 5


async def test_receipts(rpc: Rpc) -> None:
    await rpc.grant("g", 10)
    payment_id = await rpc.pay("p", await rpc.freeze("f", 10))

    def receipt(request_id: str, payment_id: str, message_id: int) -> pb.SmsReceiptStatusCallBackRequest:
        return pb.SmsReceiptStatusCallBackRequest(
            brand_id=BRAND,
            request_id=request_id,
            payment_id=payment_id,
            message_id=message_id,
            status=pb.SMS_RECEIPT_STATUS_UNDELIVERED,
            charged_num=1,
        )

    requests = [receipt("a", payment_id, 1), receipt("b", payment_id, 0), receipt("c", "7-999", 1)]
    requests += [receipt("d", payment_id, 2), receipt("a", payment_id, 1)]
    answer = await rpc.peer.call(
        rpc.stub.BatchSmsReceiptStatusCallBack, pb.BatchSmsReceiptStatusCallBackRequest(requests=requests)
    )
    assert [one.reason if isinstance(one, DomainError) else "" for one in unpack(answer.results)] == [
        "", "INVALID_REQUEST", "PAYMENT_NOT_FOUND", "", "",
    ]  # fmt: skip
    assert await rpc.work(RECEIPT_QUEUE) == ["JOB_OUTCOME_APPLIED"] * 2
    assert (await rpc.account()).spent == 8


@pytest.mark.parametrize("count", [0, ITEMS_MAX + 1])
async def test_a_batch_of_a_wrong_size_is_refused_whole(rpc: Rpc, count: int) -> None:
    requests = [pb.SmsSendPrePayRequest(brand_id=BRAND, request_id=f"f{number}", num=1) for number in range(count)]
    with pytest.raises(DomainError) as refusal:
        await rpc.peer.call(rpc.stub.BatchSmsSendPrePay, pb.BatchSmsSendPrePayRequest(requests=requests))
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [violation.field for violation in refusal.value.violations] == ["requests"]


async def test_a_full_batch_is_done(rpc: Rpc) -> None:
    await rpc.grant("g", ITEMS_MAX)
    requests = [pb.SmsSendPrePayRequest(brand_id=BRAND, request_id=f"f{number}", num=1) for number in range(ITEMS_MAX)]
    answer = await rpc.peer.call(rpc.stub.BatchSmsSendPrePay, pb.BatchSmsSendPrePayRequest(requests=requests))
    assert [result.response.freeze_id for result in answer.results] == [f"7-{seq}" for seq in range(2, ITEMS_MAX + 2)]
