"""Run with `python -m sms_rmq`; `--help` lists the settings."""

from mesh.process import run
from sms_rmq.settings import Settings
from sms_rmq.wiring import main

if __name__ == "__main__":
    run(Settings, main, "sms_rmq")
