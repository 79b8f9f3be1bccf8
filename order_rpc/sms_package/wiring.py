"""What the service of SMS packages is made of."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from brandmesh.smspackage.v1 import sms_package_pb2
from brandmesh.smspackage.v1.sms_package_pb2_grpc import (
    add_SmsPackageJobServiceServicer_to_server,
    add_SmsPackageServiceServicer_to_server,
)
from mesh.ids import IdAllocator
from order_rpc.host import Host
from order_rpc.settings import Settings
from order_rpc.sms_package import tables
from order_rpc.sms_package.channels.sandbox_pay import SandboxPay
from order_rpc.sms_package.domain import Policy
from order_rpc.sms_package.jobs import Jobs
from order_rpc.sms_package.paid_events import PaidEvents
from order_rpc.sms_package.payments import Payments
from order_rpc.sms_package.service import Orders
from order_rpc.sms_package.servicer import OrderJobServicer, OrderServicer

CHANNEL_CONNECTIONS_MAX = 32

_MINUTE_MS = 60_000


async def add(host: Host) -> None:
    """Serve SMS packages in this process."""
    await host.migrate(Path(__file__).parent)
    settings, database = host.settings, host.database
    session = await host.stack.enter_async_context(_open_session(settings))
    channel = SandboxPay(
        session,
        url=str(settings.payment_channel_url),
        merchant_id=settings.payment_merchant_id,
        secret=settings.payment_secret.get_secret_value(),
        notify_url=str(settings.payment_notify_url or ""),
    )
    ids = IdAllocator(database, tables.id_block)
    policy = _policy(settings)
    events = PaidEvents(database, host.bus, policy)
    payments = Payments(database, ids, channel, events)
    orders = Orders(database, ids, payments, policy)
    services = sms_package_pb2.DESCRIPTOR.services_by_name
    host.server.add(
        add_SmsPackageServiceServicer_to_server, OrderServicer(orders, payments), services["SmsPackageService"]
    )
    host.server.add(
        add_SmsPackageJobServiceServicer_to_server,
        OrderJobServicer(Jobs(database, payments), events),
        services["SmsPackageJobService"],
    )


def _policy(settings: Settings) -> Policy:
    return Policy(
        order_lifetime_ms=settings.order_lifetime_minutes * _MINUTE_MS,
        republish_after_ms=int(settings.republish_seconds * 1000),
        republish_after_ms_max=int(settings.republish_seconds_max * 1000),
    )


def _open_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CHANNEL_CONNECTIONS_MAX),
        timeout=aiohttp.ClientTimeout(total=settings.payment_timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "brandmesh"},
    )
