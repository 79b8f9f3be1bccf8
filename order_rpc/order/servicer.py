"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any

from brandmesh.order.v1 import order_pb2 as pb
from brandmesh.order.v1.order_pb2_grpc import OrderJobServiceServicer, OrderServiceServicer
from mesh.errors import invalid_field
from mesh.ids import IdAllocator
from mesh.money import to_fen, to_yuan
from mesh.pages import PageRequest
from mesh.timestamps import to_timestamp
from order_rpc.order.book import WholeOrder
from order_rpc.order.cancelling import Cancelling
from order_rpc.order.domain import OrderLine, OrderRequest, WantedLine
from order_rpc.order.placing import Placing
from order_rpc.order.service import Orders, Owner

Context = Any
"""grpc.aio's context, which no method here reads."""


class OrderServicer(OrderServiceServicer):
    """What apps call."""

    def __init__(self, placing: Placing, orders: Orders) -> None:
        self._placing = placing
        self._orders = orders

    async def CreateOrder(self, request: pb.CreateOrderRequest, context: Context) -> pb.CreateOrderResponse:
        return pb.CreateOrderResponse(order=_order(await self._placing.place(_wanted(request))))

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        return pb.GetOrderResponse(order=_order(await self._orders.get(_buyer(request), int(request.order_id))))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        page = await self._orders.list(_buyer(request), PageRequest.of(request.page_size, request.page_token))
        return pb.ListOrdersResponse(orders=[_order(one) for one in page.orders], next_page_token=page.next_page_token)

    async def PayOrder(self, request: pb.PayOrderRequest, context: Context) -> pb.PayOrderResponse:
        opened = await self._orders.pay(_buyer(request), int(request.order_id), request.channel)
        order = await self._orders.get(_buyer(request), int(request.order_id))
        return pb.PayOrderResponse(order=_order(order), pay_id=opened.pay_id, pay_url=opened.pay_url)

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        return pb.CancelOrderResponse(order=_order(await self._orders.cancel(_buyer(request), int(request.order_id))))

    async def RefundOrder(self, request: pb.RefundOrderRequest, context: Context) -> pb.RefundOrderResponse:
        amount_fen = to_fen(request.refund_amount, "refund_amount")
        order = await self._orders.refund(_buyer(request), int(request.order_id), request.request_id, amount_fen)
        return pb.RefundOrderResponse(order=_order(order))

    async def ShipOrder(self, request: pb.ShipOrderRequest, context: Context) -> pb.ShipOrderResponse:
        return pb.ShipOrderResponse(order=_order(await self._orders.ship(_buyer(request), int(request.order_id))))

    async def ConfirmReceipt(self, request: pb.ConfirmReceiptRequest, context: Context) -> pb.ConfirmReceiptResponse:
        order = await self._orders.receive(_buyer(request), int(request.order_id))
        return pb.ConfirmReceiptResponse(order=_order(order))

    async def RemindShipping(self, request: pb.RemindShippingRequest, context: Context) -> pb.RemindShippingResponse:
        order = await self._orders.remind(_buyer(request), int(request.order_id))
        return pb.RemindShippingResponse(order=_order(order))

    async def ListSales(self, request: pb.ListSalesRequest, context: Context) -> pb.ListSalesResponse:
        page = await self._orders.list(_seller(request), PageRequest.of(request.page_size, request.page_token))
        return pb.ListSalesResponse(orders=[_order(one) for one in page.orders], next_page_token=page.next_page_token)

    async def ShipSale(self, request: pb.ShipSaleRequest, context: Context) -> pb.ShipSaleResponse:
        return pb.ShipSaleResponse(order=_order(await self._orders.ship(_seller(request), int(request.order_id))))

    async def ListOrderEvents(self, request: pb.ListOrderEventsRequest, context: Context) -> pb.ListOrderEventsResponse:
        steps = await self._orders.steps(_buyer(request), int(request.order_id))
        events = [
            pb.OrderEvent(event=step.event, remark=step.remark, event_time=to_timestamp(step.event_time_ms))
            for step in steps
        ]
        return pb.ListOrderEventsResponse(events=events)


