"""Running the sandbox: bind, serve, stop in order."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable

import aiohttp
from aiohttp import web
from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from sandbox.app import build_app, build_world
from sandbox.json_http import explain
from sandbox.settings import Settings
from sandbox.world import World

_log = logging.getLogger(__name__)


def main() -> None:
    """Serve with the settings of the environment and the command line until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # The messages kept are many and hold no cycles: collecting the oldest generation at its usual pace
    # would stop the server for up to a second, again and again, to find nothing.
    gc.set_threshold(700, 10, 10_000)
    settings = _load_settings()
    try:
        asyncio.run(_serve_until_signalled(settings))
    except OSError as error:
        sys.exit(f"sandbox: cannot listen on {settings.host} port {settings.port}: {error.strerror}")


async def serve(settings: Settings, stopping: asyncio.Event, on_bound: Callable[[str], None]) -> None:
    """Serve until the event is set; `on_bound` is called with the base URL once requests are taken.

    At the stop no new request is taken, requests and pushes under way finish within the grace, pending pushes
    are dropped.

    Raises:
        OSError: the address cannot be listened on.

    """
    connector = aiohttp.TCPConnector(limit=settings.push_connections_max)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        world = build_world(settings, session, stopping)
        runner = await _listen(world)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.queue.run())
            try:
                on_bound(_base_url(runner))
                await stopping.wait()
            finally:
                await runner.cleanup()
                await world.queue.stop(settings.stop_grace_seconds)
                world.pusher.close()


async def _listen(world: World) -> web.AppRunner:
    settings = world.settings
    runner = web.AppRunner(
        build_app(world), access_log=None, handler_cancellation=True, shutdown_timeout=settings.stop_grace_seconds
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _load_settings() -> Settings:
    """Read the settings; a wrong one ends the program with its name and what is wrong with it."""
    try:
        return CliApp.run(Settings)
    except ValidationError as error:
        sys.exit(f"sandbox: {explain(error)}")
    except SettingsError as error:
        sys.exit(f"sandbox: {error}")


async def _serve_until_signalled(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await serve(settings, stopping, _announce)
    _log.info("stopped")


def _announce(url: str) -> None:
    """Print the address on standard output, for whoever started the sandbox on a free port."""
    print(f"sandbox listening on {url}", flush=True)  # noqa: T201 - the line is this program's output


def _base_url(runner: web.AppRunner) -> str:
    host, port, *_ = runner.addresses[0]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
