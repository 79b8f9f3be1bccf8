"""A shop for IM calls in a chain test: its devices, what they are told to speak, and what their screens show."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from meshctl.app import Json
from tests.chain.harness import App, Chain, eventually

TEMPLATE = "{roomName}房间下单了{goodsName}{num}份,请注意"
ORDER = {"roomName": "801", "goodsName": "水饺", "num": "2"}
ENDED = frozenset({"sent", "skipped", "failed", "cancelled", "unknown"})

_shop_ids = count(1000)
_PAGE = 1000


@dataclass(slots=True)
class Shop:
    """A shop of its own, so that tests on one mesh do not meet."""

    chain: Chain
    app: App
    shop_id: int
    template_id: int

    async def device(self, name: str, channel: str, **further: str) -> str:
        """Make a device known; answer its account."""
        body = {"shopId": self.shop_id, "channel": channel, "location": name, **further}
        device = await self.app.ok("PUT", f"/imDevices/{name}-{self.shop_id}", body)
        return str(device["device"]["account"])

    async def configure(self, *channels: str, **further: Any) -> None:
        """Switch the order event on for channels, as `further` says."""
        for channel in channels:
            config = {
                "shopId": self.shop_id,
                "event": "catering_ordered",
                "channel": channel,
                "enabled": True,
                "templateId": self.template_id,
                **further,
            }
            await self.app.ok("PUT", "/broadcastConfigs", {"config": config})

    async def call(self, *channels: str, params: Json | None = None, **further: Any) -> Json:
        """Call channels; answer SendImCall's JSON."""
        return await self.app.ok("POST", "/imCalls", self.body(*channels, params=params, **further))

    def body(self, *channels: str, params: Json | None = None, **further: Any) -> Json:
        return {
            "requestId": uuid.uuid4().hex,
            "event": "catering_ordered",
            "Channels": channels,
            "callParams": ORDER if params is None else params,
            "shopId": self.shop_id,
            "MsgType": "broadcast",
            **further,
        }

    async def records(self, call_id: str) -> list[Json]:
        return list((await self.app.ok("GET", f"/imCalls/{call_id}"))["records"])

    async def ended(self, call_id: str, timeout_seconds: float = 20) -> list[Json]:
        """Wait until each record of a call has reached its last status."""
        return await eventually(lambda: self.records(call_id), _all_ended, timeout_seconds)

    async def screen(self, account: str) -> list[Json]:
        """Read what an account's devices have received, oldest first."""
        return await screen(self.chain, account)


async def open_shop(chain: Chain) -> Shop:
    app = chain.apps[0]
    template = {"requestId": uuid.uuid4().hex, "name": "ordered", "content": TEMPLATE}
    made = await app.ok("POST", "/imTemplates", template)
    return Shop(chain, app, next(_shop_ids), made["template"]["templateId"])


async def screen(chain: Chain, account: str = "") -> list[Json]:
    """Read all messages that Tencent delivered, to one account or to all, in the order of their arrival."""
    found: list[Json] = []
    before = 0
    while True:
        page = await chain.sandbox("GET", "/admin/txim/messages", account=account, limit=str(_PAGE), before=str(before))
        found += page["messages"]
        before = page["next_before"]
        if not before:
            return found[::-1]


def texts(messages: Sequence[Json]) -> list[str]:
    return [message["text"] for message in messages]


def at_ms(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() * 1000


def _all_ended(records: list[Json]) -> bool:
    return all(record["status"] in ENDED for record in records)
