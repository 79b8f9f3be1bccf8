"""Connections to Redis or Valkey, the same for everything in the mesh that uses one."""

from __future__ import annotations

from urllib.parse import urlsplit

from mesh.lean_imports import without

# redis-py loads OpenTelemetry's SDK, which comes with the extra `rocketmq`, to count what nobody has asked it to count:
# 2 MB and 40 ms of every process. Of cryptography it wants OCSP, which nobody has asked for either. `mesh.bus` and
# `mesh.inbox` load this module before anything of redis-py.
with without("opentelemetry.sdk", "cryptography"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialWithJitterBackoff
    from redis.exceptions import (
        ClusterDownError,
        ConnectionError,  # noqa: A004  # redis-py names it so
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
        ResponseError,
        TimeoutError,  # noqa: A004  # redis-py names it so
    )

REDIS_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
"""URL schemes that are taken, and what redis-py calls them."""

CONNECT_SECONDS_MAX = 2.0
ANSWER_SECONDS_MAX = 5.0
POOL_WAIT_SECONDS_MAX = 5.0

_TEMPORARY_CODES = ("MISCONF", "NOREPLICAS", "BUSY", "TRYAGAIN")
_TEMPORARY_ERRORS = (ConnectionError, TimeoutError, OutOfMemoryError, ReadOnlyError, ClusterDownError)


def connect_redis(url: str, client_name: str, connections_max: int = 16) -> Redis:
    """Make a client whose every call ends: in an answer, or in a `RedisError` within some ten seconds.

    A broken connection is made anew twice, with a pause; an answer that takes too long is not asked for again. It talks
    RESP2, which Redis and Valkey answer alike. `client_name` is what CLIENT LIST shows. Nothing is connected yet.
    """
    scheme = urlsplit(url).scheme
    if scheme not in REDIS_SCHEMES:
        known = ", ".join(f"{name}://" for name in REDIS_SCHEMES)
        raise ValueError(f"{scheme or url!r} is no scheme of a Redis URL: use one of {known}")
    pool = BlockingConnectionPool.from_url(
        REDIS_SCHEMES[scheme] + url.removeprefix(scheme),
        protocol=2,
        client_name=client_name,
        max_connections=connections_max,
        timeout=POOL_WAIT_SECONDS_MAX,
        socket_connect_timeout=CONNECT_SECONDS_MAX,
        socket_timeout=ANSWER_SECONDS_MAX,
        socket_keepalive=True,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=2, supported_errors=(ConnectionError,)),
    )
    return Redis.from_pool(pool)


def is_unavailable(error: RedisError) -> bool:
    """Tell "the server cannot be reached, or cannot take this now" from "the request is wrong"."""
    if isinstance(error, _TEMPORARY_ERRORS):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_TEMPORARY_CODES)
