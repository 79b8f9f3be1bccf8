"""Proto in, one call, proto out."""

from __future__ import annotations

from typing import Any

from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageJobServiceServicer, SmsPackageServiceServicer
from mesh.errors import invalid_field
from mesh.pages import PageRequest
from mesh.timestamps import to_timestamp
from order_rpc.plain_text import read_name
from order_rpc.sms_package.cancelling import Cancelling
from order_rpc.sms_package.domain import Order, Package
from order_rpc.sms_package.grants import Grants
from order_rpc.sms_package.payments import OrderPayments
from order_rpc.sms_package.service import Orders

Context = Any
"""grpc.aio's context, which no method here reads."""


class OrderServicer(SmsPackageServiceServicer):
    """What apps call."""

    def __init__(self, orders: Orders, payments: OrderPayments) -> None:
        self._orders = orders
        self._payments = payments

    async def CreateOrder(self, request: pb.CreateOrderRequest, context: Context) -> pb.CreateOrderResponse:
        order = await self._orders.create(
            request.brand_id, request.request_id, read_name(request.package_id, "package_id"), request.quantity or 1
        )
        return pb.CreateOrderResponse(order=_order(order))

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        return pb.GetOrderResponse(order=_order(await self._orders.get(request.brand_id, int(request.order_id))))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        page = await self._orders.list(request.brand_id, PageRequest.of(request.page_size, request.page_token))
        return pb.ListOrdersResponse(
            orders=[_order(order) for order in page.orders], next_page_token=page.next_page_token
        )

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Context) -> pb.CreatePaymentResponse:
        order = await self._payments.open(request.brand_id, int(request.order_id))
        return pb.CreatePaymentResponse(payment=_payment(order))

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: Context) -> pb.CancelOrderResponse:
        return pb.CancelOrderResponse(order=_order(await self._orders.cancel(request.brand_id, int(request.order_id))))

    async def ListPackages(self, request: pb.ListPackagesRequest, context: Context) -> pb.ListPackagesResponse:
        packages = await self._orders.list_packages()
        return pb.ListPackagesResponse(packages=[_package(package) for package in packages])

    async def PutPackage(self, request: pb.PutPackageRequest, context: Context) -> pb.PutPackageResponse:
        title = read_name(request.title, "title")
        package = Package(request.package_id, title, request.credits, request.price_fen, request.valid_days)
        return pb.PutPackageResponse(package=_package(await self._orders.put_package(package)))


class OrderJobServicer(SmsPackageJobServiceServicer):
    """What order_rmq calls."""

    def __init__(self, grants: Grants, cancelling: Cancelling) -> None:
        self._grants = grants
        self._cancelling = cancelling

    async def GetPaidOrders(self, request: pb.GetPaidOrdersRequest, context: Context) -> pb.GetPaidOrdersResponse:
        orders = await self._grants.paid_orders(request.order_ids)
        return pb.GetPaidOrdersResponse(orders=[_paid_order(order) for order in orders])

    async def RecordGrants(self, request: pb.RecordGrantsRequest, context: Context) -> pb.RecordGrantsResponse:
        lots = {grant.order_id: grant.lot_id for grant in request.grants}
        if len(lots) < len(request.grants):
            raise invalid_field("grants", "names an order more than once")
        await self._grants.record(lots)
        return pb.RecordGrantsResponse()

    async def CancelOverdueOrders(
        self, request: pb.CancelOverdueOrdersRequest, context: Context
    ) -> pb.CancelOverdueOrdersResponse:
        return pb.CancelOverdueOrdersResponse(cancelled_count=await self._cancelling.cancel_overdue(request.orders_max))


def _order(order: Order) -> pb.Order:
    return pb.Order(
        order_id=str(order.order_id),
        brand_id=order.brand_id,
        status=pb.OrderStatus.Value(f"ORDER_STATUS_{order.status}"),
        package=_package(order.package),
        quantity=order.quantity,
        amount_fen=order.amount_fen,
        payment=_payment(order) if order.payment.pay_id else None,
        create_time=to_timestamp(order.created_at_ms),
        expire_time=to_timestamp(order.expires_at_ms),
        lot_id=order.lot_id,
    )


def _payment(order: Order) -> pb.Payment:
    payment = order.payment
    return pb.Payment(
        payment_id=str(payment.pay_id),
        status=pb.PaymentStatus.Value(f"PAYMENT_STATUS_{payment.status}"),
        amount_fen=order.amount_fen,
        trade_no=payment.trade_no,
        pay_url=payment.pay_url,
        pay_time=to_timestamp(payment.pay_time_ms),
    )


def _package(package: Package) -> pb.Package:
    return pb.Package(
        package_id=package.package_id,
        title=package.title,
        credits=package.credits,
        price_fen=package.price_fen,
        valid_days=package.valid_days,
    )


def _paid_order(order: Order) -> pb.PaidOrder:
    return pb.PaidOrder(
        order_id=order.order_id,
        brand_id=order.brand_id,
        credits=order.credits,
        expire_time=to_timestamp(order.credits_expire_at_ms),
    )
