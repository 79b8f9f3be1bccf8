"""`python -m order_rpc audit` as an operator runs it, on the database that the tests run on."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
import sqlalchemy as sa

from mesh.audit_command import UNPROVEN
from order_rpc.wallet import tables
from tests.order.wallet.harness import Till


async def run_audit(*arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Run it; answer its exit code and its lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "order_rpc", "audit", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (output + errors).decode().splitlines()


async def test_sound_wallets_are_told_with_what_was_looked_at(till: Till) -> None:
    await till.fund(1_000)
    await till.debit(11, 400)
    code, lines = await run_audit("--database-url", till.running.settings.database_url)
    assert lines == [
        "looked at wallet_account 1, wallet_money_log 2, wallet_debit 1, wallet_recharge 0; 9 rules",
        "sound: every rule holds",
    ]
    assert code == 0


async def test_each_broken_row_is_one_line_and_the_exit_code_1(till: Till) -> None:
    await till.fund(1_000)
    account = tables.account
    await till.running.execute(sa.update(account).values(user_money_fen=1_001))
    code, lines = await run_audit(BRANDMESH_DATABASE_URL=till.running.settings.database_url)
    await till.running.execute(sa.update(account).values(user_money_fen=1_000))
    assert code == 1
    assert [line for line in lines if line.startswith("broken: the entries add up")] == lines[1:2]
    assert lines[-1] == "1 rows break a rule; at most 100 are told"


@pytest.mark.parametrize("name", ["none.db", "empty.db"])
async def test_a_database_without_wallets_is_not_called_sound(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.db").write_bytes(b"")
    code, lines = await run_audit("--database-url", f"sqlite:///{tmp_path}/{name}")
    assert (code, len(lines)) == (UNPROVEN, 1), lines
