"""Run with `python -m costcenter_rpc`; `--help` lists the settings. `audit` proves the ledger instead of serving it."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["audit"]:
        # Each branch imports what it needs: a service does not carry a command line's libraries for its life.
        from costcenter_rpc.audit_command import main as prove

        prove(sys.argv[2:])
    else:
        from costcenter_rpc.settings import Settings
        from costcenter_rpc.wiring import main
        from mesh.process import run

        run(Settings, main, "costcenter_rpc")
