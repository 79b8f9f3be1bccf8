"""Builds the provider accounts of a process from its settings: the only file here that names a vendor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from mesh.provider.circuit import Circuit, CircuitPolicy
from mesh.provider.rate_limit import Throttle, TokenBucket
from sms_rmq.providers.accounts import Account, ProviderAccounts
from sms_rmq.providers.chuanglan import ChuangLan
from sms_rmq.providers.settings import ProviderAccountSettings

PULL_CONNECTIONS = 1
"""Connections of an account beside those for submissions: one pull is made at a time."""


@asynccontextmanager
async def open_provider_accounts(settings: Sequence[ProviderAccountSettings]) -> AsyncIterator[ProviderAccounts]:
    """Hold the accounts and their connections open. Raises ValueError where two accounts share a name."""
    names = [each.name for each in settings]
    if len(set(names)) < len(names):
        message = f"provider accounts need names of their own: {', '.join(sorted(names))}"
        raise ValueError(message)
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(open_session(each)) for each in settings]
        yield ProviderAccounts([build_account(*each) for each in zip(settings, sessions, strict=True)])


def open_session(settings: ProviderAccountSettings) -> aiohttp.ClientSession:
    """Make the connection pool of one account: the throttle bounds submissions, so that none waits here for others."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=settings.connections_max + PULL_CONNECTIONS, keepalive_timeout=settings.keep_alive_seconds
        ),
        timeout=aiohttp.ClientTimeout(total=settings.timeout_seconds, sock_connect=settings.connect_timeout_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "brandmesh"},
    )


def build_account(settings: ProviderAccountSettings, session: aiohttp.ClientSession) -> Account:
    """Put a vendor's account behind its circuit and its throttle."""
    policy = CircuitPolicy(settings.circuit_failures_max, settings.circuit_open_seconds, settings.circuit_stop_seconds)
    throttle = Throttle(
        TokenBucket(settings.requests_per_second, settings.reserved_share),
        settings.connections_max,
        settings.reserved_share,
        settings.wait_seconds_max,
        settings.waiting_max,
    )
    return Account(settings, ChuangLan(settings, session), Circuit(settings.name, policy), throttle)
