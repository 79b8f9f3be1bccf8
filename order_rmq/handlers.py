"""Granting what was paid: read the orders, grant in the cost center, record the lots, settle the messages.

The grant happens once, by its request_id; a crash after it is made up for when the message comes again, by itself or
from its row at the service of SMS packages.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from brandmesh.messaging.v1 import messaging_pb2
from mesh import telemetry
from mesh.bus.port import Delivery
from mesh.errors import DomainError
from mesh.forwarding import Forwarding, read_message
from mesh.worker import Dead, Done, Outcome, Retry
from order_rmq.clients import CostCenter, OrderJobs, PaidOrder

GRANTS_AT_ONCE = 16

_ORDER_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)

log = telemetry.logger()


class PaidOrders:
    """Handles messages that name paid orders."""

    def __init__(self, orders: OrderJobs, cost_center: CostCenter, forwarding: Forwarding) -> None:
        self._orders = orders
        self._cost_center = cost_center
        self._forwarding = forwarding
        self._turns = asyncio.Semaphore(GRANTS_AT_ONCE)

    async def handle(self, _: str, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Grant the orders of messages, one each. A message whose order is not granted comes again."""
        read = [_read(delivery) for delivery in deliveries]
        paid = [one for one in read if not isinstance(one, Dead)]
        failures = await self._grant_all(sorted({one.order_id for one in paid})) if paid else {}
        await self._forwarding.settle([one.message for one in paid if one.order_id not in failures])
        return [one if isinstance(one, Dead) else _outcome(one.order_id, failures) for one in read]

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


@dataclass(frozen=True, slots=True)
class _Paid:
    """A message, and the order that it names."""

    message: messaging_pb2.Message
    order_id: int


def _read(delivery: Delivery) -> _Paid | Dead:
    message = read_message(delivery)
    if isinstance(message, Dead):
        return message
    if not _ORDER_ID.fullmatch(message.msg_key):
        return Dead(f"names no order: {message.msg_key[:100]!r}")
    return _Paid(message, int(message.msg_key))


def _outcome(order_id: int, failures: dict[int, DomainError]) -> Outcome:
    return Retry(f"order {order_id}: {failures[order_id]}") if order_id in failures else Done()
