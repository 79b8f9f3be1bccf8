"""What is read of a name server's answers, which it gives while brokers come and go."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.brokers import Brokers
from mesh.bus.rocketmq.names import TopicNames
from mesh.loopback import LOOPBACK

READY = b'{"brokerAddrs":{0:"10.0.0.1:10911",1:"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"C"}'
WITHOUT_MASTER = b'{"brokerAddrs":{1:"10.0.0.4:10911"},"brokerName":"broker-b","cluster":"C"}'


@asynccontextmanager
async def name_server(cluster_info: bytes) -> AsyncIterator[Brokers]:
    """Serve one answer to whatever is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        await reader.readexactly(length)
        header = orjson.dumps({"code": 0, "language": "JAVA", "opaque": 0, "flag": 1, "version": 414})
        writer.write(struct.pack(">II", 4 + len(header) + len(cluster_info), len(header)) + header + cluster_info)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Brokers((f"{LOOPBACK}:{port}",), "C", TopicNames(""))


async def test_knows_the_masters_of_its_cluster() -> None:
    info = b'{"brokerAddrTable":{"broker-a":%b},"clusterAddrTable":{"C":["broker-a"]}}' % READY
    async with name_server(info) as brokers:
        assert await brokers.masters() == {"broker-a": "10.0.0.1:10911"}


async def test_leaves_out_a_broker_that_is_being_registered_and_one_without_its_master() -> None:
    """A name server notes the broker's name before its addresses."""
    table = b'{"broker-a":%b,"broker-b":%b}' % (READY, WITHOUT_MASTER)
    names = b'["broker-a","broker-b","broker-c"]'
    async with name_server(b'{"brokerAddrTable":%b,"clusterAddrTable":{"C":%b}}' % (table, names)) as brokers:
        assert await brokers.masters() == {"broker-a": "10.0.0.1:10911"}


@pytest.mark.parametrize("names", [b"{}", b'{"C":[]}', b'{"C":["broker-a"]}'])
async def test_without_a_broker_it_is_unavailable(names: bytes) -> None:
    async with name_server(b'{"brokerAddrTable":{},"clusterAddrTable":%b}' % names) as brokers:
        with pytest.raises(BusUnavailableError, match="know no broker"):
            await brokers.masters()
