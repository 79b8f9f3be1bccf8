"""What a proxy must know of a client that receives: its settings, on a stream that stays, and that it lives."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import grpc

from mesh import telemetry
from mesh.bus.port import BusUnavailableError
from mesh.bus.rocketmq.protocol import definition, service
from mesh.ending import end
from mesh.retry import full_jitter_seconds

READY_SECONDS_MAX = 5.0
HEARTBEAT_SECONDS = 10.0
"""A proxy forgets a client that it has not heard of for a minute."""

_REQUEST_SECONDS_MAX = 5.0
_PAUSE_SECONDS_FIRST = 0.1
_PAUSE_SECONDS_MAX = 2.0

Metadata: TypeAlias = tuple[tuple[str, str], ...]
"""What goes with each request of one client: above all its id."""

log = telemetry.logger(part="rocketmq")


class Session:
    """Introduces one client of the consumer group `group`, again whenever the connection or the proxy was lost."""

    def __init__(self, stub: Any, metadata: Metadata, group: str) -> None:
        self._stub = stub
        self.metadata = metadata
        self.group = group
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def ready(self) -> None:
        """Wait until the proxy knows us. Raises BusUnavailableError where it does not answer."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="rocketmq session")
        elif self._task.done():
            self._task.result()
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                await self._ready.wait()
        except TimeoutError:
            raise BusUnavailableError("RocketMQ: the proxy takes no new client") from None

    async def close(self) -> None:
        """End it. The proxy forgets us when it sees the stream gone."""
        if self._task is not None:
            await end(self._task)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                await self._hold()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, BusUnavailableError) as error:
                log.info("proxy lost", error=str(error))
            finally:
                failures = 0 if self._ready.is_set() else failures + 1
                self._ready.clear()
            await asyncio.sleep(full_jitter_seconds(failures + 1, _PAUSE_SECONDS_FIRST, 2.0, _PAUSE_SECONDS_MAX))

    async def _hold(self) -> None:
        """Open the stream, and stay until the proxy ends it or no longer knows us."""
        stream = self._stub.Telemetry(metadata=self.metadata)
        await stream.write(self._settings())
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                answered, _ = await asyncio.wait([reading], timeout=HEARTBEAT_SECONDS)
                if answered:
                    # A stream that the other side cancelled says so by a cancellation of the reading.
                    if reading.cancelled() or reading.result() is grpc.aio.EOF:
                        return
                    reading = asyncio.ensure_future(stream.read())
                # Settings that no heartbeat follows are forgotten again.
                await self._heartbeat()
                self._ready.set()
        finally:
            reading.cancel()
            stream.cancel()

    async def _heartbeat(self) -> None:
        request = service.HeartbeatRequest(client_type=definition.SIMPLE_CONSUMER)
        request.group.name = self.group
        answer = await self._stub.Heartbeat(request, metadata=self.metadata, timeout=_REQUEST_SECONDS_MAX)
        if answer.status.code != definition.OK:
            raise BusUnavailableError(f"RocketMQ refused a heartbeat: {answer.status.message}")

    def _settings(self) -> Any:
        command = service.TelemetryCommand()
        settings = command.settings
        settings.client_type = definition.SIMPLE_CONSUMER
        settings.request_timeout.seconds = int(_REQUEST_SECONDS_MAX)
        settings.user_agent.language = definition.PYTHON
        settings.subscription.group.name = self.group
        return command
