"""`python -m bench.raw_server grpc|http PORT`: a server that does nothing, to see what the parts alone can do."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import grpc
import uvicorn
import uvloop

from brandmesh.costcenter.v1 import costcenter_pb2 as pb
from gateway.exchange import Receive, Scope, Send
from gateway.http_server import BoundedHttpProtocol, HttpServer
from mesh.loopback import LOOPBACK

ECHO_SERVICE = "bench.Echo"
ECHO_METHOD = "Echo"


async def _echo(request: pb.SmsSendPrePayRequest, _: object) -> pb.SmsSendPrePayRequest:
    return request


async def _hello(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})


async def serve_grpc(port: int, stop: asyncio.Event) -> None:
    """Answer each call with its request, through nothing but grpc.aio and protobuf."""
    server = grpc.aio.server()
    echo = grpc.unary_unary_rpc_method_handler(
        _echo,
        request_deserializer=pb.SmsSendPrePayRequest.FromString,
        response_serializer=pb.SmsSendPrePayRequest.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO_SERVICE, {ECHO_METHOD: echo}),))
    server.add_insecure_port(f"{LOOPBACK}:{port}")
    await server.start()
    await stop.wait()
    await server.stop(None)


async def serve_http(port: int, stop: asyncio.Event) -> None:
    """Say hello, through the gateway's HTTP server and loop."""
    config = uvicorn.Config(
        _hello, http=BoundedHttpProtocol, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False
    )
    with socket.create_server((LOOPBACK, port)) as listener:
        server = HttpServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        server.should_exit = True
        await serving


async def _main(kind: str, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await {"grpc": serve_grpc, "http": serve_http}[kind](port, stop)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "http" else None) as runner:
        runner.run(_main(sys.argv[1], int(sys.argv[2])))
