"""Telling the merchant that a payment was made, until the merchant says {"code":"SUCCESS"} with HTTP 200."""

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


class Notifier:
    """Notifies the merchant of payments, as they are or as the faults of the moment have them."""

    def __init__(
        self,
        settings: Settings,
        board: FaultBoard,
        queue: DeliveryQueue,
        pusher: Pusher,
        default_target: Callable[[], str],
    ) -> None:
        """Take the address for payments that name none as a function: it may change at run time."""
        self._settings = settings
        self._board = board
        self._queue = queue
        self._pusher = pusher
        self._default_target = default_target
        self.counts = NotificationCounts()

    def announce(self, payment: Payment) -> None:
        """Notify of a payment that was just made."""
        merchant = payment.request.merchant_id
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
        target = payment.request.notify_url or self._default_target()
        if not target:
            return False
        push = await self._pusher.post(target, self._write(payment))
        payment.notifications.append(push)
        self.counts.attempts += 1
        acknowledged = push.says("code", "SUCCESS")
        self.counts.acknowledged += acknowledged
        return acknowledged

    def _write(self, payment: Payment) -> JsonObject:
        merchant = payment.request.merchant_id
        amount = self._board.draw(WrongAmount, merchant)
        unknown = self._board.draw(UnknownOrder, merchant)
        body: JsonObject = {
            "merchantId": merchant,
            "tradeNo": payment.trade_no,
            "outTradeNo": f"unknown-{payment.trade_no}" if unknown else payment.request.out_trade_no,
            "amount": payment.request.amount + (amount.difference if amount else 0),
            "status": payment.status,
            "paidAt": payment.paid_at_ms,
            "nonce": secrets.token_hex(16),
        }
        secret = self._settings.payment_secret.get_secret_value()
        wrong_sign = self._board.draw(WrongSign, merchant)
        return {**body, "sign": sign(f"not {secret}" if wrong_sign else secret, body)}


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
