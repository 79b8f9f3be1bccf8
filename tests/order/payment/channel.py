"""The outside of payments: the sandbox's channels, and a webhook that passes on what they post, as the gateway does."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from brandmesh.payment.v1 import payment_pb2 as pb
from brandmesh.payment.v1.payment_pb2_grpc import PaymentServiceStub
from mesh.channel import Peer
from mesh.errors import DomainError
from tests.order.payment.keys import sandbox_keys
from tests.sandbox.harness import MERCHANT, PAYMENT_SECRET, Sandbox, quick_settings, running_sandbox


def sign(fields: Mapping[str, str | int], secret: str = PAYMENT_SECRET) -> str:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "sign")
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def notification(
    pay_id: str, amount_fen: int, trade_no: str = "1", /, secret: str = PAYMENT_SECRET, **changes: str
) -> dict[str, str]:
    """What the first channel would post, signed after the changes; an empty change leaves the field out."""
    fields = {
        "merchantId": MERCHANT,
        "outTradeNo": pay_id,
        "tradeNo": trade_no,
        "amount": str(amount_fen),
        "status": "SUCCESS",
        "paidAt": str(time.time_ns() // 1_000_000),
        "nonce": "0123456789abcdef",
        **changes,
    }
    fields = {name: value for name, value in fields.items() if value}
    return {**fields, "sign": sign(fields, secret)}


@dataclass
class Webhook:
    """Where channels notify. `said` is what came of each."""

    url: str = ""
    peer: Peer | None = None
    said: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        channel, body = request.match_info.get("channel", ""), await request.read()
        fields = {} if channel else {name: str(value) for name, value in json.loads(body).items()}
        headers = {name.lower(): value for name, value in request.headers.items()}
        message = pb.PaymentNotifyRequest(channel=channel, fields=fields, headers=headers, body=body)
        assert self.peer is not None
        try:
            await self.peer.call(PaymentServiceStub(self.peer.channel).PaymentNotify, message)
        except DomainError as error:
            self.said.append(error.reason)
            return web.json_response({"code": "FAIL", "reason": error.reason}, status=400)
        self.said.append("SUCCESS")
        return web.json_response({"code": "SUCCESS"})


@asynccontextmanager
async def running_webhook() -> AsyncIterator[Webhook]:
    webhook = Webhook()
    app = web.Application()
    app.router.add_post("/webhooks/payment", webhook.handle)
    app.router.add_post("/webhooks/payment/{channel}", webhook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    webhook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/payment"
    try:
        yield webhook
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_channels() -> AsyncIterator[tuple[Sandbox, Webhook]]:
    """Run both of the sandbox's channels, and the webhook that they post to."""
    async with running_sandbox(quick_settings(**sandbox_keys())) as sandbox, running_webhook() as webhook:
        await sandbox.post("/admin/targets", {"payment_notify_url": webhook.url})
        yield sandbox, webhook


async def pay_at(sandbox: Sandbox, pay_url: str) -> None:
    """Pay on a channel's page; the channel then notifies."""
    status, answer = await sandbox.post_status(pay_url.removeprefix(sandbox.url) + ":pay", {})
    assert (status, answer["status"]) == (200, "SUCCESS"), answer
