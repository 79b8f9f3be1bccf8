"""Run with `python -m order_rmq`; `--help` lists the settings."""

from mesh.process import run
from order_rmq.settings import Settings
from order_rmq.wiring import main

if __name__ == "__main__":
    run(Settings, main, "order_rmq")
