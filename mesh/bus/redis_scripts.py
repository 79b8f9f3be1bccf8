"""The scripts of the streams bus, and the keys they work on."""

from __future__ import annotations

import zlib

from mesh.bus.port import DEAD_SUFFIX
from mesh.redis_script import LuaScript

_PACKAGE = "mesh.bus"


def _queue_script(name: str, *, frees_memory: bool = False) -> LuaScript:
    return LuaScript.from_files(_PACKAGE, "queue.lua", name, frees_memory=frees_memory)


PUBLISH = _queue_script("publish.lua")
RECEIVE = _queue_script("receive.lua", frees_memory=True)
ACK = _queue_script("ack.lua", frees_memory=True)
NACK = _queue_script("nack.lua", frees_memory=True)
EXTEND = _queue_script("extend.lua", frees_memory=True)
DEAD = _queue_script("dead.lua", frees_memory=True)
REQUEUE_DEAD = _queue_script("requeue_dead.lua")
DEPTH = _queue_script("depth.lua")
READY = LuaScript.from_files(_PACKAGE, "ready.lua")

WAKE_CHANNEL = "bus:wake"


class Keys:
    """Names keys so that those of one queue, of its dead letters and of their bucket share a Redis Cluster slot."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def of_queue(self, queue: str) -> list[str]:
        """Name what every queue script takes: stream, hidden, delayed, due, queues."""
        tag = self._tag(zlib.crc32(queue.removesuffix(DEAD_SUFFIX).encode()) % self._buckets)
        return [
            f"{tag}:stream:{queue}",
            f"{tag}:hidden:{queue}",
            f"{tag}:delayed:{queue}",
            f"{tag}:due",
            f"{tag}:queues",
        ]

    def stream(self, queue: str) -> str:
        return self.of_queue(queue)[0]

    def registry(self, queue: str) -> str:
        return self.of_queue(queue)[4]

    def due(self) -> list[str]:
        """Name the due set of each bucket."""
        return [f"{self._tag(bucket)}:due" for bucket in range(self._buckets)]

    def registries(self) -> list[str]:
        """Name the set of queues of each bucket."""
        return [f"{self._tag(bucket)}:queues" for bucket in range(self._buckets)]

    @staticmethod
    def _tag(bucket: int) -> str:
        return f"{{b{bucket:02d}}}"
