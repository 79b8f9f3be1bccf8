"""Run with `python -m txim_rpc`; `--help` lists the settings."""

from mesh.process import run
from txim_rpc.settings import Settings
from txim_rpc.wiring import main

if __name__ == "__main__":
    run(Settings, main, "txim_rpc")
