"""The peers in this service's words. Each call may raise DomainError, and may be made again as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import SmsPackageJobServiceStub
from mesh.channel import Peer
from mesh.timestamps import to_ms, to_timestamp


@dataclass(frozen=True, slots=True)
class PaidOrder:
    """What a paid order brings: so many credits for its brand, until `expires_at_ms`."""

    order_id: int
    brand_id: int
    credits: int
    expires_at_ms: int


class OrderJobs:
    """The service of SMS packages, as far as its queue needs it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = SmsPackageJobServiceStub(peer.channel)

    async def paid_orders(self, order_ids: Sequence[int]) -> list[PaidOrder]:
        """Answer those of up to 1,000 orders that are paid and not granted."""
        request = sms_package_pb2.GetPaidOrdersRequest(order_ids=order_ids)
        response = await self._peer.call(self._stub.GetPaidOrders, request)
        return [
            PaidOrder(order.order_id, order.brand_id, order.credits, to_ms(order.expire_time))
            for order in response.orders
        ]

    async def record_grants(self, lots: Mapping[int, str]) -> None:
        """Record up to 1,000 grants as order_id -> lot_id."""
        grants = [sms_package_pb2.OrderGrant(order_id=order_id, lot_id=lot_id) for order_id, lot_id in lots.items()]
        await self._peer.call(self._stub.RecordGrants, sms_package_pb2.RecordGrantsRequest(grants=grants))


class CostCenter:
    """costcenter_rpc, as far as packages need it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = CostCenterServiceStub(peer.channel)

    async def grant(self, order: PaidOrder) -> str:
        """Add the credits of an order to its brand, once; answer the lot."""
        name = f"order/{order.order_id}"
        request = costcenter_pb2.GrantSmsPackageRequest(
            brand_id=order.brand_id,
            request_id=name,
            num=order.credits,
            expire_time=to_timestamp(order.expires_at_ms),
            reference=name,
        )
        return (await self._peer.call(self._stub.GrantSmsPackage, request)).lot_id

    async def open_account(self, brand_id: int) -> None:
        """Open the account of a brand that has none."""
        await self._peer.call(self._stub.OpenSmsAccount, costcenter_pb2.OpenSmsAccountRequest(brand_id=brand_id))
