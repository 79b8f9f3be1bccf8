"""Run with `python -m gateway`; `--help` lists the settings."""

import uvloop

from gateway.settings import Settings
from gateway.wiring import main
from mesh.process import run

if __name__ == "__main__":
    # Much of what the gateway does is moving small requests between sockets, which uvloop does in less time.
    run(Settings, main, "gateway", loop_factory=uvloop.new_event_loop)
