"""GET /txim/events: the cards that change, as server-sent events."""

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Iterable, Sequence
from http import HTTPStatus

from aiohttp import web

from sandbox.no_answer import close
from sandbox.txim.cards import is_spoken
from sandbox.txim.feed import Change, Subscription
from sandbox.txim.groups import title_of
from sandbox.txim.page import Screens
from sandbox.txim.platform import Platform

# Nobody reads faster: what changes within this time is one event.
_PACE_SECONDS = 0.1
# A page takes a tenth of the process at most, however much changes.
_REST_FACTOR = 9
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b":\n\n"
_TEXTS_MAX = 5
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ScreenEvents:
    """Keeps open pages up to date."""

    def __init__(self, platform: Platform, stopping: asyncio.Event) -> None:
        """Take the event that ends every page's stream."""
        self._platform = platform
        self._stopping = stopping

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the events."""
        return [web.get("/txim/events", self._stream)]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send changes until the page goes away, falls too far behind, or the sandbox stops.

        The page says which `version` it shows, a page that comes back says it by Last-Event-ID; when it is not the
        present one, the first event has all cards.
        """
        feed = self._platform.feed
        if feed.is_full:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="too many pages are open: close one")
        screens = Screens(self._platform, request.query.get("account", ""))
        version = request.headers.get("Last-Event-ID", request.query.get("version", ""))
        response = web.StreamResponse(headers=_HEADERS)
        with feed.subscribed() as subscription:
            await response.prepare(request)
            await self._until_over(self._write(response, screens, subscription, version), subscription)
        return close(request) if subscription.overrun.is_set() else response

    async def _until_over(self, writing: Coroutine[object, object, None], subscription: Subscription) -> None:
        """Write until the page is gone, was overrun, or the sandbox stops."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (writing, subscription.overrun.wait(), self._stopping.wait())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _write(
        self, response: web.StreamResponse, screens: Screens, subscription: Subscription, version: str
    ) -> None:
        accounts = screens.begin()
        with contextlib.suppress(ConnectionResetError):
            if version != self._platform.feed.version:
                await response.write(self._encode(screens, [each.user_id for each in accounts], (), everything=True))
            while True:
                changes = await _take(subscription)
                started_at = time.perf_counter()
                event = self._event(screens, changes) if changes else _HEARTBEAT
                seconds = time.perf_counter() - started_at
                await response.write(event)
                await asyncio.sleep(max(_PACE_SECONDS, seconds * _REST_FACTOR))

    def _event(self, screens: Screens, changes: Iterable[Change]) -> bytes:
        """Encode what changed on this page."""
        shown = [change for change in changes if screens.concerns(change.account)]
        return self._encode(screens, dict.fromkeys(change.account for change in shown), shown, everything=False)

    def _encode(
        self, screens: Screens, user_ids: Iterable[str], changes: Sequence[Change], *, everything: bool
    ) -> bytes:
        """Encode the cards as they are now, under the version of now."""
        contents = [(each.account, each.message.content) for each in changes if each.message is not None]
        texts = [self._announce(user_id, content.text) for user_id, content in contents if content.text]
        spoken = [content.text for _, content in contents if is_spoken(content)]
        update = {
            "all": everything,
            "cards": [{"account": user_id, "html": screens.render(user_id)} for user_id in user_ids],
            "texts": texts[-_TEXTS_MAX:],
            "spoken": list(dict.fromkeys(spoken))[-_TEXTS_MAX:],
            "totals": screens.totals(),
        }
        data = json.dumps(update, ensure_ascii=False, separators=(",", ":"))
        return f"id: {self._platform.feed.version}\ndata: {data}\n\n".encode()

    def _announce(self, user_id: str, text: str) -> str:
        account = self._platform.accounts.find(user_id)
        return text if account is None else f"{title_of(account)}: {text}"


async def _take(subscription: Subscription) -> list[Change]:
    """Wait for changes, but only until the next heartbeat; then there are none."""
    try:
        async with asyncio.timeout(_HEARTBEAT_SECONDS):
            return await subscription.take()
    except TimeoutError:
        return []
