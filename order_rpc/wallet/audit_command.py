"""`python -m order_rpc audit`: proves every wallet from its log, on any database, while it works or not."""

from __future__ import annotations

from mesh.audit_command import Audited, Findings, count_rows, run
from mesh.database import Database
from order_rpc.wallet import tables
from order_rpc.wallet.audit import RULES
from order_rpc.wallet.audit_rows import audit

VIOLATIONS_MAX = 100

_TOLD = (tables.account, tables.money_log, tables.debit, tables.recharge)


async def _look(database: Database) -> Findings:
    return Findings(
        counts=await count_rows(database, _TOLD),
        rules_count=len(RULES),
        violations=await audit(database, VIOLATIONS_MAX),
        bound=f"at most {VIOLATIONS_MAX} are told",
    )


def main(arguments: list[str]) -> None:
    """Run the command with what stands after its name."""
    run(Audited("order_rpc", "the wallets", "sqlite:///var/order.db", _look), arguments)
