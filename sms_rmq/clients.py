"""The two services that sms_rmq works for, in its own words. Calls made at the same moment travel as one batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brandmesh.costcenter.v1 import costcenter_pb2
from brandmesh.costcenter.v1.costcenter_pb2_grpc import CostCenterServiceStub
from brandmesh.sms.v1 import sms_pb2
from brandmesh.sms.v1.sms_pb2_grpc import SmsDispatchServiceStub
from mesh.batch import unpack
from mesh.channel import Peer
from mesh.coalesce import Coalescer, own
from mesh.errors import DomainError
from mesh.poison import handle_apart
from mesh.timestamps import by_our_clock

_BATCH_MAX = 500
_PENDING_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Leases:
    """Who claims, and for how long."""

    consumer: str
    claim_seconds: int
    submit_seconds: int


@dataclass(frozen=True, slots=True)
class Paces:
    """The least time between two calls of one kind, before the provider has a message and after it."""

    before_sending_seconds: float
    after_sending_seconds: float


class SmsDispatches:
    """SmsDispatchService."""

    def __init__(self, peer: Peer, leases: Leases, paces: Paces, clock: Callable[[], float] = time.time) -> None:
        self._peer = peer
        self._stub = SmsDispatchServiceStub(peer.channel)
        self._leases = leases
        self._clock = clock
        self._claims: Coalescer[int, sms_pb2.Dispatch | None] = Coalescer(
            self._claim_singles,
            name="claiming dispatches",
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            pace_seconds=paces.before_sending_seconds,
        )
        # Apart, because one of a chunk moves up to 1,000 records: a single one would wait for those of its call.
        self._charges, self._chunk_charges = (
            Coalescer[sms_pb2.DispatchCharge, bool](
                self._record_charges,
                name=name,
                batch_max=_BATCH_MAX,
                pending_max=_PENDING_MAX,
                pace_seconds=paces.before_sending_seconds,
            )
            for name in ("recording charges", "recording charges of chunks")
        )
        self._submissions: Coalescer[sms_pb2.DispatchSubmission, None] = Coalescer(
            self._record_submissions,
            name="recording submissions",
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            pace_seconds=paces.after_sending_seconds,
        )
        self._finishes: Coalescer[int, None] = Coalescer(
            self._finish,
            name="finishing dispatches",
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            pace_seconds=paces.after_sending_seconds,
        )

    @property
    def submit_seconds(self) -> int:
        """How long a dispatch is held for its submission once its charge is recorded."""
        return self._leases.submit_seconds

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        for coalescer in (self._claims, self._charges, self._chunk_charges, self._submissions, self._finishes):
            await coalescer.close()

    async def claim(self, dispatch_ids: Sequence[int]) -> list[sms_pb2.Dispatch]:
        """Lease dispatches; those that others hold or that are done are left out."""
        return await self._claim(dispatch_ids)

    async def claim_singles(self, dispatch_ids: Sequence[int]) -> list[sms_pb2.Dispatch]:
        """Lease dispatches of one recipient each, in one call with what other queues ask for."""
        claimed = await self._claims.submit_all(dispatch_ids)
        for one in claimed:
            if isinstance(one, BaseException):
                raise own(one)
        return [one for one in claimed if isinstance(one, sms_pb2.Dispatch)]

    async def record_charge(self, dispatch: sms_pb2.Dispatch) -> bool:
        """Note a dispatch's payment; answer whether the dispatch is still ours, and may be submitted now."""
        charge = sms_pb2.DispatchCharge(dispatch_id=dispatch.dispatch_id, payment_id=dispatch.payment_id)
        is_single = dispatch.mode == sms_pb2.SMS_MODE_SINGLE
        return await (self._charges if is_single else self._chunk_charges).submit(charge)

    async def record_submission(self, submission: sms_pb2.DispatchSubmission) -> None:
        """Note an outcome."""
        await self._submissions.submit(submission)

    async def finish(self, dispatch_id: int) -> None:
        """Close a dispatch that the cost center has heard of."""
        await self._finishes.submit(dispatch_id)

    async def record_receipts(self, receipts: Sequence[sms_pb2.SmsReceipt]) -> list[sms_pb2.RecordedReceipt]:
        """Note receipts; answer what each did, in order."""
        request = sms_pb2.RecordReceiptsRequest(receipts=receipts)
        return list((await self._peer.call(self._stub.RecordReceipts, request)).receipts)

    async def record_uplinks(self, uplinks: Sequence[sms_pb2.SmsUplink]) -> None:
        """Note messages from handsets."""
        await self._peer.call(self._stub.RecordUplinks, sms_pb2.RecordUplinksRequest(uplinks=uplinks))

    async def sweep(self, dispatches_max: int) -> None:
        """Have what is overdue taken up again."""
        request = sms_pb2.SweepDispatchesRequest(dispatches_max=dispatches_max)
        await self._peer.call(self._stub.SweepDispatches, request)

    async def _claim_singles(self, dispatch_ids: Sequence[int]) -> list[sms_pb2.Dispatch | None]:
        claimed = {dispatch.dispatch_id: dispatch for dispatch in await self._claim(dispatch_ids)}
        return [claimed.get(dispatch_id) for dispatch_id in dispatch_ids]

    async def _claim(self, dispatch_ids: Sequence[int]) -> list[sms_pb2.Dispatch]:
        request = sms_pb2.ClaimDispatchesRequest(
            dispatch_ids=dispatch_ids, consumer=self._leases.consumer, lease_seconds=self._leases.claim_seconds
        )
        response = await self._peer.call(self._stub.ClaimDispatches, request)
        now_ms = int(self._clock() * 1000)
        for dispatch in response.dispatches:
            expires_at_ms = by_our_clock(dispatch.expire_time, response.claim_time, now_ms)
            dispatch.expire_time.FromMilliseconds(expires_at_ms)
        return list(response.dispatches)

    async def _record_charges(self, charges: Sequence[sms_pb2.DispatchCharge]) -> list[bool]:
        request = sms_pb2.RecordChargesRequest(
            consumer=self._leases.consumer, charges=charges, lease_seconds=self._leases.submit_seconds
        )
        held = set((await self._peer.call(self._stub.RecordCharges, request)).dispatch_ids)
        return [charge.dispatch_id in held for charge in charges]

    async def _record_submissions(
        self, submissions: Sequence[sms_pb2.DispatchSubmission]
    ) -> Sequence[BaseException | None]:
        # They hold a provider's words: what the database takes one of them ill for is no other's fault.
        return await handle_apart(self._record_together, submissions, lambda error: error)

    async def _record_together(self, submissions: Sequence[sms_pb2.DispatchSubmission]) -> list[Exception | None]:
        request = sms_pb2.RecordSubmissionsRequest(consumer=self._leases.consumer, submissions=submissions)
        await self._peer.call(self._stub.RecordSubmissions, request)
        return [None] * len(submissions)

    async def _finish(self, dispatch_ids: Sequence[int]) -> list[None]:
        await self._peer.call(self._stub.FinishDispatches, sms_pb2.FinishDispatchesRequest(dispatch_ids=dispatch_ids))
        return [None] * len(dispatch_ids)


