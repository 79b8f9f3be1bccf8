"""Run with `python -m costcenter_rmq`; `--help` lists the settings."""

from costcenter_rmq.settings import Settings
from costcenter_rmq.wiring import main
from mesh.process import run

if __name__ == "__main__":
    run(Settings, main, "costcenter_rmq")
