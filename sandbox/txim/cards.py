"""One device's screen as a card of the page. Everything that comes from outside is escaped here."""

from datetime import datetime, timedelta, timezone
from html import escape

from sandbox.txim.accounts import Account, OnlineState
from sandbox.txim.facts import Facts, read_facts, shorten
from sandbox.txim.groups import group_of, sort_key, title_of
from sandbox.txim.journal import Journal, Message
from sandbox.txim.messages import Content

_BEIJING = timezone(timedelta(hours=8))
_STATES = {
    OnlineState.ONLINE: "online",
    OnlineState.PUSH_ONLINE: "reachable by push",
    OnlineState.OFFLINE: "offline",
}
_READ_BACK_MAX = 50
_LINE_CHARACTERS_MAX = 161
BROADCAST = "broadcast"


def render_card(account: Account, journal: Journal, history_max: int) -> str:
    """Render an account's screen: its latest text, large, and the messages before it, newest first."""
    messages = journal.of_account(account, 0, _READ_BACK_MAX)
    latest = next((message for message in messages if message.content.text), None)
    history = [message for message in messages if message is not latest][:history_max]
    return (
        f'<article class="card" data-account="{escape(account.user_id)}" data-group="{group_of(account).name}"'
        f' data-sort="{escape(sort_key(account))}" data-newest="{account.newest}">'
        f"{_render_head(account)}{_render_latest(latest)}{_render_history(history)}</article>"
    )


def is_spoken(content: Content) -> bool:
    """Whether a device would say this aloud: the text of a broadcast."""
    return bool(content.text) and read_facts(content).msg_type == BROADCAST


def _render_head(account: Account) -> str:
    state = account.state.lower()
    user_id = escape(account.user_id)
    return (
        f'<header><h3><a href="/txim?account={_quote(account.user_id)}">{escape(title_of(account))}</a></h3>'
        f'<p class="about"><span class="state {state}">{_STATES[account.state]}</span>'
        f' <span class="id" title="{user_id}">{user_id}</span></p></header>'
    )


def _render_latest(message: Message | None) -> str:
    if message is None:
        return '<div class="latest empty"><p class="text">No text yet</p></div>'
    return (
        f'<div class="latest"><p class="text" dir="auto">{escape(message.content.text)}</p>'
        f'<p class="meta">{_render_time(message)}{_render_facts(read_facts(message.content))}</p></div>'
    )


def _render_history(messages: list[Message]) -> str:
    items = "".join(map(_render_line, messages))
    return f'<ol class="history">{items}</ol>' if items else ""


def _render_line(message: Message) -> str:
    if message.content.text:
        text = shorten(message.content.text, _LINE_CHARACTERS_MAX)
        return f'<li>{_render_time(message)}<span class="line" dir="auto">{escape(text)}</span></li>'
    facts = read_facts(message.content)
    about = " · ".join(filter(None, (facts.event, facts.details)))
    name = "Refreshed" if facts.msg_type in ("", "refresh") else facts.msg_type.capitalize()
    return (
        f'<li class="refresh">{_render_time(message)}<span class="line"><b>{escape(name)}</b>'
        f" {escape(about)}</span></li>"
    )


def _render_facts(facts: Facts) -> str:
    kind = f'<span class="kind {_class_of(facts.msg_type)}">{escape(facts.msg_type)}</span>' if facts.msg_type else ""
    event = f'<span class="event">{escape(facts.event)}</span>' if facts.event else ""
    call = f'<span class="call">call {escape(facts.call_id)}</span>' if facts.call_id else ""
    return kind + event + call


def _class_of(msg_type: str) -> str:
    """Return a style's name only for the types that have one: the text itself comes from outside."""
    return {BROADCAST: "is-broadcast", "pad call": "is-pad-call"}.get(msg_type, "is-plain")


def _render_time(message: Message) -> str:
    at = datetime.fromtimestamp(message.received_at_ms / 1000, _BEIJING)
    return f'<time datetime="{at.isoformat(timespec="milliseconds")}">{at:%H:%M:%S}</time>'


def _quote(user_id: str) -> str:
    """Write a UserID as a value of a query: anything but letters and digits as a percent code."""
    return "".join(each if each.isalnum() else f"%{ord(each):02X}" for each in user_id)
