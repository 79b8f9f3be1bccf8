"""`python -m costcenter_rpc audit`: proves a ledger from its entries, on any database, while it works or not."""

from __future__ import annotations

from costcenter_rpc import tables
from costcenter_rpc.audit import RULES, VIOLATIONS_MAX, audit
from mesh.audit_command import Audited, Findings, count_rows, run
from mesh.database import Database

_TOLD = (
    tables.account, tables.entry, tables.freeze, tables.payment, tables.allocation, tables.lot, tables.job,
)  # fmt: skip


async def _look(database: Database) -> Findings:
    return Findings(
        counts=await count_rows(database, _TOLD),
        rules_count=len(RULES),
        violations=await audit(database),
        bound=f"of one rule at most {VIOLATIONS_MAX} are told",
    )


def main(arguments: list[str]) -> None:
    """Run the command with what stands after its name."""
    run(Audited("costcenter_rpc", "the ledger", "sqlite:///var/costcenter.db", _look), arguments)
