from __future__ import annotations

import subprocess
import sys

STARTS_BESIDE_CALLS = """
import asyncio, sys
import mesh
import grpc
from mesh.child_process import end_with_parent

async def main():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        async def call():
            try:
                await channel.unary_unary("/no/Such")(b"")
            except grpc.aio.AioRpcError:
                pass
        for _ in range(20):
            calls = [asyncio.create_task(call()) for _ in range(50)]
            child = await asyncio.create_subprocess_exec("true", preexec_fn=end_with_parent())
            assert await child.wait() == 0
            await asyncio.gather(*calls)
    await server.stop(0)

asyncio.run(main())
"""


def test_a_child_that_is_started_beside_calls_is_not_touched_by_grpc() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS_BESIDE_CALLS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "fork_posix" not in done.stderr, "gRPC's own handlers of a fork did run"
