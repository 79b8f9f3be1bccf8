"""Proto in, one call, proto out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import FlashSaleJobServiceServicer, FlashSaleServiceServicer
from mesh.batch_method import BatchMethod, copy
from mesh.money import to_fen, to_yuan
from mesh.pages import PageRequest
from mesh.timestamps import to_ms, to_timestamp
from order_rpc.flash_sale.buying import Buying
from order_rpc.flash_sale.domain import Attempt, AttemptStatus, Buyer, FlashSale, Wanted
from order_rpc.flash_sale.outcomes import Outcomes
from order_rpc.flash_sale.repair import Repair
from order_rpc.flash_sale.service import Description, FlashSales

Context = Any
"""grpc.aio's context, which no method here reads."""


class FlashSaleServicer(FlashSaleServiceServicer):
    """What apps call."""

    def __init__(self, sales: FlashSales, buying: Buying) -> None:
        self._sales = sales
        self._buying = buying
        self._buy = BatchMethod(self._buy_all, copy, pb.BatchBuyFlashSaleResponse)

    async def CreateFlashSale(self, request: pb.CreateFlashSaleRequest, context: Context) -> pb.CreateFlashSaleResponse:
        sale = await self._sales.create(
            request.brand_id, int(request.user_id), request.request_id, _description(request)
        )
        return pb.CreateFlashSaleResponse(flash_sale=_sale(sale))

    async def UpdateFlashSale(self, request: pb.UpdateFlashSaleRequest, context: Context) -> pb.UpdateFlashSaleResponse:
        sale = await self._sales.update(
            request.brand_id, int(request.user_id), int(request.flash_sale_id), _description(request)
        )
        return pb.UpdateFlashSaleResponse(flash_sale=_sale(sale))

    async def GetFlashSale(self, request: pb.GetFlashSaleRequest, context: Context) -> pb.GetFlashSaleResponse:
        sale = await self._sales.get(request.brand_id, int(request.flash_sale_id))
        return pb.GetFlashSaleResponse(flash_sale=_sale(sale))

    async def ListFlashSales(self, request: pb.ListFlashSalesRequest, context: Context) -> pb.ListFlashSalesResponse:
        page = await self._sales.list(
            request.brand_id, PageRequest.of(request.page_size, request.page_token), open_only=request.open_only
        )
        return pb.ListFlashSalesResponse(
            flash_sales=[_sale(one) for one in page.flash_sales], next_page_token=page.next_page_token
        )

    async def BuyFlashSale(self, request: pb.BuyFlashSaleRequest, context: Context) -> pb.BuyFlashSaleResponse:
        return await self._buy.one(request)

    async def BatchBuyFlashSale(
        self, request: pb.BatchBuyFlashSaleRequest, context: Context
    ) -> pb.BatchBuyFlashSaleResponse:
        return await self._buy.many(request.requests)

    async def GetAttempt(self, request: pb.GetAttemptRequest, context: Context) -> pb.GetAttemptResponse:
        found = await self._sales.get_attempt(_buyer(request), int(request.attempt_id))
        return pb.GetAttemptResponse(attempt=_attempt(found))

    async def ListAttempts(self, request: pb.ListAttemptsRequest, context: Context) -> pb.ListAttemptsResponse:
        page = await self._sales.list_attempts(_buyer(request), PageRequest.of(request.page_size, request.page_token))
        return pb.ListAttemptsResponse(
            attempts=[_attempt(one) for one in page.attempts], next_page_token=page.next_page_token
        )

    async def _buy_all(
        self, requests: Sequence[pb.BuyFlashSaleRequest]
    ) -> Sequence[pb.BuyFlashSaleResponse | BaseException]:
        answers = await self._buying.buy_all([_wanted(request) for request in requests])
        return [pb.BuyFlashSaleResponse(attempt=_attempt(one)) if isinstance(one, Attempt) else one for one in answers]


class FlashSaleJobServicer(FlashSaleJobServiceServicer):
    """What order_rmq calls by the clock."""

    def __init__(self, repair: Repair, outcomes: Outcomes) -> None:
        self._repair = repair
        self._outcomes = outcomes

    async def RepairAdmissions(
        self, request: pb.RepairAdmissionsRequest, context: Context
    ) -> pb.RepairAdmissionsResponse:
        return pb.RepairAdmissionsResponse(repaired_count=await self._repair.run(request.flash_sales_max))

    async def CancelOverdueAttempts(
        self, request: pb.CancelOverdueAttemptsRequest, context: Context
    ) -> pb.CancelOverdueAttemptsResponse:
        count = await self._outcomes.cancel_overdue(request.attempts_max)
        return pb.CancelOverdueAttemptsResponse(cancelled_count=count)


def _description(request: pb.CreateFlashSaleRequest | pb.UpdateFlashSaleRequest) -> Description:
    return Description(
        goods_name=request.goods_name,
        goods_desc=request.goods_desc,
        price_fen=to_fen(request.price, "price"),
        goods_number=request.goods_number,
        per_user_limit=request.per_user_limit or 1,
        start_time_ms=to_ms(request.start_time),
        end_time_ms=to_ms(request.end_time),
        notify_email=request.notify_email,
    )


def _buyer(request: pb.GetAttemptRequest | pb.ListAttemptsRequest) -> Buyer:
    return Buyer(request.brand_id, int(request.user_id), int(request.flash_sale_id))


def _wanted(request: pb.BuyFlashSaleRequest) -> Wanted:
    return Wanted(
        request.brand_id,
        int(request.flash_sale_id),
        int(request.user_id),
        request.request_id,
        request.address,
        request.consignee,
    )


def _sale(sale: FlashSale) -> pb.FlashSale:
    return pb.FlashSale(
        flash_sale_id=str(sale.flash_sale_id),
        brand_id=sale.brand_id,
        seller_id=str(sale.seller_id),
        goods_name=sale.goods_name,
        goods_desc=sale.goods_desc,
        price=to_yuan(sale.price_fen),
        goods_number=sale.goods_number,
        left_number=sale.left_number,
        per_user_limit=sale.per_user_limit,
        start_time=to_timestamp(sale.start_time_ms),
        end_time=to_timestamp(sale.end_time_ms),
        add_time=to_timestamp(sale.add_time_ms),
    )


def _attempt(attempt: Attempt) -> pb.Attempt:
    is_sold = attempt.status is AttemptStatus.SOLD
    return pb.Attempt(
        attempt_id=str(attempt.attempt_id),
        flash_sale_id=str(attempt.flash_sale_id),
        user_id=str(attempt.user_id),
        status=pb.AttemptStatus.Value(f"ATTEMPT_STATUS_{attempt.status.name}"),
        order_id=str(attempt.order_id) if is_sold else "",
        price=to_yuan(attempt.price_fen),
        add_time=to_timestamp(attempt.add_time_ms),
        finish_time=to_timestamp(attempt.finish_time_ms),
    )
