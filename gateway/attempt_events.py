"""What comes of an attempt in a flash sale, as server-sent events: as it stands now, and again when it has its end.

It says what polling GetAttempt says. News wakes it by Redis pub/sub, which may lose some: the rows are the truth, and
are looked at now and then anyway. How many streams there are, in all and of one caller, and how long each lasts, is
bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

import mesh.redis_connection  # noqa: F401  # the first to load redis-py, as it says there
from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from gateway.admission import Caller, Callers, Gate
from gateway.calls import Call
from gateway.exchange import Answer, Endpoint, Request, endpoint
from gateway.keys.domain import ApiKey
from gateway.limits import Shares
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.json_encoding import response_encoder
from gateway.transcoding.routes import Route
from mesh.access_tokens import UserToken
from mesh.errors import DomainError
from mesh.redis_wake import WakeChannel
from mesh.waiting import set_within

if TYPE_CHECKING:
    # Not while it runs: mesh.redis_connection is to be the first that loads redis-py.
    from redis.asyncio import Redis

METHOD = pb.DESCRIPTOR.services_by_name["FlashSaleService"].methods_by_name["GetAttempt"]

OUTCOMES_CHANNEL = "flash_sale:outcomes"
"""Where the service of flash sales tells the ids of attempts that came to their end, with blanks between them."""

STREAMS_MAX = 2000
STREAMS_OF_KEY_MAX = 1000
"""The app of one brand leaves room for those of others."""

STREAMS_OF_USER_MAX = 8
STREAM_SECONDS_MAX = 120.0
"""A stream ends then, and its caller opens another one if it still waits."""

LOOK_SECONDS = 5.0

_MEDIA_TYPE = "text/event-stream"
_HEADERS = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


class AttemptEvents:
    """Streams the outcome of attempts."""

    def __init__(self, route: Route, call: Call, callers: Callers, redis: Redis, *, timeout_seconds: float) -> None:
        """`route` is that of GetAttempt, and `call` its rpc."""
        self._gate = Gate(route, callers)
        self._binder = RequestBinder(route)
        self._encode = response_encoder(route.method.output_type, route.rpc)
        self._path = f"{route.template.text}/events"
        self._call = call
        self._timeout_seconds = timeout_seconds
        self._places = Shares("the number of event streams", STREAMS_MAX)
        self._is_draining = False
        self._clock = time.monotonic
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wake = WakeChannel(redis, OUTCOMES_CHANNEL, self._on_wake)

    def endpoints(self) -> Sequence[Endpoint]:
        """Answer what is served."""
        return [endpoint("GET", self._path, self.handle)]

    def drain(self) -> None:
        """End all streams, so that nobody has to wait for them; their callers open others elsewhere."""
        self._is_draining = True
        self._on_wake(None)

    async def close(self) -> None:
        """Listen no more."""
        await self._wake.close()

    async def handle(self, request: Request, values: Sequence[str]) -> Answer:
        """Begin a stream, or refuse as GetAttempt would."""
        caller = await self._gate.identify(request)
        path_fields = self._binder.bind_path(values)
        request.brand_id = self._gate.admit(caller, path_fields)
        message = self._binder.bind(path_fields, request.query_string, b"")
        if request.method == "HEAD":
            await self._ask(message)
            return Answer(b"", media_type=_MEDIA_TYPE, headers=_HEADERS)
        self._wake.start()
        parts = self._stream(message, *_share(caller))
        # Begun here, where it can still be refused.
        first = await anext(parts)
        return Answer(first, media_type=_MEDIA_TYPE, headers=_HEADERS, parts=parts)

    async def _stream(self, message: Message, caller: str, streams_max: int) -> AsyncGenerator[bytes, None]:
        deadline = self._clock() + STREAM_SECONDS_MAX
        with self._places.hold(caller, streams_max):
            found = await self._ask(message)
            yield self._event(found)
            with self._news_of(found.attempt.attempt_id) as news:
                # Looked at again at once: what came between the first look and now woke nobody.
                while not (_is_ended(found) or self._is_draining or self._clock() >= deadline):
                    found = await self._look(message, found)
                    # A line that says nothing shows that the connection is alive.
                    yield self._event(found) if _is_ended(found) else b":\n\n"
                    if not _is_ended(found):
                        await set_within(news, LOOK_SECONDS)
                        news.clear()

    @contextmanager
    def _news_of(self, attempt_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when there is news of an attempt."""
        news = asyncio.Event()
        self._waiting[attempt_id].add(news)
        try:
            yield news
        finally:
            self._waiting[attempt_id].discard(news)
            if not self._waiting[attempt_id]:
                del self._waiting[attempt_id]

    async def _look(self, message: Message, found: Any) -> Any:
        """Read the attempt again; answer what was known where it cannot be read now."""
        try:
            return await self._ask(message)
        except DomainError as error:
            if not error.is_retryable:
                raise
            return found

    async def _ask(self, message: Message) -> Any:
        return await self._call(message, self._timeout_seconds)

    def _event(self, found: Any) -> bytes:
        """Write what GetAttempt answers, which has no line breaks, as an event."""
        return b"event: attempt\ndata: " + self._encode(found) + b"\n\n"

    def _on_wake(self, payload: str | None) -> None:
        attempt_ids = list(self._waiting) if payload is None else payload.split()
        for attempt_id in attempt_ids:
            for news in self._waiting.get(attempt_id, ()):
                news.set()


def _share(caller: Caller) -> tuple[str, int]:
    """Whose streams they are that a caller opens, and how many of them there may be."""
    if isinstance(caller, UserToken):
        return f"user {caller.brand_id}/{caller.user_id}", STREAMS_OF_USER_MAX
    return f"key {caller.key_id}" if isinstance(caller, ApiKey) else "", STREAMS_OF_KEY_MAX


def _is_ended(found: Any) -> bool:
    return bool(found.attempt.status != pb.ATTEMPT_STATUS_IN_PROGRESS)