class OrderJobServicer(OrderJobServiceServicer):
    """What order_rmq and other services call."""

    def __init__(self, cancelling: Cancelling, ids: IdAllocator) -> None:
        self._cancelling = cancelling
        self._ids = ids

    async def CancelOverdueOrders(
        self, request: pb.CancelOverdueOrdersRequest, context: Context
    ) -> pb.CancelOverdueOrdersResponse:
        count = await self._cancelling.cancel_overdue(request.orders_max)
        return pb.CancelOverdueOrdersResponse(cancelled_count=count)

    async def AllocateOrderIds(
        self, request: pb.AllocateOrderIdsRequest, context: Context
    ) -> pb.AllocateOrderIdsResponse:
        return pb.AllocateOrderIdsResponse(first_order_id=await self._ids.allocate(request.count))


def _buyer(request: Any) -> Owner:
    return Owner(request.brand_id, buyer_id=_user_id(request))


def _seller(request: Any) -> Owner:
    return Owner(request.brand_id, seller_id=_user_id(request))


def _user_id(request: Any) -> int:
    """Read who asks. No user is 0, which in an order says that the brand sells."""
    user_id = int(request.user_id)
    if not user_id:
        raise invalid_field("user_id", "must be the id of a user, above 0")
    return user_id


def _wanted(request: pb.CreateOrderRequest) -> OrderRequest:
    lines = tuple(
        WantedLine(int(one.goods_id), one.goods_number, to_fen(one.goods_price, f"lines[{position}].goods_price"))
        for position, one in enumerate(request.lines)
    )
    return OrderRequest(
        brand_id=request.brand_id,
        user_id=_user_id(request),
        request_id=request.request_id,
        lines=lines,
        shipping_fee_fen=to_fen(request.shipping_fee, "shipping_fee"),
        order_amount_fen=to_fen(request.order_amount, "order_amount"),
        coupon_id=int(request.coupon_id or 0),
        money_paid_fen=to_fen(request.money_paid or "0", "money_paid"),
        address=request.address,
        consignee=request.consignee,
        from_cart=request.from_cart,
    )


def _order(whole: WholeOrder) -> pb.Order:
    order, lines = whole
    return pb.Order(
        order_id=str(order.order_id),
        user_id=str(order.user_id),
        seller_id=str(order.seller_id or ""),
        order_status=pb.OrderStatus.Value(f"ORDER_STATUS_{order.order_status.name}"),
        pay_status=pb.PayStatus.Value(f"PAY_STATUS_{order.pay_status.name}"),
        shipping_status=pb.ShippingStatus.Value(f"SHIPPING_STATUS_{order.shipping_status.name}"),
        address=order.address,
        consignee=order.consignee,
        lines=[_line(line) for line in lines],
        goods_amount=to_yuan(order.goods_amount_fen),
        shipping_fee=to_yuan(order.shipping_fee_fen),
        order_amount=to_yuan(order.order_amount_fen),
        coupon_id=str(order.coupon_id or ""),
        coupon_paid=to_yuan(order.coupon_paid_fen),
        money_paid=to_yuan(order.money_paid_fen),
        pay_amount=to_yuan(order.pay_amount_fen),
        refunded_amount=to_yuan(order.refunded_fen),
        add_time=to_timestamp(order.add_time_ms),
        confirm_time=to_timestamp(order.confirm_time_ms),
        pay_time=to_timestamp(order.pay_time_ms),
        expire_time=to_timestamp(order.expire_time_ms),
        cancel_reason=order.cancel_reason,
    )


def _line(line: OrderLine) -> pb.OrderLine:
    return pb.OrderLine(
        goods_id=str(line.goods_id or ""),
        goods_name=line.goods_name,
        goods_number=line.goods_number,
        goods_price=to_yuan(line.goods_price_fen),
    )
