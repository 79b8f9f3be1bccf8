"""HTML that cannot be broken by what is put into it: text is escaped unless it is `Html` already."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

_CODE = re.compile(r"`([^`]+)`")


class Html(str):
    """Markup that is safe to send."""

    __slots__ = ()


def escape(content: str) -> Html:
    """Make text safe; leave markup as it is."""
    return content if isinstance(content, Html) else Html(html.escape(content))


def join(*parts: str) -> Html:
    """Put parts one after the other."""
    return Html("".join(map(escape, parts)))


def tag(name: str, *children: str, **attributes: str) -> Html:
    """Build an element. `class_` is the attribute class."""
    written = "".join(f' {key.rstrip("_")}="{html.escape(value)}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def inline(text: str) -> Html:
    """Text with `code` in backquotes."""
    parts = _CODE.split(text)
    return join(*(tag("code", part) if index % 2 else part for index, part in enumerate(parts)))


def prose(text: str) -> Html:
    """Paragraphs, and lists of lines that begin with a dash."""
    blocks: list[Html] = []
    for paragraph in text.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        plain = " ".join(line for line in lines if not line.startswith("- "))
        items = [tag("li", inline(line.removeprefix("- "))) for line in lines if line.startswith("- ")]
        blocks += [tag("p", inline(plain))] if plain else []
        blocks += [tag("ul", *items)] if items else []
    return join(*blocks)


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Html:
    """Build a table; nothing for no rows."""
    if not rows:
        return Html("")
    head = tag("thead", tag("tr", *(tag("th", heading) for heading in headings)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll")
