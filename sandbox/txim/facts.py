"""What a message says about itself beside its text, as far as it says it in a way that can be read.

The sender's own JSON: `CloudCustomData` of a text has callId, event, msgType, channel, shopId; the data of a refresh
has the same and params. Anything else is tolerated: an unreadable fact is an absent one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sandbox.txim.messages import Content

_FACT_CHARACTERS_MAX = 60
_PARAMS_MAX = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts as text, "" for an absent one. `details` are the params of a refresh, or custom data as it came."""

    event: str = ""
    msg_type: str = ""
    call_id: str = ""
    details: str = ""


@lru_cache(maxsize=1024)
def read_facts(content: Content) -> Facts:
    """Read what a message says about itself; one content serves all recipients of a batch."""
    is_custom = not content.text and bool(content.custom_data)
    source = content.custom_data if is_custom else content.cloud_custom_data
    fields = _parse(source)
    if fields is None:
        return Facts(details=shorten(source) if is_custom else "")
    return Facts(
        event=_text(fields.get("event")).replace("_", " "),
        msg_type=_text(fields.get("msgType")).replace("_", " "),
        call_id=_text(fields.get("callId")),
        details=_describe_params(fields.get("params")),
    )


def _parse(source: str) -> Mapping[str, object] | None:
    try:
        fields: object = json.loads(source)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, Mapping) else None


def _text(value: object) -> str:
    """Show a value that can stand in a line."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return shorten(str(value))


def _describe_params(params: object) -> str:
    if not isinstance(params, Mapping):
        return ""
    pairs = [f"{_text(name)} {_text(value)}" for name, value in list(params.items())[:_PARAMS_MAX]]
    return shorten(", ".join(pairs), _FACT_CHARACTERS_MAX * 2)


def shorten(text: str, characters_max: int = _FACT_CHARACTERS_MAX) -> str:
    """Cut a text that is too long, and show that it was cut."""
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"
