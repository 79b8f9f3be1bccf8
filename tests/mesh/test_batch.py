from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
import structlog

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from mesh.batch import unpack
from mesh.batch_method import BatchMethod, copy
from mesh.errors import DomainError

REFUSAL = DomainError(grpc.StatusCode.NOT_FOUND, "FREEZE_NOT_FOUND", "no such freeze", {"freeze_id": "7-1"})


Method = BatchMethod[pb.SmsSendPayRequest, pb.SmsSendPayResponse, pb.SmsSendPayResponse, pb.BatchSmsSendPayResponse]


class Payments:
    """Charges 1, 2, 3 ... credits in the order of the requests; refuses 7-1 and fails on 7-2."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def handle_all(self, requests: Sequence[pb.SmsSendPayRequest]) -> list[pb.SmsSendPayResponse | BaseException]:
        self.calls.append([request.request_id for request in requests])
        special: dict[str, BaseException] = {"7-1": REFUSAL, "7-2": KeyError("password=hunter2")}
        return [
            special.get(request.freeze_id) or pb.SmsSendPayResponse(charged=number)
            for number, request in enumerate(requests, 1)
        ]


@pytest.fixture
def payments() -> Payments:
    return Payments()


@pytest.fixture
def method(payments: Payments) -> Method:
    return BatchMethod(payments.handle_all, copy, pb.BatchSmsSendPayResponse)


def pay(request_id: str, freeze_id: str = "7-9") -> pb.SmsSendPayRequest:
    return pb.SmsSendPayRequest(brand_id=7, request_id=request_id, freeze_id=freeze_id)


async def test_the_unary_form_answers_or_raises(method: Method) -> None:
    assert (await method.one(pay("a"))).charged == 1
    with pytest.raises(DomainError, match="FREEZE_NOT_FOUND"):
        await method.one(pay("b", "7-1"))
    with pytest.raises(KeyError):
        await method.one(pay("c", "7-2"))


async def test_each_item_of_a_batch_gets_its_own_result_in_order(method: Method, payments: Payments) -> None:
    requests = [pay("a"), pay("not valid"), pay("b", "7-1"), pay("c", "nor this"), pay("d", "7-2"), pay("e")]
    with structlog.testing.capture_logs() as logs:
        results = (await method.many(requests)).results
    assert payments.calls == [["a", "b", "d", "e"]]
    assert [line["event"] for line in logs] == ["item of a batch failed"]
    told = [one.reason if isinstance(one, DomainError) else one.charged for one in unpack(results)]
    assert told == [1, "INVALID_REQUEST", "FREEZE_NOT_FOUND", "INVALID_REQUEST", "INTERNAL", 4]
    assert "hunter2" not in str(results)


async def test_a_wrong_item_names_its_field_and_a_refused_one_its_figures(method: Method) -> None:
    wrong, refused = unpack((await method.many([pay(""), pay("b", "7-1")])).results)
    assert isinstance(wrong, DomainError)
    assert {violation.field for violation in wrong.violations} == {"request_id"}
    assert isinstance(refused, DomainError)
    assert (refused.code, refused.metadata) == (REFUSAL.code, REFUSAL.metadata)


async def test_nothing_is_called_for_a_batch_of_wrong_items(method: Method, payments: Payments) -> None:
    assert len((await method.many([pay(""), pay(" ")])).results) == 2
    assert payments.calls == []


async def test_a_refusal_that_many_items_share_is_each_ones_own_result(method: Method) -> None:
    results = (await method.many([pay("a", "7-1"), pay("b"), pay("c", "7-1")])).results
    answers = unpack(results)
    assert [one.reason for one in answers if isinstance(one, DomainError)] == ["FREEZE_NOT_FOUND"] * 2
    results[0].error.message = "changed on the wire"
    assert results[2].error.message != "changed on the wire"


async def test_an_answer_without_any_field_is_a_response(payments: Payments) -> None:
    def write_nothing(answer: pb.SmsSendPayResponse, response: pb.SmsSendPayResponse) -> None:
        pass

    method: Method = BatchMethod(payments.handle_all, write_nothing, pb.BatchSmsSendPayResponse)
    (result,) = (await method.many([pay("a")])).results
    assert result.WhichOneof("outcome") == "response"
