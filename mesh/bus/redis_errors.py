"""What errors of Redis mean to the buses that keep something there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from mesh.bus.port import BusUnavailableError
from mesh.redis_connection import is_unavailable


@contextmanager
def unavailable() -> Iterator[None]:
    """Say that the bus is away when its Redis is."""
    try:
        yield
    except RedisError as error:
        if is_unavailable(error):
            raise BusUnavailableError(str(error)) from error
        raise
