"""The payment channel, put together."""

from functools import partial

from aiohttp import web

from sandbox.json_http import JsonObject
from sandbox.payment.api import PaymentApi
from sandbox.payment.calls import Calls, refuse_flat
from sandbox.payment.faults import FAULT_KINDS
from sandbox.payment.notifications import Notifier, write_flat
from sandbox.payment.pages import PayerPages
from sandbox.payment.payments import PaymentBook
from sandbox.world import World


class PaymentChannel:
    """The payment channel as the sandbox's application sees it."""

    name = "payment"
    fault_kinds = FAULT_KINDS

    def __init__(self, world: World) -> None:
        """Build the channel on what every vendor shares."""
        settings, targets, board = world.settings, world.targets, world.board
        self._book = PaymentBook(settings.payments_kept_max, "/pay")
        write = partial(write_flat, settings.payment_secret.get_secret_value())
        self._notifier = Notifier(
            settings,
            board=board,
            queue=world.queue,
            pusher=world.pusher,
            default_target=lambda: targets.payment_notify_url,
            write=write,
        )
        calls = Calls(board, settings.payment_merchant_id, refuse_flat)
        self._api = PaymentApi(settings, self._book, board, calls)
        self._pages = PayerPages(
            "/pay", "/admin/payments", book=self._book, notifier=self._notifier, board=board, calls=calls
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the channel's routes."""
        return [*self._api.routes(), *self._pages.routes()]

    def stats(self) -> JsonObject:
        """Return everything that is counted."""
        return {
            "payments": self._book.count(),
            "refunds": self._book.count_refunds(),
            "notifications": self._notifier.stats(),
        }
