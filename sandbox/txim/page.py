"""GET /txim: what every device shows, live."""

import base64
import hashlib
import heapq
from collections.abc import Iterable
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from sandbox.txim.accounts import Account
from sandbox.txim.assets import SCRIPT, STYLE
from sandbox.txim.cards import render_card
from sandbox.txim.groups import GROUPS, OTHER, Group, group_of, sort_key
from sandbox.txim.platform import Platform

CARDS_MAX = 300
_HISTORY_MAX = 4
_SINGLE_HISTORY_MAX = 6


def _source_hash(text: str) -> str:
    """Name an inline style or script in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_HEADERS = {
    # The page runs its own script alone: not even a text that were not escaped could bring one.
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {_source_hash(STYLE)}; script-src {_source_hash(SCRIPT)};"
        " connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Screens:
    """The cards of one page: of all devices, or of the one that it was asked for, and never too many."""

    def __init__(self, platform: Platform, only: str) -> None:
        """Take whose screen to show, "" for all of them."""
        self._platform = platform
        self.only = only
        self._shown: set[str] = set()

    def begin(self) -> list[Account]:
        """Choose whom to show: when there are too many, those who got a message last."""
        book = self._platform.accounts
        wanted = filter(None, [book.find(self.only)]) if self.only else book
        chosen = heapq.nlargest(CARDS_MAX, wanted, key=lambda account: account.newest)
        self._shown = {account.user_id for account in chosen}
        return chosen

    def concerns(self, user_id: str) -> bool:
        """Whether an account is on this page; one that is not comes onto it while there is room."""
        if user_id in self._shown:
            return True
        if self.only not in ("", user_id) or len(self._shown) >= CARDS_MAX:
            return False
        self._shown.add(user_id)
        return True

    def render(self, user_id: str) -> str:
        """Render the card of an account; "" when there is none any more, which leaves room for another one."""
        account = self._platform.accounts.find(user_id)
        if account is None:
            self._shown.discard(user_id)
            return ""
        return render_card(account, self._platform.journal, _SINGLE_HISTORY_MAX if self.only else _HISTORY_MAX)

    def totals(self) -> str:
        """Say how many devices and messages there are."""
        devices, messages = len(self._platform.accounts), self._platform.journal.newest
        return f"{devices:,} {_plural(devices, 'device')} · {messages:,} {_plural(messages, 'message')}"


class ScreensPage:
    """The page as it is when it is asked for; its events keep it up to date."""

    def __init__(self, platform: Platform) -> None:
        """Take the platform whose devices are shown."""
        self._platform = platform

    def routes(self) -> list[web.RouteDef]:
        """Return the page's route."""
        return [web.get("/txim", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        """Show all screens, with `?account=` one of them, large."""
        screens = Screens(self._platform, request.query.get("account", ""))
        html = _render_page(screens, self._platform.feed.version)
        return web.Response(text=html, content_type="text/html", headers=_HEADERS)


def _render_page(screens: Screens, version: str) -> str:
    events = f"/txim/events?{urlencode({'account': screens.only, 'version': version})}"
    accounts = sorted(screens.begin(), key=sort_key)
    sections = "".join(_render_section(screens, group, accounts) for group in (*GROUPS, OTHER))
    back = '<a href="/txim">All screens</a>' if screens.only else '<a href="/">Handsets</a>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Screens</title><style>{STYLE}</style></head>"
        f'<body class="{"single" if screens.only else "all"}" data-events="{escape(events)}">'
        '<a class="skip" href="#screens">To the screens</a>'
        f'<header class="bar"><h1>Screens</h1><p id="totals">{screens.totals()}</p>'
        '<p class="link" data-link="wait" role="status">Connecting</p><nav>'
        '<button id="speak" type="button" aria-pressed="false" hidden>Speak broadcasts</button>'
        f'{back}</nav></header><main id="screens" tabindex="-1">{sections}'
        '<p class="nothing"><strong>No device yet</strong>'
        "A screen appears here when its account is imported.</p></main>"
        "<footer>Times are Beijing time.</footer>"
        f'<p id="said" class="unseen" aria-live="polite"></p><script>{SCRIPT}</script></body></html>'
    )


def _render_section(screens: Screens, group: Group, accounts: Iterable[Account]) -> str:
    cards = "".join(screens.render(account.user_id) for account in accounts if group_of(account) is group)
    return f'<section id="{group.name}"><h2>{group.heading}</h2><div class="grid">{cards}</div></section>'


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
