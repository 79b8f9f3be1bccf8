"""What comes of an attempt in a flash sale, as server-sent events: as it stands now, and again when it has its end.

It says what polling GetAttempt says. News wakes it by Redis pub/sub, which may lose some: the rows are the truth, and
are looked at now and then anyway. How many streams there are, and how long each lasts, is bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

import mesh.redis_connection  # noqa: F401  # the first to load redis-py, as it says there
from brandmesh.flashsale.v1 import flash_sale_pb2 as pb
from gateway.admission import Callers, Gate
from gateway.calls import Call
from gateway.exchange import Answer, Endpoint, Request, endpoint
from gateway.limits import Budget
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.json_encoding import response_encoder
from gateway.transcoding.routes import Route
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
        self._streams = Budget("the number of event streams", STREAMS_MAX)
        self._clock = time.monotonic
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wake = WakeChannel(redis, OUTCOMES_CHANNEL, self._on_wake)

    def endpoints(self) -> Sequence[Endpoint]:
        """Answer what is served."""
        return [endpoint("GET", self._path, self.handle)]

    async def close(self) -> None:
        """Listen no more."""
        await self._wake.close()

    async def handle(self, request: Request, values: Sequence[str]) -> Answer:
        """Begin a stream, or refuse as GetAttempt would."""
        caller = await self._gate.identify(request)
        path_fields = self._binder.bind_path(values)
        request.brand_id = self._gate.admit(caller, path_fields)
        message = self._binder.bind(path_fields, request.query_string, b"")
        found = await self._ask(message)
        if request.method == "HEAD":
            return Answer(b"", media_type=_MEDIA_TYPE, headers=_HEADERS)
        self._wake.start()
        parts = self._stream(message, found)
        # Begun here, where it can still be refused for want of a place.
        first = await anext(parts)
        return Answer(first, media_type=_MEDIA_TYPE, headers=_HEADERS, parts=parts)

    async def _stream(self, message: Message, found: Any) -> AsyncGenerator[bytes, None]:
        deadline = self._clock() + STREAM_SECONDS_MAX
        attempt_id: str = found.attempt.attempt_id
        news = asyncio.Event()
        with self._streams.hold(1):
            self._waiting[attempt_id].add(news)
            try:
                yield self._event(found)
                # Looked at again at once: what came between the first look and now woke nobody.
                while not _is_ended(found) and self._clock() < deadline:
                    found = await self._look(message, found)
                    # A line that says nothing shows that the connection is alive.
                    yield self._event(found) if _is_ended(found) else b":\n\n"
                    if not _is_ended(found):
                        await set_within(news, LOOK_SECONDS)
                        news.clear()
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


def _is_ended(found: Any) -> bool:
    return bool(found.attempt.status != pb.ATTEMPT_STATUS_IN_PROGRESS)
