"""ChuangLan's pushes of receipts and uplinks (ChuangLan V1: GET with `receiver`, `pswd` and the figures as parameters).

A push is answered at once and understood later: it goes as it came on one of several Redis lists. `000000` says taken;
`111111` asks the provider to push again, which it does three times, a minute apart.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import unquote_plus

import orjson

from gateway.bodies import read_body
from gateway.exchange import Answer, Endpoint, Request, endpoint
from gateway.refusals import body_too_large, refuse, route_not_found
from mesh import telemetry
from mesh.errors import DomainError

INBOX_NAME = "sms.receipts"
"""The Redis lists that sms_rmq takes receipts and uplinks from."""

PATH = "/webhooks/chuanglan/{secret}/{kind}"
INTERNATIONAL_PATH = "/webhooks/chuanglan/{secret}/international/{kind}"
"""Where international accounts push: 14155552671 is a phone in the USA to them, and one of mainland China to others,
and nothing in a push says whose it is."""

PUSH_BYTES_MAX = 16 << 10
PARAMETERS_MAX = 64
_BODY_SECONDS_MAX = 5.0
_KEEP_SECONDS_MAX = 3.0
_KINDS = frozenset({"receipt", "uplink"})

_TAKEN = b'{"clcode":"000000"}'
_PUSH_AGAIN = b'{"clcode":"111111"}'

log = telemetry.logger()


class Inbox(Protocol):
    """Where pushes are kept until they are understood."""

    async def push(self, body: bytes) -> None:
        """Keep a push. Raises DomainError when that is not possible now."""
        ...


@dataclass(frozen=True, slots=True)
class ChuanglanAccess:
    """Who may push: the secret part of the path, what the provider sends with each push, and where from."""

    secret: str
    receiver: str
    password: str
    networks: Sequence[IPv4Network | IPv6Network] = ()


class ChuanglanWebhook:
    """Takes pushes."""

    def __init__(self, access: ChuanglanAccess, inbox: Inbox) -> None:
        self._access = access
        self._inbox = inbox

    def endpoints(self) -> list[Endpoint]:
        return [
            endpoint(method, path, partial(self._handle, international=international))
            for path, international in ((PATH, False), (INTERNATIONAL_PATH, True))
            for method in ("GET", "POST")
        ]

    async def _handle(self, request: Request, values: Sequence[str], *, international: bool) -> Answer:
        """Check who pushes, keep the push, answer. Refuses with 404 (secret), 403 (sender), 413 (size)."""
        secret, kind = values
        if not _same(self._access.secret, secret) or kind not in _KINDS:
            raise route_not_found()
        self._check_address(request)
        query = await _read_query(request)
        self._check_sender(query)
        item = {"kind": kind, "international": international, "query": _without_password(query)}
        try:
            async with asyncio.timeout(_KEEP_SECONDS_MAX):
                await self._inbox.push(orjson.dumps(item))
        except (DomainError, TimeoutError) as error:
            log.warning("push not kept, the provider is asked to push again", error=str(error) or "time-out")
            return Answer(_PUSH_AGAIN)
        return Answer(_TAKEN)

    def _check_address(self, request: Request) -> None:
        if not self._access.networks:
            return
        address = ip_address(request.client_host) if request.client_host else None
        if address is None or not any(address in network for network in self._access.networks):
            raise refuse("WEBHOOK_REFUSED", "this address may not push here")

    def _check_sender(self, query: str) -> None:
        parts = query.split("&")
        if len(parts) > PARAMETERS_MAX:
            raise body_too_large(PUSH_BYTES_MAX)
        # The rest is decoded where it is understood.
        parameters = dict(part.partition("=")[::2] for part in parts)
        receiver = _same(self._access.receiver, unquote_plus(parameters.get("receiver", "")))
        password = _same(self._access.password, unquote_plus(parameters.get("pswd", "")))
        if not (receiver and password):
            raise refuse("WEBHOOK_REFUSED", "receiver or pswd is wrong")


async def _read_query(request: Request) -> str:
    """The parameters as they came: of the query, and of the form when the provider posts one."""
    body = await read_body(request, bytes_max=PUSH_BYTES_MAX, seconds_max=_BODY_SECONDS_MAX)
    raw = b"&".join(part for part in (request.query_string, body) if part)
    if len(raw) > PUSH_BYTES_MAX:
        raise body_too_large(PUSH_BYTES_MAX)
    # Percent-encoded text is ASCII; what is not is kept readable and refused where it is understood.
    return raw.decode("utf-8", errors="replace")


def _without_password(query: str) -> str:
    return "&".join(part for part in query.split("&") if not part.startswith("pswd="))


def _same(expected: str, given: str) -> bool:
    """Whether a secret is right, in a time that tells nothing about it. One that is not configured is never right."""
    return bool(expected) and hmac.compare_digest(expected.encode(), given.encode())
