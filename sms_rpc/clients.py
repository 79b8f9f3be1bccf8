"""The cost center, in the words of this service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from mesh.batch import unpack
from mesh.channel import Peer
from mesh.errors import DomainError
from mesh.timestamps import to_timestamp


@dataclass(frozen=True, slots=True)
class FreezeOrder:
    """Credits to freeze for one request."""

    brand_id: int
    request_id: str
    num: int
    expires_at_ms: int
    reference: str


class CostCenter:
    """Freezes and releases credits."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = CostCenterServiceStub(peer.channel)

    async def freeze_all(self, orders: Sequence[FreezeOrder]) -> list[str | DomainError]:
        """Freeze for many requests in one call; answer each order number, or why it is refused."""
        if not orders:
            return []
        request = pb.BatchSmsSendPrePayRequest(
            requests=[
                pb.SmsSendPrePayRequest(
                    brand_id=order.brand_id,
                    request_id=order.request_id,
                    num=order.num,
                    expire_time=to_timestamp(order.expires_at_ms),
                    reference=order.reference,
                )
                for order in orders
            ]
        )
        response = await self._peer.call(self._stub.BatchSmsSendPrePay, request)
        return [one if isinstance(one, DomainError) else one.freeze_id for one in unpack(response.results)]

    async def release(self, brand_id: int, request_id: str, freeze_request_id: str, num: int = 0) -> None:
        """Give `num` frozen credits back, or all that are left. Stored by the cost center before this returns."""
        await self.release_all(brand_id, freeze_request_id, {request_id: num})

    async def release_all(self, brand_id: int, freeze_request_id: str, nums: Mapping[str, int]) -> None:
        """Give several parts of one freeze back, as credits by request id. Raises the first refusal."""
        if not nums:
            return
        request = pb.BatchSmsReleaseFreezeNumRequest(
            requests=[
                pb.SmsReleaseFreezeNumRequest(
                    brand_id=brand_id, request_id=request_id, freeze_request_id=freeze_request_id, num=num
                )
                for request_id, num in nums.items()
            ]
        )
        response = await self._peer.call(self._stub.BatchSmsReleaseFreezeNum, request)
        for one in unpack(response.results):
            if isinstance(one, DomainError):
                raise one
