"""Run with `python -m sms_rpc`; `--help` lists the settings."""

from mesh.process import run
from sms_rpc.settings import Settings
from sms_rpc.wiring import main

if __name__ == "__main__":
    run(Settings, main, "sms_rpc")
