"""Run with `python -m messagecenter_rpc`; `--help` lists the settings."""

from mesh.process import run
from messagecenter_rpc.settings import Settings
from messagecenter_rpc.wiring import main

if __name__ == "__main__":
    run(Settings, main, "messagecenter_rpc")
