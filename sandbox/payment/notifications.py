"""Telling the merchant that a payment was made, until the merchant says {"code":"SUCCESS"} with HTTP 200."""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass

from sandbox.delivery import DeliveryQueue
from sandbox.faults import FaultBoard
from sandbox.json_http import JsonObject
from sandbox.payment.faults import DuplicateNotify, LateNotify, NoNotify, UnknownOrder, WrongAmount, WrongSign
from sandbox.payment.payments import Payment
from sandbox.payment.signature import sign
from sandbox.push import Pusher
from sandbox.settings import Settings


@dataclass(slots=True)
class NotificationCounts:
    """What became of notifications: attempts made, taken by the merchant, given up."""

    attempts: int = 0
    acknowledged: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class Telling:
    """What an attempt says of a payment, with the faults of the moment."""

    payment: Payment
    out_trade_no: str
    amount: int
    is_wrongly_signed: bool


Write = Callable[[Telling], tuple[bytes, dict[str, str]]]
"""How a channel says it: the body and its headers."""


class Notifier:
    """Notifies the merchant of payments, as they are or as the faults of the moment have them."""

    def __init__(
        self,
        settings: Settings,
        *,
        board: FaultBoard,
        queue: DeliveryQueue,
        pusher: Pusher,
        default_target: Callable[[], str],
        write: Write,
    ) -> None:
        """Take the address for payments that name none as a function: it may change at run time."""
        self._write = write
        self._settings = settings
        self._board = board
        self._queue = queue
        self._pusher = pusher
        self._default_target = default_target
        self.counts = NotificationCounts()

    def announce(self, payment: Payment) -> None:
        """Notify of a payment that was just made."""
        merchant = payment.order.merchant_id
        if self._board.draw(NoNotify, merchant):
            return
        late = self._board.draw(LateNotify, merchant)
        duplicate = self._board.draw(DuplicateNotify, merchant)
        for _ in range(duplicate.copies if duplicate else 1):
            delivery = _NotificationDelivery(self, payment, self._settings)
            self._queue.schedule(delivery, late.delay_seconds if late else 0.0)

    def stats(self) -> dict[str, int]:
        """Return the counts as JSON."""
        return asdict(self.counts)

    async def notify(self, payment: Payment) -> bool:
        """Make one attempt; whether the merchant took it. Without an address the attempt fails."""
        target = payment.order.notify_url or self._default_target()
        if not target:
            return False
        body, headers = self._write(self._tell(payment))
        push = await self._pusher.post_bytes(target, body, headers)
        payment.notifications.append(push)
        self.counts.attempts += 1
        acknowledged = push.says("code", "SUCCESS")
        self.counts.acknowledged += acknowledged
        return acknowledged

    def _tell(self, payment: Payment) -> Telling:
        merchant = payment.order.merchant_id
        amount = self._board.draw(WrongAmount, merchant)
        unknown = self._board.draw(UnknownOrder, merchant)
        return Telling(
            payment,
            f"unknown-{payment.trade_no}" if unknown else payment.order.out_trade_no,
            payment.order.amount + (amount.difference if amount else 0),
            self._board.draw(WrongSign, merchant) is not None,
        )


def write_flat(secret: str, telling: Telling) -> tuple[bytes, dict[str, str]]:
    """Write a notification as flat signed JSON."""
    payment = telling.payment
    body: JsonObject = {
        "merchantId": payment.order.merchant_id,
        "tradeNo": payment.trade_no,
        "outTradeNo": telling.out_trade_no,
        "amount": telling.amount,
        "status": payment.status,
        "paidAt": payment.paid_at_ms,
        "nonce": secrets.token_hex(16),
    }
    signature = sign(f"not {secret}" if telling.is_wrongly_signed else secret, body)
    written = json.dumps({**body, "sign": signature}, ensure_ascii=False).encode()
    return written, {"Content-Type": "application/json"}


class _NotificationDelivery:
    """The attempts of one notification, each wait twice the one before, up to a bound."""

    def __init__(self, notifier: Notifier, payment: Payment, settings: Settings) -> None:
        self._notifier = notifier
        self._payment = payment
        self._attempts_left = settings.payment_notify_attempts
        self._backoff_seconds = settings.payment_notify_backoff_seconds
        self._backoff_seconds_max = settings.payment_notify_backoff_seconds_max

    async def attempt(self) -> float | None:
        """Notify once; None when it was taken or the attempts are used up."""
        if await self._notifier.notify(self._payment):
            return None
        self._attempts_left -= 1
        if not self._attempts_left:
            self.abandon()
            return None
        wait_seconds = min(self._backoff_seconds, self._backoff_seconds_max)
        self._backoff_seconds = wait_seconds * 2
        return wait_seconds

    def abandon(self) -> None:
        """Give up: the merchant has to query."""
        self._notifier.counts.abandoned += 1
