"""Tencent Cloud IM at the vendor's edge: an HTTP server that answers as a test says, and drops repeats as it does."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

SENDS = frozenset({"sendmsg", "batchsendmsg"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One call of sendmsg or batchsendmsg."""

    command: str
    body: Mapping[str, Any]
    at_seconds: float

    @property
    def accounts(self) -> list[str]:
        to = self.body["To_Account"]
        return [to] if isinstance(to, str) else list(to)

    @property
    def key(self) -> tuple[int, int]:
        """What Tencent knows a repeat by."""
        return self.body["MsgRandom"], self.body["MsgTimeStamp"]

    @property
    def text(self) -> str:
        """The text, or the data for the app."""
        (element,) = self.body["MsgBody"]
        content = element["MsgContent"]
        return str(content["Text"] if element["MsgType"] == "TIMTextElem" else content["Data"])


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message in the hands of an account."""

    account: str
    text: str
    cloud_custom_data: str
    due_second: int


Step: TypeAlias = "Callable[[Tencent, Sent], Awaitable[web.StreamResponse]]"


@dataclass
class Tencent:
    """The app. Each send takes the next step of the script, and is taken beyond its end."""

    script: deque[Step] = field(default_factory=deque)
    sends: list[Sent] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    is_away: bool = False
    seconds_a_send: float = 0
    _seen: set[tuple[str, int, int]] = field(default_factory=set)

    @property
    def inboxes(self) -> dict[str, list[str]]:
        """What each account got, in order."""
        inboxes: dict[str, list[str]] = {}
        for one in self.arrived:
            inboxes.setdefault(one.account, []).append(one.text)
        return inboxes

    def take(self, sent: Sent) -> web.Response:
        """Hand a message to its accounts, unless it is a repeat."""
        refused: dict[str, int] = {}
        self.hand_over(sent, refused)
        return answer()

    def hand_over(self, sent: Sent, refused: Mapping[str, int]) -> None:
        for account in sent.accounts:
            if account in refused or (account, *sent.key) in self._seen:
                continue
            self._seen.add((account, *sent.key))
            cloud_custom_data = sent.body.get("CloudCustomData", "")
            self.arrived.append(Arrived(account, sent.text, cloud_custom_data, sent.body["MsgTimeStamp"]))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        command = request.match_info["command"]
        if self.is_away:
            return web.Response(status=502)
        if command not in SENDS:
            return answer(FailAccounts=[])
        sent = Sent(command, body, asyncio.get_running_loop().time())
        self.sends.append(sent)
        await asyncio.sleep(self.seconds_a_send)
        return await self.script.popleft()(self, sent) if self.script else self.take(sent)


def answer(**fields: Any) -> web.Response:
    text = json.dumps({"ActionStatus": "OK", "ErrorCode": 0, "ErrorInfo": ""} | fields)
    return web.Response(text=text, content_type="application/json")


# Steps.


async def take(tencent: Tencent, sent: Sent) -> web.StreamResponse:
    return tencent.take(sent)


def refuse(code: int) -> Step:
    """Do nothing, and say so."""

    async def step(_: Tencent, __: Sent) -> web.StreamResponse:
        return answer(ActionStatus="FAIL", ErrorCode=code, ErrorInfo="refused by the test")

    return step


def refuse_some(codes: Mapping[str, int]) -> Step:
    """Hand the message to all accounts but these."""

    async def step(tencent: Tencent, sent: Sent) -> web.StreamResponse:
        tencent.hand_over(sent, codes)
        errors = [{"To_Account": account, "ErrorCode": code} for account, code in codes.items()]
        return answer(ActionStatus="SomeError", ErrorList=errors)

    return step


async def lose_answer(tencent: Tencent, sent: Sent) -> web.StreamResponse:
    """Hand the message over, and let nobody know."""
    tencent.take(sent)
    return web.Response(status=504)


async def lose_call(_: Tencent, __: Sent) -> web.StreamResponse:
    """Do nothing, and let nobody know."""
    return web.Response(status=504)


def wait_for(event: asyncio.Event) -> Step:
    """Hand the message over when the test says so."""

    async def step(tencent: Tencent, sent: Sent) -> web.StreamResponse:
        await event.wait()
        return tencent.take(sent)

    return step


@asynccontextmanager
async def serving(tencent: Tencent) -> AsyncIterator[str]:
    """Serve the app; answer its address."""
    app = web.Application()
    app.router.add_post("/v4/{service}/{command}", tencent.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
