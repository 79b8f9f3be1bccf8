"""The service against a plain statement of what may become of an order, on drawn sequences of events."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brandmesh.smspackage.v1 import sms_package_pb2 as pb
from mesh.errors import DomainError
from tests.order.payment.channel import notification
from tests.order.sms_package.harness import BRAND, Shop, paid_at_channel
from tests.order.sms_package.refusals import reason_of

CREDITS = 1_000
EVENTS = ["open", "notify", "wrong amount", "wrong sign", "cancel", "run out", "grant", "republish"]


@dataclass
class Model:
    """What an order and its payment should be, and how much it should have brought. Messages arrive at once."""

    order: str = "CREATED"
    payment: str = ""
    is_overdue: bool = False
    granted: int = 0

    def open(self) -> str:
        if self.order != "CREATED" or self.is_overdue:
            return "ORDER_NOT_PAYABLE"
        self.payment = "PENDING"
        return ""

    def notify(self) -> str:
        if not self.payment:
            return "PAYMENT_NOT_FOUND"
        if self.order == "CANCELLED":
            # The payment service gives it back, without a word.
            return ""
        self.payment = "PAID"
        self.order = "PAID" if self.order == "CREATED" else self.order
        return ""

    def wrong_amount(self) -> str:
        return "PAYMENT_AMOUNT_WRONG" if self.payment else "PAYMENT_NOT_FOUND"

    def wrong_sign(self) -> str:
        return "PAYMENT_SIGNATURE_WRONG"

    def cancel(self) -> str:
        if self.order in {"PAID", "FULFILLED"}:
            return "ORDER_NOT_CANCELLABLE"
        self.order = "CANCELLED"
        self.payment = "CLOSED" if self.payment == "PENDING" else self.payment
        return ""

    def run_out(self) -> str:
        self.is_overdue = True
        if self.order == "CREATED":
            self.cancel()
        return ""

    def grant(self) -> str:
        if self.order == "PAID":
            self.order = "FULFILLED"
            self.granted = CREDITS
        return ""

    def republish(self) -> str:
        return ""


@dataclass
class Real:
    """The same order at the service."""

    shop: Shop
    order: pb.Order

    async def open(self) -> None:
        await self.shop.open(self.order)
        await self.shop.deliver()

    async def _notify(self, **changes: str) -> None:
        payment = (await self.shop.get(self.order)).payment
        payment.payment_id = payment.payment_id or "1"
        payment.amount_fen = self.order.amount_fen
        await self.shop.notify(paid_at_channel(payment, **changes))

    async def notify(self) -> None:
        await self._notify()

    async def wrong_amount(self) -> None:
        await self._notify(amount="1")

    async def wrong_sign(self) -> None:
        await self.shop.notify(notification("1", 1, secret="wrong"))

    async def cancel(self) -> None:
        await self.shop.cancel(self.order)
        await self.shop.deliver()

    async def run_out(self) -> None:
        await self.shop.run_out(self.order)
        await self.shop.cancel_overdue()
        await self.shop.deliver()

    async def grant(self) -> None:
        await self.shop.grant()

    async def republish(self) -> None:
        await self.shop.lose_message(self.order)
        await self.shop.publish()
        await self.shop.deliver()


# Each example orders for a brand of its own, so that they can share one shop.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=10))
async def test_any_sequence_of_events_ends_as_it_should(shop: Shop, events: list[str]) -> None:
    order = await shop.create(brand_id=BRAND + next(shop.numbers))
    model, real = Model(), Real(shop, order)
    for event in events:
        name = event.replace(" ", "_")
        expected = getattr(model, name)()
        assert await reason_of(getattr(real, name)) == expected, event
        now = await shop.get(order)
        assert pb.OrderStatus.Name(now.status) == f"ORDER_STATUS_{model.order}", event
        payment = pb.PaymentStatus.Name(now.payment.status).removeprefix("PAYMENT_STATUS_")
        assert payment == (model.payment or "UNSPECIFIED"), event
        assert await granted(shop, order.brand_id) == model.granted, event


async def granted(shop: Shop, brand_id: int) -> int:
    """Credits of a brand; none without an account."""
    try:
        return (await shop.account(brand_id)).granted
    except DomainError as error:
        assert error.reason == "ACCOUNT_NOT_FOUND"  # noqa: PT017  # no account is one of two right answers
        return 0
