"""The cost center's jobs, in the words of this process."""

from __future__ import annotations

from collections.abc import Sequence

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterJobServiceStub
from mesh.channel import Peer

BATCH_MAX = 1000
JOBS_MAX = 200
"""Jobs of one call: more, and the cost center would do nothing else for some 20 ms."""


class CostCenterJobs:
    """CostCenterJobService."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = CostCenterJobServiceStub(peer.channel)

    async def apply(self, job_ids: Sequence[int]) -> list[bool]:
        """Apply stored jobs; answer for each, in order, whether it is settled. The others come again later."""
        request = pb.ApplyJobsRequest(job_ids=job_ids)
        outcomes = (await self._peer.call(self._stub.ApplyJobs, request)).outcomes
        return [outcome != pb.JOB_OUTCOME_RETRY for outcome in outcomes]

    async def replay(self, older_than_seconds: int) -> pb.ReplayJobsResponse:
        """Put jobs whose queue message was lost back on their queue."""
        return await self._peer.call(self._stub.ReplayJobs, pb.ReplayJobsRequest(older_than_seconds=older_than_seconds))

    async def expire_freezes(self) -> None:
        """Release all freezes past their time."""
        request = pb.ExpireSmsFreezesRequest(freezes_max=BATCH_MAX)
        while (await self._peer.call(self._stub.ExpireSmsFreezes, request)).freezes == BATCH_MAX:
            pass

    async def expire_lots(self) -> None:
        """Write off all expired packages."""
        request = pb.ExpireSmsLotsRequest(accounts_max=BATCH_MAX)
        while (await self._peer.call(self._stub.ExpireSmsLots, request)).accounts == BATCH_MAX:
            pass