class CostCenter:
    """CostCenterService, for what happens to a send."""

    def __init__(self, peer: Peer, paces: Paces) -> None:
        self._peer = peer
        self._stub = CostCenterServiceStub(peer.channel)
        self._payments: Coalescer[costcenter_pb2.SmsSendPayRequest, str] = Coalescer(
            self._pay_all,
            name="paying",
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            pace_seconds=paces.before_sending_seconds,
        )
        self._reports: Coalescer[costcenter_pb2.SmsSendStatusCallBackRequest, None] = Coalescer(
            self._report_all,
            name="reporting",
            batch_max=_BATCH_MAX,
            pending_max=_PENDING_MAX,
            pace_seconds=paces.after_sending_seconds,
        )

    async def aclose(self) -> None:
        """Take nothing more, and finish what was taken."""
        await self._payments.close()
        await self._reports.close()

    async def pay(self, request: costcenter_pb2.SmsSendPayRequest) -> str:
        """Charge a freeze or a part of it; answer the payment."""
        return await self._payments.submit(request)

    async def report(self, request: costcenter_pb2.SmsSendStatusCallBackRequest) -> None:
        """Tell what the provider answered."""
        await self._reports.submit(request)

    async def release(self, request: costcenter_pb2.SmsReleaseFreezeNumRequest) -> None:
        """Give frozen credits back."""
        await self._peer.call(self._stub.SmsReleaseFreezeNum, request)

    async def report_receipts(
        self, requests: Sequence[costcenter_pb2.SmsReceiptStatusCallBackRequest]
    ) -> list[DomainError | None]:
        """Tell what the carrier reported; answer each refusal, in order."""
        if not requests:
            return []
        batch = costcenter_pb2.BatchSmsReceiptStatusCallBackRequest(requests=requests)
        response = await self._peer.call(self._stub.BatchSmsReceiptStatusCallBack, batch)
        return [one if isinstance(one, DomainError) else None for one in unpack(response.results)]

    async def _pay_all(self, requests: Sequence[costcenter_pb2.SmsSendPayRequest]) -> list[str | BaseException]:
        batch = costcenter_pb2.BatchSmsSendPayRequest(requests=requests)
        response = await self._peer.call(self._stub.BatchSmsSendPay, batch)
        return [one if isinstance(one, DomainError) else one.payment_id for one in unpack(response.results)]

    async def _report_all(
        self, requests: Sequence[costcenter_pb2.SmsSendStatusCallBackRequest]
    ) -> list[BaseException | None]:
        batch = costcenter_pb2.BatchSmsSendStatusCallBackRequest(requests=requests)
        response = await self._peer.call(self._stub.BatchSmsSendStatusCallBack, batch)
        return [one if isinstance(one, DomainError) else None for one in unpack(response.results)]
