"""A request and its answer, as everything behind the edge sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.transcoding.templates import PathTemplate, parse_template

# ASGI, as its specification has them: messages and scopes are mappings of many types.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

JSON_MEDIA_TYPE = "application/json"

BODY_IS_COMPLETE = "brandmesh.body_is_complete"
"""The key of a scope that is there once the whole body has arrived: nothing waits for it any more."""


@dataclass(slots=True)
class Request:
    """One HTTP request, and what was found out about it so far, for its log line and its problems.

    `headers` has the last of a repeated header; `all_of` answers each of them.
    """

    scope: Scope
    receive: Receive
    headers: dict[bytes, bytes]
    request_id: str
    route: str = ""
    key_id: str = ""
    user_id: str = ""
    brand_id: int | None = None
    body_bytes: int = 0

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def raw_path(self) -> bytes:
        """The path as it came over the wire, still percent-encoded: ASCII."""
        path: bytes = self.scope["raw_path"]
        return path

    @property
    def query_string(self) -> bytes:
        query_string: bytes = self.scope["query_string"]
        return query_string

    @property
    def client_host(self) -> str | None:
        """The address of the caller, or what a trusted proxy says it is."""
        client: tuple[str, int] | None = self.scope["client"]
        return client[0] if client else None

    def header(self, name: bytes, default: str = "") -> str:
        """One header as text."""
        value = self.headers.get(name)
        return default if value is None else value.decode("latin-1")

    def all_of(self, name: bytes) -> list[str]:
        """Each header of this name, in their order."""
        return [value.decode("latin-1") for given, value in self.scope["headers"] if given == name]


@dataclass(slots=True)
class Answer:
    """What is written back; the request's id goes with it, and its length unless `parts` follow the body."""

    body: bytes
    status: int = 200
    media_type: str = JSON_MEDIA_TYPE
    headers: Sequence[tuple[bytes, bytes]] = ()
    parts: AsyncGenerator[bytes, None] | None = None


FLUSH = "brandmesh.flush"
"""The key of a scope that has a function: sends what was written so far, which otherwise waits for the end."""

Handle: TypeAlias = Callable[[Request, Sequence[str]], Awaitable[Answer]]
"""Answers a request, given the values of its path's variables. Raises ProblemError or DomainError to refuse it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who answers one method at one path."""

    method: str
    path: PathTemplate
    handle: Handle = field(repr=False)


def endpoint(method: str, path: str, handle: Handle) -> Endpoint:
    """Make an endpoint that no rpc stands behind."""
    return Endpoint(method, parse_template(path), handle)
