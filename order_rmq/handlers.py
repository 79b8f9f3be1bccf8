"""Granting what was paid: read the orders, grant in the cost center, record the lots.

The grant happens once, by its request_id; a crash after it is made up for when the message, or the order's event in
the outbox, comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh import telemetry
from mesh.bus.id_messages import read_ids
from mesh.bus.port import Delivery
from mesh.errors import DomainError
from mesh.worker import Dead, Done, Outcome, Retry
from order_rmq.clients import CostCenter, OrderJobs, PaidOrder

GRANTS_AT_ONCE = 16

log = telemetry.logger()


class PaidOrders:
    """Handles messages that name paid orders."""

    def __init__(self, orders: OrderJobs, cost_center: CostCenter) -> None:
        self._orders = orders
        self._cost_center = cost_center
        self._turns = asyncio.Semaphore(GRANTS_AT_ONCE)

    async def handle(self, _: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Grant the orders of up to 10 messages. A message whose orders are not all granted comes again."""
        ids = [_read(delivery) for delivery in deliveries]
        wanted = sorted({order_id for some in ids if not isinstance(some, Dead) for order_id in some})
        failures = await self._grant_all(wanted) if wanted else {}
        return [some if isinstance(some, Dead) else _outcome(some, failures) for some in ids]

    async def _grant_all(self, order_ids: Sequence[int]) -> dict[int, DomainError]:
        """Grant those of the orders that wait for it; answer why orders could not be granted."""
        paid = await self._orders.paid_orders(order_ids)
        async with asyncio.TaskGroup() as tasks:
            grants = {order.order_id: tasks.create_task(self._try_grant(order)) for order in paid}
        answers = {order_id: grant.result() for order_id, grant in grants.items()}
        lots = {order_id: answer for order_id, answer in answers.items() if isinstance(answer, str)}
        if lots:
            await self._orders.record_grants(lots)
        return {order_id: answer for order_id, answer in answers.items() if isinstance(answer, DomainError)}

    async def _try_grant(self, order: PaidOrder) -> str | DomainError:
        async with self._turns:
            try:
                lot_id = await self._grant(order)
            except DomainError as error:
                _alert(order, error)
                return error
        log.info("granted", order_id=order.order_id, brand_id=order.brand_id, lot_id=lot_id, credits=order.credits)
        return lot_id

    async def _grant(self, order: PaidOrder) -> str:
        try:
            return await self._cost_center.grant(order)
        except DomainError as error:
            if error.reason != "ACCOUNT_NOT_FOUND":
                raise
        # The brand's first package: it was paid for, so the brand gets its account.
        await self._cost_center.open_account(order.brand_id)
        return await self._cost_center.grant(order)


def _alert(order: PaidOrder, error: DomainError) -> None:
    """Call for somebody when no repeat will help: the money was taken."""
    if not error.is_retryable:
        log.error("paid order refused", order_id=order.order_id, brand_id=order.brand_id, error=str(error))


def _read(delivery: Delivery) -> list[int] | Dead:
    try:
        return read_ids(delivery.body)
    except ValueError as error:
        return Dead(f"cannot be read: {error}")


def _outcome(order_ids: Sequence[int], failures: dict[int, DomainError]) -> Outcome:
    failed = next((order_id for order_id in order_ids if order_id in failures), None)
    return Done() if failed is None else Retry(f"order {failed}: {failures[failed]}")
