"""The rules of money at the channel, and of messages between services.

Each rule is a function from the world to the breaches of it, a line each, as in `chaos.audit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from chaos.shop_world import ChannelPayment
from chaos.world import World

_TAKEN = "SUCCESS"
_OPEN = "NOTPAY"

_GRANTED = "fulfilled"


def _payments_have_a_business(world: World) -> Iterator[str]:
    """The channel has taken nothing that no service knows, and nothing is still open there."""
    known = {payment.pay_id for payment in world.order_services.payments}
    for payment in world.order_services.channel_payments:
        if payment.pay_id not in known and payment.status == _TAKEN:
            yield f"payment {payment.pay_id} was taken, and is for nothing that there is"
        if payment.status == _OPEN:
            yield f"payment {payment.pay_id} can still be paid, though everything has come to its end"


def _taken_money_is_kept_or_paid_back(world: World) -> Iterator[str]:
    """What the channel has taken is what its business costs less what was paid back there, or all of it went back."""
    at_channel = {payment.pay_id: payment for payment in world.order_services.channel_payments}
    kept = _what_is_kept(world)
    for payment in world.order_services.payments:
        due_fen = kept.get((payment.business, payment.business_id), 0)
        left_fen = _left_fen(at_channel.get(payment.pay_id))
        if left_fen != due_fen:
            name = f"{payment.business} {payment.business_id}"
            yield f"{name} should have {due_fen} fen at the channel, payment {payment.pay_id} has {left_fen}"


def _what_is_paid_was_taken(world: World) -> Iterator[str]:
    """What is paid through the channel has a payment there that was taken."""
    taken = {payment.pay_id for payment in world.order_services.channel_payments if payment.status == _TAKEN}
    paid = {(one.business, one.business_id) for one in world.order_services.payments if one.pay_id in taken}
    for business, business_id in _what_is_kept(world).keys() - paid:
        yield f"{business} {business_id} is paid, and the channel has taken nothing for it"


def _left_fen(payment: ChannelPayment | None) -> int:
    """What the channel has taken and not paid back."""
    return payment.amount_fen - payment.refunded_fen if payment and payment.status == _TAKEN else 0


def _what_is_kept(world: World) -> dict[tuple[str, str], int]:
    """Answer what is kept of the payment of each business that is paid, by the service and its id there."""
    kept: dict[tuple[str, str], int] = {}
    for user in (user for shop in world.order_services.shops for user in shop.users):
        for order in user.orders:
            if order.is_live and order.pay_status == "paid" and order.pay_amount_fen:
                kept["order", order.order_id] = order.pay_amount_fen - order.refunded_at_channel_fen
        for recharge in user.recharges:
            if recharge.status == "paid":
                kept["wallet", recharge.recharge_id] = recharge.amount_fen
    for package in (package for brand in world.brands for package in brand.orders):
        if package.status == _GRANTED:
            kept["sms_package", package.order_id] = package.amount_fen
    return kept


def _messages_are_applied(world: World) -> Iterator[str]:
    yield from world.order_services.messages


PAYMENT_RULES: Mapping[str, Callable[[World], Iterator[str]]] = {
    "a payment is for something, and over": _payments_have_a_business,
    "money that was taken is kept for what is paid, or paid back": _taken_money_is_kept_or_paid_back,
    "what is paid was taken": _what_is_paid_was_taken,
    "messages between services are applied": _messages_are_applied,
}
