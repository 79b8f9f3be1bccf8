import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc

from gateway.contracts import IMAGE
from mesh.embedded_valkey import EmbeddedValkey
from tests.gateway.harness import CompileProto, Served, ServeGateway, serve_gateway

HEADER = """
syntax = "proto3";
package trial.v1;
import "brandmesh/options/v1/options.proto";
import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
"""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def compile_proto(tmp_path: Path) -> CompileProto:
    """Compile the text of a .proto file that may use our options, into a pool of its own."""

    def compile_text(text: str) -> FileDescriptor:
        source, image = tmp_path / "trial.proto", tmp_path / "trial.binpb"
        source.write_text(HEADER + text)
        arguments = ["protoc", f"--descriptor_set_in={IMAGE}", f"-I{tmp_path}", f"--descriptor_set_out={image}"]
        assert protoc.main([*arguments, "trial.proto"]) == 0
        pool = descriptor_pool.DescriptorPool()
        for path in (IMAGE, image):
            for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
                pool.Add(file)
        return pool.FindFileByName("trial.proto")

    return compile_text


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedValkey]:
    server = await EmbeddedValkey.start(tmp_path_factory.mktemp("valkey"))
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(tmp_path_factory: pytest.TempPathFactory, valkey: EmbeddedValkey) -> AsyncIterator[Served]:
    """The gateway that a module's tests share, with the default limits."""
    async with serve_gateway(tmp_path_factory.mktemp("gateway"), valkey.url) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tmp_path: Path, valkey: EmbeddedValkey) -> AsyncIterator[ServeGateway]:
    """Start a gateway with settings of a test's own."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Served:
            return await stack.enter_async_context(serve_gateway(tmp_path, valkey.url, **changes))

        yield start
