"""A plain page that shows the last messages as a handset would."""

from datetime import datetime
from html import escape

from aiohttp import web

from sandbox.chuanglan.clock import BEIJING
from sandbox.chuanglan.journal import Filter, Journal, Message

MESSAGES_SHOWN = 50
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;padding:0 1rem}
ol{list-style:none;padding:0}
li{margin:1rem 0}
p{margin:.25rem 0}
.text{background:#8882;border-radius:1rem;padding:.75rem 1rem;overflow-wrap:anywhere;white-space:pre-wrap}
.about{font-size:.8rem;opacity:.75}
"""


class HandsetPage:
    """GET /."""

    def __init__(self, journal: Journal) -> None:
        """Take the messages to show."""
        self._journal = journal

    def routes(self) -> list[web.RouteDef]:
        """Return the page's route."""
        return [web.get("/", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        """Show the last messages, with `?phone=` those of one phone."""
        phone = request.query.get("phone", "")
        messages = self._journal.find(Filter(phone=phone), MESSAGES_SHOWN)
        return web.Response(text=_render(phone, messages), content_type="text/html", headers=_HEADERS)


def _render(phone: str, messages: list[Message]) -> str:
    items = "".join(map(_render_message, messages)) or "<li>No message yet.</li>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Sandbox handsets</title><style>{_STYLE}</style></head><body><main><h1>Sandbox handsets</h1>"
        '<p class="about"><a href="/txim">Screens of the IM devices</a></p>'
        '<form><label>Phone <input name="phone" inputmode="numeric" value="'
        f'{escape(phone)}"></label> <button>Show</button></form><ol>{items}</ol></main></body></html>'
    )


def _render_message(message: Message) -> str:
    at = datetime.fromtimestamp(message.submission.accepted_at_ms / 1000, BEIJING).strftime("%Y-%m-%d %H:%M:%S")
    receipt = "no receipt" if message.receipt is None else f"{message.receipt.status}, {message.receipt.state}"
    return (
        f'<li><p class="about">To {escape(message.phone)} at {at}</p>'
        f'<p class="text" lang="zh">{escape(message.content)}</p>'
        f'<p class="about">{message.segments} segment(s), {escape(receipt)}</p></li>'
    )
