"""Run with `python -m order_rpc`; `--help` lists the settings."""

from mesh.process import run
from order_rpc.settings import Settings
from order_rpc.wiring import main

if __name__ == "__main__":
    run(Settings, main, "order_rpc")
