"""The SMS provider, put together."""

from collections.abc import Callable

from aiohttp import web

from sandbox.chuanglan.accounts import AccountBook
from sandbox.chuanglan.admin import ChuangLanAdmin
from sandbox.chuanglan.api import ChuangLanApi
from sandbox.chuanglan.call_faults import CallFaults
from sandbox.chuanglan.duplicates import DuplicateCounter
from sandbox.chuanglan.faults import FAULT_KINDS
from sandbox.chuanglan.journal import Journal
from sandbox.chuanglan.notices import NoticeDesk
from sandbox.chuanglan.page import HandsetPage
from sandbox.chuanglan.platform import Platform
from sandbox.chuanglan.receipts import Receipt, ReceiptWriter
from sandbox.chuanglan.uplinks import Uplink
from sandbox.json_http import JsonObject
from sandbox.no_answer import Waiting
from sandbox.world import World


class ChuangLan:
    """The SMS provider as the sandbox's application sees it."""

    name = "chuanglan"
    fault_kinds = FAULT_KINDS

    def __init__(self, world: World) -> None:
        """Build the provider on what every vendor shares."""
        settings, targets = world.settings, world.targets
        own = {each.account: each for each in settings.chuanglan_accounts}
        self._platform = _build_platform(
            world,
            lambda account: own[account].receipt_url or targets.chuanglan_receipt_url,
            lambda account: own[account].uplink_url or targets.chuanglan_uplink_url,
        )
        self._api = ChuangLanApi(
            self._platform, CallFaults(world.board, Waiting(world.stopping, settings.hang_seconds_max))
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's own routes, the admin's, and the page."""
        admin, page = ChuangLanAdmin(self._platform), HandsetPage(self._platform.journal)
        return [*self._api.routes(), *admin.routes(), *page.routes()]

    def stats(self) -> JsonObject:
        """Return everything that is counted."""
        return {**self._api.stats(), **self._platform.stats()}


def _build_platform(
    world: World, receipt_target: Callable[[str], str], uplink_target: Callable[[str], str]
) -> Platform:
    settings = world.settings
    receipts = NoticeDesk[Receipt](settings, world.queue, world.pusher, receipt_target)
    return Platform(
        accounts=AccountBook(settings.chuanglan_accounts),
        journal=Journal(settings.chuanglan_messages_kept_max),
        duplicates=DuplicateCounter(settings.chuanglan_duplicate_keys_max),
        receipts=receipts,
        receipt_writer=ReceiptWriter(receipts, world.board, settings.chuanglan_receipt_delay_seconds),
        uplinks=NoticeDesk[Uplink](settings, world.queue, world.pusher, uplink_target),
        board=world.board,
        sensitive_words=settings.chuanglan_sensitive_words,
    )
