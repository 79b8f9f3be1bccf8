"""The two services that messagecenter_rmq works for, in its own words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from brandmesh.messagecenter.v1 import messagecenter_pb2 as pb
from brandmesh.messagecenter.v1.messagecenter_pb2_grpc import ImRecordServiceStub
from brandmesh.txim.v1 import txim_pb2
from brandmesh.txim.v1.txim_pb2_grpc import TxImServiceStub
from mesh.channel import Peer
from mesh.coalesce import Coalescer, own
from mesh.timestamps import by_our_clock

_OUTCOMES_A_CALL = 500
_PENDING_MAX = 100_000


class ImRecords:
    """ImRecordService. Outcomes that are recorded at the same moment travel as one batch."""

    def __init__(self, peer: Peer, consumer: str, lease_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self._peer = peer
        self._stub = ImRecordServiceStub(peer.channel)
        self._consumer = consumer
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._outcomes: Coalescer[pb.ImRecordOutcome, None] = Coalescer(
            self._record, name="recording outcomes", batch_max=_OUTCOMES_A_CALL, pending_max=_PENDING_MAX
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._outcomes.close()

    async def claim(self, record_ids: Sequence[int]) -> list[pb.ImDelivery]:
        """Lease up to 1,000 records; those that others hold or that are done are left out."""
        request = pb.ClaimImRecordsRequest(
            record_ids=record_ids, consumer=self._consumer, lease_seconds=self._lease_seconds
        )
        response = await self._peer.call(self._stub.ClaimImRecords, request)
        now_ms = int(self._clock() * 1000)
        for delivery in response.deliveries:
            delivery.expire_time.FromMilliseconds(by_our_clock(delivery.expire_time, response.claim_time, now_ms))
        return list(response.deliveries)

    async def record(self, outcomes: Sequence[pb.ImRecordOutcome]) -> None:
        """Note outcomes. Raises DomainError when not all are noted; noting them again is harmless."""
        for answer in await self._outcomes.submit_all(outcomes):
            if answer is not None:
                raise own(answer)

    async def sweep(self, records_max: int) -> int:
        """Have what is overdue put on its queue again; answer how much was."""
        request = pb.SweepImRecordsRequest(records_max=records_max)
        return (await self._peer.call(self._stub.SweepImRecords, request)).published_count

    async def _record(self, outcomes: Sequence[pb.ImRecordOutcome]) -> list[None]:
        request = pb.RecordImOutcomesRequest(consumer=self._consumer, outcomes=outcomes)
        await self._peer.call(self._stub.RecordImOutcomes, request)
        return [None] * len(outcomes)


class TxIm:
    """TxImService, for what is sent."""

    def __init__(self, peer: Peer, timeout_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._peer = peer
        self._stub = TxImServiceStub(peer.channel)
        self._timeout_seconds = timeout_seconds
        self._clock = clock

    async def send(
        self, accounts: Sequence[txim_pb2.ImAccount], message: txim_pb2.ImMessage
    ) -> Sequence[txim_pb2.SendResult]:
        """Send a message to accounts in one call; answer one result an account, in order. Raises DomainError."""
        message.request_time.FromMilliseconds(int(self._clock() * 1000))
        if len(accounts) == 1:
            single = txim_pb2.SendMsgRequest(to=accounts[0], message=message)
            return [(await self._peer.call(self._stub.SendMsg, single, self._timeout_seconds)).result]
        batch = txim_pb2.BatchSendMsgRequest(to=accounts, message=message)
        return (await self._peer.call(self._stub.BatchSendMsg, batch, self._timeout_seconds)).results
