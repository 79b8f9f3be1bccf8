"""What the parts can do by themselves: no figure of the mesh can be better than the parts that it is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import grpc

from bench import raw_server
from bench.engine_choice import DatabaseEngine
from bench.figures import Figure
from bench.local import empty_directory
from bench.rate import rate
from bench.raw_commits import commits_rates
from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from mesh.bus.port import Message
from mesh.bus.redis_streams import RedisStreamsBus
from mesh.embedded_valkey import EmbeddedValkey
from mesh.loopback import LOOPBACK, free_port, listens
from mesh.redis_connection import connect_redis
from meshctl.supervisor import ProcessSpec, Supervisor

ROW = "raw limits"
CALLERS = 64
ECHO_CALLS = 15_000
HELLO_CALLS = 20_000
PUBLISHES = 30_000
PUBLISH_BATCH = 100

_ECHO_REQUEST = pb.SmsSendPrePayRequest(brand_id=1001, request_id="r" * 90, num=1, reference="reference")
"""115 bytes or so, as a request of the mesh has."""

_HELLO_BODY = {"requestId": "r" * 36, "phones": ["13800000001"], "content": "Your code is 246810"}


async def measure(database: DatabaseEngine, runs: int) -> list[Figure]:
    """Measure each part `runs` times."""
    results = [await _run(database) for _ in range(runs)]
    return [Figure(ROW, what, unit, tuple(result[what, unit] for result in results)) for what, unit in results[0]]


async def _run(database: DatabaseEngine) -> dict[tuple[str, str], float]:
    """Measure once; answer rates by name and unit."""
    return {
        (f"grpc.aio echo, {CALLERS} callers", "calls/s"): await grpc_echo_rate(),
        (f"HTTP hello, {CALLERS} connections", "requests/s"): await http_hello_rate(),
        **{(what, "commits/s"): found for what, found in (await commits_rates(database)).items()},
        **{(what, "messages/s"): found for what, found in (await publish_rates()).items()},
    }


async def grpc_echo_rate() -> float:
    """Answer calls a second that a grpc.aio client and server in two processes do, the message a request of ours."""
    async with _raw_server("grpc") as address, grpc.aio.insecure_channel(address) as channel:
        echo = channel.unary_unary(
            f"/{raw_server.ECHO_SERVICE}/{raw_server.ECHO_METHOD}",
            request_serializer=pb.SmsSendPrePayRequest.SerializeToString,
            response_deserializer=pb.SmsSendPrePayRequest.FromString,
        )

        async def call() -> None:
            await echo(_ECHO_REQUEST, timeout=10)

        await rate(call, callers=CALLERS, times=ECHO_CALLS // 10)
        return await rate(call, callers=CALLERS, times=ECHO_CALLS)


async def http_hello_rate() -> float:
    """Answer requests a second that aiohttp's client and the gateway's server stack do."""
    async with (
        _raw_server("http") as address,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def call() -> None:
            async with session.post(f"http://{address}/", json=_HELLO_BODY) as response:
                await response.read()

        await rate(call, callers=CALLERS, times=HELLO_CALLS // 10)
        return await rate(call, callers=CALLERS, times=HELLO_CALLS)


async def publish_rates() -> dict[str, float]:
    """Answer messages a second that streams on the embedded Valkey take."""
    with empty_directory() as state:
        valkey = await EmbeddedValkey.start(state)
        try:
            # A connection for each caller: in the pool, those that wait do not get their turn from those that go on.
            bus = RedisStreamsBus(connect_redis(valkey.url, "bench", connections_max=CALLERS))
            messages = [Message(b"1234567890")] * PUBLISH_BATCH
            singly = await rate(partial(bus.publish, "bench", messages[:1]), callers=CALLERS, times=PUBLISHES)
            batches = await rate(partial(bus.publish, "bench", messages), callers=1, times=PUBLISHES // PUBLISH_BATCH)
            await bus.close()
        finally:
            await valkey.stop()
    return {
        f"bus publishes, one at a time by {CALLERS} callers": singly,
        f"bus publishes, batches of {PUBLISH_BATCH} by one caller": batches * PUBLISH_BATCH,
    }


@asynccontextmanager
async def _raw_server(kind: str) -> AsyncIterator[str]:
    """Run a server of bench.raw_server in a process of its own; answer its address."""
    port = free_port()
    with empty_directory() as state:
        supervisor = Supervisor(state)
        spec = ProcessSpec(kind, raw_server.__name__, {}, partial(listens, port), (kind, str(port)))
        await supervisor.start([spec])
        try:
            yield f"{LOOPBACK}:{port}"
        finally:
            await supervisor.stop()
