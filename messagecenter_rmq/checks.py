"""What may have changed since a call was made: looked at when it is sent, account by account, by small functions.

Each answers why a record is not sent, or None. A new check is a function, and a place in `CHECKS`. What they look at
comes with the claim, so it is as it was a moment before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from brandmesh.messagecenter.v1.messagecenter_pb2 import ImDelivery, ImRecipient
from mesh.timestamps import to_ms

Check: TypeAlias = Callable[[ImDelivery, ImRecipient, int], str | None]
"""Takes the delivery, the recipient and the time in milliseconds; answers why not, as UPPER_SNAKE, or None."""

EXPIRED = "EXPIRED"


def call_cancelled(delivery: ImDelivery, _recipient: ImRecipient, _now_ms: int) -> str | None:
    return "CALL_CANCELLED" if delivery.call_cancelled else None


def expired(delivery: ImDelivery, _recipient: ImRecipient, now_ms: int) -> str | None:
    return EXPIRED if now_ms > to_ms(delivery.expire_time) else None


def switched_off(delivery: ImDelivery, _recipient: ImRecipient, _now_ms: int) -> str | None:
    return "SWITCHED_OFF" if delivery.switched_off else None


def quiet_hours(delivery: ImDelivery, _recipient: ImRecipient, _now_ms: int) -> str | None:
    return "QUIET_HOURS" if delivery.quiet else None


def device_gone(_delivery: ImDelivery, recipient: ImRecipient, _now_ms: int) -> str | None:
    return "DEVICE_GONE" if recipient.device_gone else None


def device_moved(_delivery: ImDelivery, recipient: ImRecipient, _now_ms: int) -> str | None:
    return "DEVICE_MOVED" if recipient.device_moved else None


def technician_clocked_off(_delivery: ImDelivery, recipient: ImRecipient, _now_ms: int) -> str | None:
    return "TECHNICIAN_CLOCKED_OFF" if recipient.technician_clocked_off else None


CHECKS: tuple[Check, ...] = (
    call_cancelled,
    expired,
    switched_off,
    quiet_hours,
    device_gone,
    device_moved,
    technician_clocked_off,
)
"""In the order in which they are asked: the first that answers gives the reason."""


def reason_to_skip(delivery: ImDelivery, recipient: ImRecipient, now_ms: int) -> str | None:
    """Answer why a record is not to be sent now, or None."""
    return next((reason for check in CHECKS if (reason := check(delivery, recipient, now_ms)) is not None), None)
