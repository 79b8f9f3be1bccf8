"""Tencent Cloud IM, put together."""

from aiohttp import web

from sandbox.json_http import JsonObject
from sandbox.no_answer import Waiting
from sandbox.txim.accounts import AccountBook, OnlineState
from sandbox.txim.admin import TxImAdmin
from sandbox.txim.api import TxImApi
from sandbox.txim.call_faults import CallFaults
from sandbox.txim.events import ScreenEvents
from sandbox.txim.faults import FAULT_KINDS
from sandbox.txim.feed import Feed
from sandbox.txim.journal import Journal
from sandbox.txim.limits import Limits
from sandbox.txim.page import ScreensPage
from sandbox.txim.platform import Platform
from sandbox.txim.repeats import RepeatMemory
from sandbox.txim.usersig import Gatekeeper
from sandbox.world import World


class TxIm:
    """Tencent Cloud IM as the sandbox's application sees it."""

    name = "txim"
    fault_kinds = FAULT_KINDS

    def __init__(self, world: World) -> None:
        """Build the platform on what every vendor shares."""
        settings = world.settings
        self._platform = _build_platform(world)
        self._stopping = world.stopping
        gatekeeper = Gatekeeper(
            settings.txim_sdkappid, settings.txim_administrator, settings.txim_secret_key.get_secret_value()
        )
        faults = CallFaults(world.board, Waiting(world.stopping, settings.hang_seconds_max))
        self._api = TxImApi(self._platform, gatekeeper, faults)

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's own routes, the admin's, and the screens'."""
        page, events = ScreensPage(self._platform), ScreenEvents(self._platform, self._stopping)
        return [*self._api.routes(), *TxImAdmin(self._platform).routes(), *page.routes(), *events.routes()]

    def stats(self) -> JsonObject:
        """Return everything that is counted."""
        return {**self._api.stats(), **self._platform.stats()}


def _build_platform(world: World) -> Platform:
    settings = world.settings
    return Platform(
        administrator=settings.txim_administrator,
        online_state_field=settings.txim_online_state_field,
        accounts=AccountBook(settings.txim_accounts_max, OnlineState(settings.txim_imported_state)),
        journal=Journal(settings.txim_messages_kept_max),
        repeats=RepeatMemory(settings.txim_repeats_remembered_max),
        limits=Limits(settings.txim_calls_per_second_max, settings.txim_recipients_per_minute_max),
        feed=Feed(settings.txim_pages_max, settings.txim_page_changes_max),
        board=world.board,
    )
