"""The one file that names concrete classes: what txim_rpc is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import aiohttp

from brandmesh.txim.v1 import txim_pb2
from brandmesh.txim.v1.txim_pb2_grpc import add_TxImServiceServicer_to_server
from mesh import migrations
from mesh.database import Database
from mesh.provider.circuit import Circuit, CircuitPolicy
from mesh.provider.http_call import HttpCaller
from mesh.provider.window_limit import Lane, Window, WindowLimit
from mesh.server import Server
from txim_rpc.accounts import Accounts
from txim_rpc.commands import Commands
from txim_rpc.domain import RECIPIENTS_MAX, Command
from txim_rpc.service import Im
from txim_rpc.servicer import TxImServicer
from txim_rpc.settings import Settings
from txim_rpc.tencent import App, Tencent
from txim_rpc.user_sig import UserSigs

MIGRATIONS = Path(__file__).parent / "migrations"

_CIRCUIT = "txim"
"""What logs and metrics call the app."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with open_server(settings) as server:
        await server.serve_until(stop)


@asynccontextmanager
async def open_server(settings: Settings, clock: Callable[[], float] = time.time) -> AsyncIterator[Server]:
    """Make the server, not yet started, and hold its database and its connections to Tencent open.

    `clock` is what UserSigs and the times of messages are read by.
    """
    async with AsyncExitStack() as stack:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.close)
        if settings.migrate:
            await migrations.upgrade(database, MIGRATIONS)
        session = await stack.enter_async_context(open_session(settings))
        commands = Commands(build_tencent(settings, session, clock), clock)
        accounts = await stack.enter_async_context(
            aclosing(Accounts(database, commands, cached_max=settings.accounts_cached_max))
        )
        server = Server(settings)
        server.add(
            add_TxImServiceServicer_to_server,
            TxImServicer(Im(commands, accounts)),
            txim_pb2.DESCRIPTOR.services_by_name["TxImService"],
        )
        yield server


def open_session(settings: Settings) -> aiohttp.ClientSession:
    """Make the connection pool: the lanes bound it, so that no call waits here with its turn in hand."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=settings.connections_max * len(Command), keepalive_timeout=settings.keep_alive_seconds
        ),
        timeout=aiohttp.ClientTimeout(
            total=settings.call_timeout_seconds, sock_connect=settings.connect_timeout_seconds
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "brandmesh"},
    )


def build_tencent(
    settings: Settings, session: aiohttp.ClientSession, clock: Callable[[], float] = time.time
) -> Tencent:
    """Put the app behind its circuit and the lanes of its commands."""
    app = App(str(settings.txim_url), settings.txim_sdk_app_id, settings.txim_admin)
    user_sigs = UserSigs(
        settings.txim_secret_key.get_secret_value(),
        settings.txim_sdk_app_id,
        settings.txim_admin,
        settings.txim_user_sig_seconds,
        clock,
    )
    policy = CircuitPolicy(settings.circuit_failures_max, settings.circuit_open_seconds, settings.circuit_stop_seconds)
    return Tencent(app, HttpCaller(session), user_sigs, build_lanes(settings), Circuit(_CIRCUIT, policy))


def build_lanes(settings: Settings, clock: Callable[[], float] = time.monotonic) -> Mapping[Command, Lane]:
    """Give each command its lane. batchsendmsg counts twice: its calls, and the recipients in them."""
    windows = {
        Command.SEND_MSG: [Window(settings.send_per_second, 1)],
        Command.BATCH_SEND_MSG: [
            Window(settings.batch_send_per_second, 1),
            Window(settings.batch_recipients_per_minute, 60, RECIPIENTS_MAX),
        ],
        Command.QUERY_ONLINE_STATUS: [Window(settings.online_status_per_second, 1)],
        Command.ACCOUNT_IMPORT: [Window(settings.import_per_second, 1)],
        Command.MULTIACCOUNT_IMPORT: [Window(settings.multiaccount_import_per_second, 1)],
        Command.ACCOUNT_CHECK: [Window(settings.account_check_per_second, 1)],
    }
    return {
        command: Lane(
            WindowLimit(windows[command], clock),
            calls_max=settings.connections_max,
            wait_seconds_max=settings.wait_seconds_max,
            waiting_max=settings.waiting_max,
        )
        for command in Command
    }
