"""The application: the only place that names every vendor."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.admin import Admin
from sandbox.chuanglan.vendor import ChuangLan
from sandbox.delivery import DeliveryQueue
from sandbox.faults import Fault, FaultBoard
from sandbox.json_http import BadRequestError, JsonObject, json_response
from sandbox.payment.vendor import PaymentChannel
from sandbox.push import Pusher
from sandbox.settings import Settings
from sandbox.targets import Targets
from sandbox.txim.vendor import TxIm
from sandbox.wechatpay.vendor import WechatPay
from sandbox.world import World


class Vendor(Protocol):
    """One stand-in of the outside world."""

    name: str
    fault_kinds: tuple[type[Fault], ...]

    def routes(self) -> Iterable[web.RouteDef]:
        """Return the vendor's routes, its part of the admin's included."""

    def stats(self) -> JsonObject:
        """Return what is counted, for /admin/stats."""


_FAULT_KINDS = (*ChuangLan.fault_kinds, *PaymentChannel.fault_kinds, *WechatPay.fault_kinds, *TxIm.fault_kinds)


def build_world(settings: Settings, session: aiohttp.ClientSession, stopping: asyncio.Event) -> World:
    """Make what the vendors share."""
    return World(
        settings=settings,
        targets=Targets(
            chuanglan_receipt_url=settings.chuanglan_receipt_url,
            chuanglan_uplink_url=settings.chuanglan_uplink_url,
            payment_notify_url=settings.payment_notify_url,
        ),
        board=FaultBoard(settings.seed, _FAULT_KINDS),
        queue=DeliveryQueue(settings.push_connections_max, settings.pending_pushes_max),
        pusher=Pusher(session, settings.push_timeout_seconds),
        stopping=stopping,
    )


def build_app(world: World) -> web.Application:
    """Put the vendors and the admin behind one address."""
    vendors: Sequence[Vendor] = (ChuangLan(world), PaymentChannel(world), WechatPay(world), TxIm(world))

    def stats() -> JsonObject:
        return {vendor.name: vendor.stats() for vendor in vendors}

    app = web.Application(client_max_size=world.settings.body_bytes_max, middlewares=[_refuse_bad_requests])
    for vendor in vendors:
        app.add_routes(vendor.routes())
    app.add_routes(Admin(world, stats).routes())
    return app


@web.middleware
async def _refuse_bad_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadRequestError as error:
        return json_response({"error": str(error)}, status=400)
