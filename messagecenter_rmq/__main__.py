"""Run with `python -m messagecenter_rmq`; `--help` lists the settings."""

from mesh.process import run
from messagecenter_rmq.settings import Settings
from messagecenter_rmq.wiring import main

if __name__ == "__main__":
    run(Settings, main, "messagecenter_rmq")
