"""A real sandbox on a free port, and a real customer's server that it pushes to."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

import aiohttp
import pytest
import TLSSigAPIv2
from aiohttp import web

from sandbox.no_answer import Waiting
from sandbox.server import serve
from sandbox.settings import ChuangLanAccount, Settings

Json = dict[str, object]

_msg_randoms = itertools.count(1)

ACCOUNT = "N1000001"
OTHER_ACCOUNT = "M1000001"
PASSWORD = "sandbox-password"
MERCHANT = "190000001"
PAYMENT_SECRET = "sandbox-payment-secret"
PHONE = "13800000001"
SIGNATURE = "【海蓝汤泉】"
TEXT = SIGNATURE + "您的验证码是482913"
ACKNOWLEDGED = '{"clcode":"000000"}'
RESEND = '{"clcode":"111111"}'
SDKAPPID = 1400000001
ADMINISTRATOR = "administrator"
TXIM_KEY = "sandbox-txim-key"
DEADLINE_SECONDS = 10.0


async def eventually(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], what: str) -> None:
    """Poll until the condition holds; fail with `what` when it does not within the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.01)


def number(value: object) -> int:
    assert isinstance(value, int), value
    return value


def section(value: object) -> Json:
    assert isinstance(value, dict), value
    return value


def rows(value: object) -> list[Json]:
    assert isinstance(value, list), value
    return value


@dataclass
class Received:
    """One push as the customer saw it."""

    at_seconds: float
    path: str
    query: dict[str, str]
    raw_query: str
    body: Json


