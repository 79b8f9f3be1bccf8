"""What payments have done by the clock: refunds made, payments closed at their channels, and days compared."""

from __future__ import annotations

from collections.abc import Sequence

from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import PaymentJobServiceStub
from mesh.channel import Peer
from mesh.periodic import Periodic

REFUNDS_A_SWEEP = 200
CLOSES_A_SWEEP = 200

PASS_TIMEOUT_SECONDS = 60.0
STATEMENTS_TIMEOUT_SECONDS = 600.0
"""Statements of all channels, and a day's payments."""

RECONCILE_EVERY = 12
"""Sweeps from one look at whether a day is to be compared to the next. One that is done costs a read."""


class PaymentJobs:
    """The payment service, as far as clocks need it. Each call may be made again as it is."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = PaymentJobServiceStub(peer.channel)

    async def make_refunds(self, refunds_max: int) -> int:
        """Have refunds made that are due; answer how many were."""
        request = payment_pb2.MakeRefundsRequest(refunds_max=refunds_max)
        return (await self._peer.call(self._stub.MakeRefunds, request, PASS_TIMEOUT_SECONDS)).made_count

    async def close_payments(self, payments_max: int) -> int:
        """Have payments closed at their channels; answer how many were."""
        request = payment_pb2.ClosePaymentsRequest(payments_max=payments_max)
        return (await self._peer.call(self._stub.ClosePayments, request, PASS_TIMEOUT_SECONDS)).closed_count

    async def reconcile(self) -> int:
        """Have the last day compared that is over; answer how many differences it has."""
        request = payment_pb2.ReconcilePaymentsRequest()
        response = await self._peer.call(self._stub.ReconcilePayments, request, STATEMENTS_TIMEOUT_SECONDS)
        return response.difference_count


def payment_sweeps(payments: PaymentJobs, every_seconds: float) -> Sequence[Periodic]:
    """Refunds and closes that are due, and the last day's reconciliation."""
    return [
        Periodic("make refunds", lambda: payments.make_refunds(REFUNDS_A_SWEEP), every_seconds),
        Periodic("close payments", lambda: payments.close_payments(CLOSES_A_SWEEP), every_seconds),
        Periodic("reconcile payments", payments.reconcile, every_seconds * RECONCILE_EVERY),
    ]
