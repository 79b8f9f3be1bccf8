"""What flash sales have done by the clock: who admits buyers is compared with the rows, and what hangs is given up."""

from __future__ import annotations

from collections.abc import Sequence

from brandmesh.flashsale.v1 import flash_sale_pb2
from brandmesh.flashsale.v1.flash_sale_pb2_grpc import FlashSaleJobServiceStub
from mesh.channel import Peer
from mesh.periodic import Periodic
from order_rmq.clients import SWEEP_TIMEOUT_SECONDS

REPAIRED_A_SWEEP = 200
CANCELLED_A_SWEEP = 500


class FlashSaleJobs:
    """The service of flash sales, as far as the clock needs it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = FlashSaleJobServiceStub(peer.channel)

    async def repair(self) -> int:
        """Have some flash sales compared and repaired; answer how many had to be."""
        request = flash_sale_pb2.RepairAdmissionsRequest(flash_sales_max=REPAIRED_A_SWEEP)
        return (await self._peer.call(self._stub.RepairAdmissions, request, SWEEP_TIMEOUT_SECONDS)).repaired_count

    async def cancel_overdue(self) -> int:
        """Have attempts given up whose coins were not heard of; answer how many."""
        request = flash_sale_pb2.CancelOverdueAttemptsRequest(attempts_max=CANCELLED_A_SWEEP)
        response = await self._peer.call(self._stub.CancelOverdueAttempts, request, SWEEP_TIMEOUT_SECONDS)
        return response.cancelled_count


def flash_sale_sweeps(jobs: FlashSaleJobs, every_seconds: float) -> Sequence[Periodic]:
    """What has drifted apart, and what is overdue."""
    return [
        Periodic("repair flash sales", jobs.repair, every_seconds),
        Periodic("cancel overdue attempts", jobs.cancel_overdue, every_seconds),
    ]
