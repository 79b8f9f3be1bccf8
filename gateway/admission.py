"""Who may use a route: a brand's app by its API key, a user by a token, or anybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias

from gateway.exchange import Request
from gateway.keys.domain import ApiKey
from gateway.keys.ring import SCHEME, KeyRing
from gateway.limits import TokenBuckets
from gateway.refusals import (
    brand_not_allowed,
    credential_refused,
    scope_missing,
    token_not_allowed,
    user_not_allowed,
)
from gateway.transcoding.json_decoding import Fields
from gateway.transcoding.routes import Route
from mesh.access_tokens import AccessTokens, TokenExpiredError, TokenInvalidError, UserToken

_TOKEN_DOTS = 2
_NETWORK_BITS = 64

Caller: TypeAlias = ApiKey | UserToken | None
"""Who makes a request; None is anybody."""


@dataclass(frozen=True, slots=True)
class Callers:
    """What tells callers from each other, and how much each may ask."""

    keys: KeyRing
    tokens: AccessTokens
    key_buckets: TokenBuckets
    user_buckets: TokenBuckets
    address_buckets: TokenBuckets


class Gate:
    """Lets those in who may use one route. Nothing that it says depends on whether what they ask for exists."""

    def __init__(self, route: Route, callers: Callers) -> None:
        self._callers = callers
        self._scope = route.scope
        self._brand_field = route.brand_field or ""
        self._user_field = route.user_field or ""
        self._open_to_users = route.open_to_users
        self._open_to_all = route.open_to_all

    async def identify(self, request: Request) -> Caller:
        """Say who makes a request, and count it. Raises a ProblemError: 401 or RATE_LIMITED."""
        if self._open_to_all:
            self._callers.address_buckets.take(network_of(request.client_host))
            return None
        authorization = request.all_of(b"authorization")
        text = _token_text(authorization)
        if text is None:
            key = await self._callers.keys.authenticate(authorization)
            request.key_id = key.key_id
            self._callers.key_buckets.take(key.key_id)
            return key
        token = self._read(text)
        request.user_id = token.user_id
        self._callers.user_buckets.take(f"{token.brand_id}/{token.user_id}")
        return token

    def admit(self, caller: Caller, path_fields: Fields) -> int | None:
        """Check what a caller may do; answer the brand that the request is about. Raises a ProblemError: 403."""
        found = path_fields.get(self._brand_field)
        brand_id = found if isinstance(found, int) else None
        if isinstance(caller, ApiKey):
            self._check_key(caller, brand_id)
        elif isinstance(caller, UserToken):
            self._check_token(caller, brand_id, path_fields)
        return brand_id

    def _read(self, text: str) -> UserToken:
        try:
            return self._callers.tokens.read(text)
        except TokenExpiredError:
            raise credential_refused("TOKEN_EXPIRED", "this token's time is over; refresh it or log in again") from None
        except TokenInvalidError:
            raise credential_refused("TOKEN_INVALID", "this is no access token of a user; log in again") from None

    def _check_key(self, key: ApiKey, brand_id: int | None) -> None:
        if self._scope not in key.scopes:
            raise scope_missing(self._scope)
        if brand_id is not None and not key.may_use_brand(brand_id):
            raise brand_not_allowed(brand_id, "API key")

    def _check_token(self, token: UserToken, brand_id: int | None, path_fields: Fields) -> None:
        if not self._open_to_users:
            raise token_not_allowed(self._scope)
        if token.brand_id != brand_id:
            raise brand_not_allowed(brand_id, "token")
        if self._user_field and str(path_fields[self._user_field]) != token.user_id:
            raise user_not_allowed()


def network_of(host: str | None) -> str:
    """Answer what a caller cannot change about its address: of an IPv6 address the network that it was given."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _NETWORK_BITS), strict=False))


def _token_text(authorization: Sequence[str]) -> str | None:
    """The text of a user's token, which has dots as no API key has. Whatever else was sent, the key ring judges."""
    if len(authorization) != 1 or not authorization[0].lower().startswith(SCHEME):
        return None
    text = authorization[0][len(SCHEME) :].strip()
    return text if text.count(".") == _TOKEN_DOTS else None