@dataclass
class Customer:
    """Takes pushes at any path. `answers` are given in turn, the last one for ever."""

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=lambda: [(200, ACKNOWLEDGED)])
    received: list[Received] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def answering(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)

    def at(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        body: Json = json.loads(raw) if raw else {}
        self.received.append(
            Received(time.monotonic(), request.path, dict(request.query), request.raw_path.partition("?")[2], body)
        )
        status, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await self.gate.wait()
        return web.Response(status=status, text=text)


@asynccontextmanager
async def running_customer() -> AsyncIterator[Customer]:
    customer = Customer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", customer.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    customer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield customer
    finally:
        customer.gate.set()
        await runner.cleanup()


@dataclass
class Sandbox:
    """A client of one running sandbox."""

    url: str
    http: aiohttp.ClientSession
    stopping: asyncio.Event
    served: asyncio.Task[None]

    async def post(self, path: str, body: object) -> Json:
        async with self.http.post(self.url + path, json=body) as response:
            return section(await response.json())

    async def post_status(self, path: str, body: object) -> tuple[int, Json]:
        async with self.http.post(self.url + path, json=body) as response:
            return response.status, section(await response.json())

    async def get(self, path: str, query: Mapping[str, str | int] | None = None) -> Json:
        async with self.http.get(self.url + path, params=query) as response:
            assert response.status == 200, await response.text()
            return section(await response.json())

    async def send(self, phone: str = PHONE, msg: str = TEXT, path: str = "/msg/v1/send/json", **more: object) -> Json:
        return await self.post(path, {**credentials(), "msg": msg, "phone": phone, "report": "true"} | more)

    async def send_variable(self, msg: str, params: str, **more: object) -> Json:
        body = {**credentials(), "msg": msg, "params": params, "report": "true"} | more
        return await self.post("/msg/variable/json", body)

    async def pull(self, what: str, **more: object) -> list[Json]:
        answer = await self.post(f"/msg/pull/{what}", {**credentials(), **more})
        assert answer["ret"] == 0, answer
        return rows(answer["result"])

    async def fault(self, kind: str, **fields: object) -> str:
        status, answer = await self.post_status("/admin/faults", {"kind": kind, **fields})
        assert status == 201, answer
        return str(answer["id"])

    async def has_struck(self) -> bool:
        """Whether the one fault that is on has struck, once."""
        [fault] = rows((await self.get("/admin/faults"))["faults"])
        return section(fault)["hits"] == 1

    async def messages(self, **query: str | int) -> list[Json]:
        return rows((await self.get("/admin/messages", query))["messages"])

    async def stats(self, vendor: str = "chuanglan") -> Json:
        return section((await self.get("/admin/stats"))[vendor])

    async def receipts(self) -> Json:
        return section((await self.stats())["receipts"])

    async def settled(self, notices: str = "receipts") -> bool:
        """Whether there were receipts (or uplinks) and none of them waits to be pushed."""
        counts = section((await self.stats())[notices])
        return counts["created"] != 0 and counts["pending"] == 0

    async def push_to(self, customer: Customer) -> None:
        await self.post(
            "/admin/targets",
            {
                "chuanglan_receipt_url": f"{customer.url}/receipt",
                "chuanglan_uplink_url": f"{customer.url}/uplink",
                "payment_notify_url": f"{customer.url}/paid",
            },
        )

    async def txim(self, command: str, body: object, **query: str | int) -> Json:
        """Call Tencent IM as its administrator; `query` replaces what the address has."""
        async with self.http.post(f"{self.url}/v4/{command}", params=txim_query() | query, json=body) as response:
            assert response.status == 200, await response.text()
            return section(await response.json())

    async def import_accounts(self, *accounts: str, nick: str = "") -> None:
        body = {"AccountList": [{"UserID": each, "Nick": nick} for each in accounts]}
        answer = await self.txim("im_open_login_svc/multiaccount_import", body)
        assert (answer["ErrorCode"], answer["FailAccounts"]) == (0, [])

    async def im(self, account: str = "k1", **changes: object) -> Json:
        """Send a text to one account."""
        return await self.txim("openim/sendmsg", text_message(To_Account=account) | changes)

    async def im_batch(self, accounts: list[str], **changes: object) -> Json:
        """Send a text to many accounts."""
        return await self.txim("openim/batchsendmsg", text_message(To_Account=accounts) | changes)

    async def delivered(self, **query: str | int) -> list[Json]:
        return rows((await self.get("/admin/txim/messages", query))["messages"])

    async def stop(self) -> None:
        self.stopping.set()
        await self.served


@asynccontextmanager
async def unanswered(call: Coroutine[None, None, object]) -> AsyncIterator[None]:
    """Have a call without an answer for as long as the block takes. Then its caller gives up."""
    calling = asyncio.create_task(call)
    try:
        yield
        assert not calling.done()
    finally:
        calling.cancel()
        await asyncio.wait([calling])


class Pauses:
    """The waits of calls that get no answer yet: as long as they should be, and then until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.let_go = asyncio.Event()
        pause = Waiting.pause

        async def longer_pause(waiting: Waiting, seconds: float) -> None:
            await pause(waiting, seconds)
            await self.let_go.wait()

        monkeypatch.setattr(Waiting, "pause", longer_pause)


def credentials() -> dict[str, str]:
    return {"account": ACCOUNT, "password": PASSWORD}


def user_sig(
    identifier: str = ADMINISTRATOR, sdkappid: int = SDKAPPID, key: str = TXIM_KEY, expire_seconds: int = 86_400
) -> str:
    """Sign as Tencent's own library does."""
    return str(TLSSigAPIv2.TLSSigAPIv2(sdkappid, key).gen_sig(identifier, expire_seconds))


@cache
def txim_query() -> dict[str, str | int]:
    return {
        "sdkappid": SDKAPPID,
        "identifier": ADMINISTRATOR,
        "usersig": user_sig(),
        "random": 4_294_967_295,
        "contenttype": "json",
    }


def text_message(text: str = "801房间下单了水饺2份,请注意", **fields: object) -> Json:
    """A message of text with a MsgRandom of its own."""
    return {
        "MsgRandom": next(_msg_randoms),
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}],
        **fields,
    }


def custom_message(data: str, **fields: object) -> Json:
    body = [{"MsgType": "TIMCustomElem", "MsgContent": {"Data": data}}]
    return text_message() | {"MsgBody": body} | fields


def quick_settings(**changes: object) -> Settings:
    """Settings with short times; the changes win."""
    quick: dict[str, object] = {
        "port": 0,
        "chuanglan_receipt_delay_seconds": 0.02,
        "chuanglan_push_retry_seconds": 0.05,
        "payment_notify_backoff_seconds": 0.02,
        "payment_notify_backoff_seconds_max": 0.05,
        "push_timeout_seconds": 1.0,
        "stop_grace_seconds": 1.0,
    }
    return Settings.model_validate(quick | changes)


def account(name: str, balance: int) -> ChuangLanAccount:
    return ChuangLanAccount.model_validate({"account": name, "password": PASSWORD, "balance": balance})


@asynccontextmanager
async def running_sandbox(settings: Settings) -> AsyncIterator[Sandbox]:
    stopping = asyncio.Event()
    bound: asyncio.Queue[str] = asyncio.Queue()
    served = asyncio.create_task(serve(settings, stopping, bound.put_nowait))
    served.add_done_callback(lambda _: bound.put_nowait(""))
    url = await bound.get()
    if not url:
        await served
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as http:
        try:
            yield Sandbox(url, http, stopping, served)
        finally:
            stopping.set()
            await served
