"""Run with `python -m costcenter_rpc`; `--help` lists the settings."""

from costcenter_rpc.settings import Settings
from costcenter_rpc.wiring import main
from mesh.process import run

if __name__ == "__main__":
    run(Settings, main, "costcenter_rpc")
