"""Everything concrete: which engine, which peer, which limit. Nothing else names classes of other parts."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uvicorn import Config

from brandmesh.payment.v1 import payment_pb2
from gateway import attempt_events
from gateway.admission import Callers
from gateway.api import ApiAccess, ApiLimits, BodyLimits, Operation
from gateway.app import App
from gateway.attempt_events import AttemptEvents
from gateway.calls import Call, CoalescedCall, UnaryCall
from gateway.contracts import route_table
from gateway.docs_page.routes import documentation_endpoints
from gateway.edge import Edge
from gateway.health import Readiness, peer_check
from gateway.http_server import BoundedHttpProtocol, HttpServer
from gateway.keys.ring import KeyRing
from gateway.keys.storage import migrate
from gateway.limits import Budget, TokenBuckets
from gateway.settings import Settings
from gateway.transcoding.routes import Route
from gateway.webhooks.chuanglan import INBOX_NAME, ChuanglanAccess, ChuanglanWebhook
from gateway.webhooks.payment import PaymentWebhook
from mesh import telemetry
from mesh.access_tokens import AccessTokens
from mesh.channel import Peer
from mesh.database import Database
from mesh.inbox import Inbox, JointPushes
from mesh.redis_connection import connect_redis

if TYPE_CHECKING:
    # Not while it runs: mesh.redis_connection is to be the first that loads redis-py.
    from redis.asyncio import Redis

log = telemetry.logger()

_PAYMENT_NOTIFY = payment_pb2.DESCRIPTOR.services_by_name["PaymentService"].methods_by_name["PaymentNotify"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A built gateway that is not served yet."""

    app: Edge
    readiness: Readiness
    events: AttemptEvents


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; then say so on /readyz, take nothing new, and finish what is under way."""
    async with build(settings) as gateway:
        # As `mesh.process.run` did with what was imported: what was built lives as long as the process.
        gc.freeze()
        listener = listen(settings.listen)
        server = HttpServer(server_config(gateway.app, settings))
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listener]))
            stopping = group.create_task(stop.wait())
            log.info("serving", address="{}:{}".format(*listener.getsockname()[:2]))
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            gateway.readiness.is_draining = True
            await asyncio.sleep(settings.drain_notice_seconds)
            gateway.events.drain()
            server.should_exit = True
    log.info("drained")


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Gateway]:
    """Connect everything. Raises ContractError when an rpc asks for what the gateway does not do."""
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        if settings.migrate:
            await migrate(database)
        redis = connect_redis(settings.redis_url, "gateway")
        stack.push_async_callback(redis.aclose)
        peers = _connect_peers(settings, stack)
        checks = {peer.name: peer_check(peer) for peer in peers.values()}
        readiness = Readiness({**checks, "database": database.ping, "redis": redis.ping})
        access = ApiAccess(
            callers=_callers(settings, database),
            places=Budget("the gateway", settings.requests_in_flight_max),
            memory=Budget("the gateway's memory for bodies", settings.body_bytes_in_flight_max),
            limits=_api_limits(settings),
        )
        pushes = JointPushes(Inbox(redis, INBOX_NAME, settings.inbox_shards))
        stack.push_async_callback(pushes.close)
        chuanglan = ChuanglanWebhook(_access(settings), pushes)
        notify = UnaryCall(peers[_PAYMENT_NOTIFY.containing_service.file.package], _PAYMENT_NOTIFY)
        payment = PaymentWebhook(notify, timeout_seconds=settings.request_timeout_seconds)
        events = _attempt_events(peers, access, redis, settings.request_timeout_seconds)
        stack.push_async_callback(events.close)
        app = App(
            [
                *readiness.endpoints(),
                *documentation_endpoints(),
                *chuanglan.endpoints(),
                *payment.endpoints(),
                *events.endpoints(),
                *(
                    Operation(route, _call(route, peers, settings, stack), access).endpoint
                    for route in route_table().routes
                ),
            ]
        )
        yield Gateway(Edge(app.answer), readiness, events)


def _attempt_events(
    peers: Mapping[str, Peer], access: ApiAccess, redis: Redis, timeout_seconds: float
) -> AttemptEvents:
    method = attempt_events.METHOD
    (route,) = [route for route in route_table().routes if route.method.full_name == method.full_name]
    call = UnaryCall(peers[method.containing_service.file.package], method)
    return AttemptEvents(route, call, access.callers, redis, timeout_seconds=timeout_seconds)


def _callers(settings: Settings, database: Database) -> Callers:
    return Callers(
        keys=KeyRing(database, cache_seconds=settings.key_cache_seconds),
        tokens=AccessTokens(settings.user_token_keys),
        key_buckets=TokenBuckets(settings.rate_per_second, settings.rate_burst),
        user_buckets=TokenBuckets(settings.user_rate_per_second, settings.user_rate_burst),
        address_buckets=TokenBuckets(settings.address_rate_per_second, settings.address_rate_burst),
    )


def _connect_peers(settings: Settings, stack: AsyncExitStack) -> Mapping[str, Peer]:
    """The services by proto package. Those at one address are one peer."""
    names = {
        "brandmesh.sms.v1": "sms",
        "brandmesh.costcenter.v1": "costcenter",
        "brandmesh.messagecenter.v1": "messagecenter",
        "brandmesh.order.v1": "order",
        "brandmesh.smspackage.v1": "sms_package",
        "brandmesh.user.v1": "user",
        "brandmesh.goods.v1": "goods",
        "brandmesh.cart.v1": "cart",
        "brandmesh.coupon.v1": "coupon",
        "brandmesh.wallet.v1": "wallet",
        "brandmesh.payment.v1": "payment",
        "brandmesh.flashsale.v1": "flash_sale",
    }
    peers: dict[str, Peer] = {}
    found: dict[str, Peer] = {}
    for package, name in names.items():
        # A service of orders is in order_rpc unless a setting says where else.
        address: str = getattr(settings, f"peer_{name}") or settings.peer_order
        if address not in peers:
            peers[address] = _connect(name, address, settings, stack)
        found[package] = peers[address]
    return found


def _connect(name: str, address: str, settings: Settings, stack: AsyncExitStack) -> Peer:
    peer = Peer(
        name,
        address,
        timeout_seconds=settings.request_timeout_seconds,
        message_bytes_max=settings.message_bytes_max,
    )
    stack.push_async_callback(peer.close)
    return peer


def _call(route: Route, peers: Mapping[str, Peer], settings: Settings, stack: AsyncExitStack) -> Call:
    peer = peers[route.method.containing_service.file.package]
    if route.batch is None or route.brand_field is None:
        return UnaryCall(peer, route.method)
    call = CoalescedCall(
        peer,
        route.method,
        route.batch,
        brand_field=route.brand_field,
        timeout_seconds=settings.request_timeout_seconds,
        batch_max=settings.coalesce_batch_max,
        pending_max=settings.coalesce_pending_max,
        in_flight_max=settings.coalesce_in_flight_max,
    )
    stack.push_async_callback(call.close)
    return call


def _api_limits(settings: Settings) -> ApiLimits:
    return ApiLimits(
        body=BodyLimits(settings.body_bytes_max, settings.body_timeout_seconds),
        body_without_key=BodyLimits(settings.body_without_key_bytes_max, settings.body_without_key_timeout_seconds),
        timeout_seconds=settings.request_timeout_seconds,
        large_timeout_seconds=settings.large_request_timeout_seconds,
    )


def _access(settings: Settings) -> ChuanglanAccess:
    return ChuanglanAccess(
        secret=settings.chuanglan_webhook_secret.get_secret_value(),
        receiver=settings.chuanglan_webhook_receiver,
        password=settings.chuanglan_webhook_password.get_secret_value(),
        networks=settings.chuanglan_webhook_networks,
    )


def listen(address: str) -> socket.socket:
    """Bind the address, so that its port is known before anything is served."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY on connections only where it is; without it every answer
    # waits some 40 ms for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    return listener


def server_config(app: Edge, settings: Settings) -> Config:
    """How uvicorn serves the application."""
    return Config(
        app,
        http=BoundedHttpProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
