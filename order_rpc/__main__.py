"""Run with `python -m order_rpc`; `--help` lists the settings. `audit` proves the wallets instead of serving them."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["audit"]:
        # Each branch imports what it needs: a service does not carry a command line's libraries for its life.
        from order_rpc.wallet.audit_command import main as prove

        prove(sys.argv[2:])
    else:
        from mesh.process import run
        from order_rpc.settings import Settings
        from order_rpc.wiring import main

        run(Settings, main, "order_rpc")
