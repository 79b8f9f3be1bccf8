"""The payment channel, put together."""

from aiohttp import web

from sandbox.json_http import JsonObject
from sandbox.payment.api import PaymentApi
from sandbox.payment.faults import FAULT_KINDS
from sandbox.payment.notifications import Notifier
from sandbox.payment.payments import PaymentBook
from sandbox.world import World


class PaymentChannel:
    """The payment channel as the sandbox's application sees it."""

    name = "payment"
    fault_kinds = FAULT_KINDS

    def __init__(self, world: World) -> None:
        """Build the channel on what every vendor shares."""
        settings, targets = world.settings, world.targets
        self._book = PaymentBook(settings.payments_kept_max)
        self._notifier = Notifier(settings, world.board, world.queue, world.pusher, lambda: targets.payment_notify_url)
        self._api = PaymentApi(settings, self._book, self._notifier)

    def routes(self) -> list[web.RouteDef]:
        """Return the channel's routes."""
        return self._api.routes()

    def stats(self) -> JsonObject:
        """Return everything that is counted."""
        return {"payments": self._book.count(), "notifications": self._notifier.stats()}
