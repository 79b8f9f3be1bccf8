"""Running one process: telemetry first, SIGTERM and SIGINT as a request to drain, and a non-zero exit on failure."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import CliApp, SettingsError

from mesh import telemetry
from mesh.settings import ProcessSettings

Settings = TypeVar("Settings", bound=ProcessSettings)
Main = Callable[[Settings, asyncio.Event], Awaitable[None]]


def run(
    settings_type: type[Settings],
    main: Main[Settings],
    service: str,
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Load settings from the environment and the flags, and run `main(settings, stop)` until it returns.

    `stop` is set by SIGTERM or SIGINT; `main` then drains and returns. `loop_factory` makes another loop than
    asyncio's own.
    """
    try:
        settings = CliApp.run(settings_type)
    except ValidationError as error:
        sys.exit(f"{service}: " + "; ".join(_problem(settings_type, one) for one in error.errors(include_input=False)))
    except SettingsError as error:
        sys.exit(f"{service}: {error}")
    telemetry.start(settings, service)
    # What was imported lives as long as the process: walking through it at each full collection would stop all work
    # for tens of milliseconds, several times a second under load. It is not walked through here either: that would be
    # a tenth of the start, to find a few hundred objects.
    gc.freeze()
    # What is left is young and small: looked through each 700 objects, as Python has it, it costs 3 % of a message.
    gc.set_threshold(10_000, 10, 10)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_run_until_stopped(settings, main))


def name_of_this_start() -> str:
    """Name this start of this process, in 64 characters at most: a restarted one must not pass for one that died."""
    return f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"


def _problem(settings_type: type[ProcessSettings], error: ErrorDetails) -> str:
    """Say what is wrong with a setting, by the name of its variable. Its value may be a secret and is not shown."""
    if not error["loc"]:
        return error["msg"]
    name, *inside = map(str, error["loc"])
    variable = f"{settings_type.model_config.get('env_prefix', '')}{name}".upper()
    return f"{'.'.join([variable, *inside])}: {error['msg']}"


async def _run_until_stopped(settings: Settings, main: Main[Settings]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(settings, stop)
