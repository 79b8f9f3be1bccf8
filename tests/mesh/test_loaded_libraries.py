"""What each process loads: a library that it does not use is memory, and time at each of its starts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RPCS = ("costcenter_rpc", "sms_rpc", "order_rpc", "messagecenter_rpc", "txim_rpc")
CONSUMERS = ("costcenter_rmq", "sms_rmq", "order_rmq", "messagecenter_rmq")
PROCESSES = (*RPCS, *CONSUMERS, "gateway", "meshctl")
COMMAND_LINES = ("meshctl",)
NOBODY: tuple[str, ...] = ()

MAY_LOAD = {
    "sqlalchemy": (*RPCS, "gateway"),
    "sqlalchemy.dialects.mysql": NOBODY,  # until a database is opened that is one
    "sqlalchemy.dialects.postgresql": NOBODY,  # likewise
    "alembic": NOBODY,  # until there is a migration to run
    "protovalidate": RPCS,
    "redis": tuple(name for name in PROCESSES if name != "txim_rpc"),
    "rocketmq": NOBODY,  # until a bus is opened that is one
    "opentelemetry.sdk": NOBODY,
    "aiohttp": ("sms_rmq", "order_rpc", "txim_rpc", "meshctl"),
    "cryptography": COMMAND_LINES,  # others not until there is a channel whose keys it reads
    "uvicorn": ("gateway",),
    "phonenumbers": ("sms_rpc", "order_rpc"),
    "typer": COMMAND_LINES,
    "rich": COMMAND_LINES,
    "pygments": COMMAND_LINES,
}
"""Libraries of more than a megabyte, and who uses them on the engines that are the default."""

LOADED = """
import importlib, json, sys
importlib.import_module(f"{sys.argv[1]}.__main__")
print(json.dumps(list(sys.modules)))
"""


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_loads_what_it_uses(process: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", LOADED, process], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    loaded = set(json.loads(printed))
    assert [name for name, users in MAY_LOAD.items() if name in loaded and process not in users] == []
