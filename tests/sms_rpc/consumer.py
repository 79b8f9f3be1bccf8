"""A consumer step by step: each method is one call of SmsDispatchService."""

from __future__ import annotations

from dataclasses import dataclass

from brandmesh.sms.v1 import sms_pb2 as pb
from tests.sms_rpc.harness import SmsMesh, ids_of, phone

LEASE_SECONDS = 30
PAYMENT_ID = "7-3"
PROVIDER_MESSAGE_ID = "26112115004712345"


@dataclass
class Consumer:
    """One consumer of sms_rpc's dispatches. What it says of payments is its own: it asks no cost center."""

    mesh: SmsMesh
    name: str = "first-consumer"

    async def claim(self, *dispatch_ids: int) -> list[pb.Dispatch]:
        request = pb.ClaimDispatchesRequest(dispatch_ids=dispatch_ids, consumer=self.name, lease_seconds=LEASE_SECONDS)
        return list((await self.mesh.sms_peer.call(self.mesh.dispatches.ClaimDispatches, request)).dispatches)

    async def charge(self, *dispatch_ids: int, payment_id: str = PAYMENT_ID) -> list[int]:
        charges = [pb.DispatchCharge(dispatch_id=one, payment_id=payment_id) for one in dispatch_ids]
        request = pb.RecordChargesRequest(consumer=self.name, charges=charges, lease_seconds=LEASE_SECONDS)
        return list((await self.mesh.sms_peer.call(self.mesh.dispatches.RecordCharges, request)).dispatch_ids)

    async def record(
        self, dispatch_id: int, outcome: pb.DispatchOutcome.ValueType, reason: str = "", retry_after_seconds: int = 0
    ) -> None:
        is_submitted = outcome == pb.DISPATCH_OUTCOME_SUBMITTED
        submission = pb.DispatchSubmission(
            dispatch_id=dispatch_id,
            outcome=outcome,
            provider_message_id=PROVIDER_MESSAGE_ID if is_submitted else "",
            reason=reason,
            retry_after_seconds=retry_after_seconds,
        )
        request = pb.RecordSubmissionsRequest(consumer=self.name, submissions=[submission])
        await self.mesh.sms_peer.call(self.mesh.dispatches.RecordSubmissions, request)

    async def finish(self, *dispatch_ids: int) -> None:
        request = pb.FinishDispatchesRequest(dispatch_ids=dispatch_ids)
        await self.mesh.sms_peer.call(self.mesh.dispatches.FinishDispatches, request)

    # The first steps of a way, each from the beginning.

    async def claimed(self, *phones: str) -> int:
        """Send a message to each phone, and claim their dispatch."""
        dispatch_id = ids_of(await self.mesh.send(*(phones or [phone(1)])))[0]
        assert len(await self.claim(dispatch_id)) == 1
        return dispatch_id

    async def charged(self, *phones: str) -> int:
        dispatch_id = await self.claimed(*phones)
        assert await self.charge(dispatch_id) == [dispatch_id]
        return dispatch_id

    async def submitted(self, *phones: str) -> int:
        dispatch_id = await self.charged(*phones)
        await self.record(dispatch_id, pb.DISPATCH_OUTCOME_SUBMITTED)
        return dispatch_id

    async def unknown(self, *phones: str) -> int:
        dispatch_id = await self.charged(*phones)
        await self.record(dispatch_id, pb.DISPATCH_OUTCOME_UNKNOWN, "ANSWER_LOST")
        return dispatch_id
