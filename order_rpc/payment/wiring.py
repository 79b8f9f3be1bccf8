"""What the payment service is made of."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from brandmesh.payment.v1 import payment_pb2
from brandmesh.payment.v1.payment_pb2_grpc import (
    add_PaymentJobServiceServicer_to_server,
    add_PaymentServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from mesh.messages import Inbox, Mailbox
from order_rpc.host import Host
from order_rpc.payment import tables
from order_rpc.payment.channels.port import Channels, PaymentChannel
from order_rpc.payment.channels.sandbox_pay import SandboxPay
from order_rpc.payment.closing import Closing
from order_rpc.payment.domain import Policy
from order_rpc.payment.reconciling import Reconciling
from order_rpc.payment.refunds import Refunds
from order_rpc.payment.service import Payments
from order_rpc.payment.servicer import PaymentJobServicer, PaymentServicer
from order_rpc.payment.taking import Taking
from order_rpc.settings import Settings

CHANNEL_CONNECTIONS_MAX = 32


async def add(host: Host) -> None:
    """Serve payments in this process."""
    await host.migrate(Path(__file__).parent)
    database, settings = host.database, host.settings
    session = await host.stack.enter_async_context(_open_session(settings))
    channels = Channels(_channels(settings, session))
    outbox = host.outbox("payment", tables.produced_message)
    ids = IdAllocator(database, tables.id_block)
    policy = Policy(ask_again_after_ms=int(settings.payment_ask_again_seconds * 1000))
    taking = Taking(database, ids, outbox)
    closing = Closing(database, ids=ids, channels=channels, taking=taking, policy=policy)
    refunds = Refunds(database, ids=ids, channels=channels, outbox=outbox, policy=policy)
    payments = Payments(database, ids=ids, channels=channels, taking=taking, closing=closing)
    reconciling = Reconciling(database, channels)
    effects = {
        ("payment", "close_wanted"): closing.close_wanted,
        ("payment", "refund_wanted"): refunds.refund_wanted,
    }
    inbox = Inbox(database, "payment", tables.consumed_message, effects, outbox=outbox)
    host.mailboxes.add("payment", Mailbox(outbox, inbox))
    services = payment_pb2.DESCRIPTOR.services_by_name
    host.server.add(
        add_PaymentServiceServicer_to_server,
        PaymentServicer(payments, closing, refunds, reconciling),
        services["PaymentService"],
    )
    host.server.add(
        add_PaymentJobServiceServicer_to_server,
        PaymentJobServicer(closing, refunds, reconciling),
        services["PaymentJobService"],
    )


def _channels(settings: Settings, session: aiohttp.ClientSession) -> dict[str, PaymentChannel]:
    """All channels that are set up, by name, the first one for those who name none."""
    channels: dict[str, PaymentChannel] = {
        "sandbox": SandboxPay(
            session,
            url=str(settings.payment_channel_url),
            merchant_id=settings.payment_merchant_id,
            secret=settings.payment_secret.get_secret_value(),
            notify_url=str(settings.payment_notify_url or ""),
        )
    }
    if settings.payment_channel_wechat is not None:
        # It stands on a library of several megabytes, which nobody else needs.
        from order_rpc.payment.channels.wechat_pay import WechatPay  # noqa: PLC0415

        channels["wechat"] = WechatPay(session, settings.payment_channel_wechat)
    return channels


def _open_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CHANNEL_CONNECTIONS_MAX),
        timeout=aiohttp.ClientTimeout(total=settings.payment_timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "brandmesh"},
    )
