"""Run with `python -m gateway`; `--help` lists the settings."""

from gateway.settings import Settings
from gateway.wiring import main
from mesh.process import run

if __name__ == "__main__":
    run(Settings, main, "gateway")
