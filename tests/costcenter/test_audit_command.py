"""`python -m costcenter_rpc audit` as an operator runs it, on the database that the tests run on."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mesh.audit_command import UNPROVEN
from tests.costcenter.harness import BRAND, OTHER_BRAND, Center, prepare, running


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Center]:
    async with running(await prepare(tmp_path)) as center:
        await center.open(BRAND, OTHER_BRAND)
        await center.grant(30)
        await center.pay("paid", 18)
        yield center


async def run_audit(*arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Run it; answer its exit code and its lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "costcenter_rpc", "audit", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (output + errors).decode().splitlines()


def url_of(center: Center) -> str:
    return center.database.url.render_as_string(hide_password=False)


async def damage(center: Center, statement: str) -> None:
    async with center.database.write() as connection:
        assert (await connection.exec_driver_sql(statement)).rowcount > 0


async def test_a_sound_ledger_is_told_with_what_was_looked_at(ledger: Center) -> None:
    code, lines = await run_audit("--database-url", url_of(ledger))
    assert code == 0
    assert lines[0].startswith("looked at account 2, entry 3, freeze 1, payment 1,")
    assert lines[1:] == ["sound: every rule holds"]


async def test_the_variable_names_the_database_too(ledger: Center) -> None:
    code, _ = await run_audit(BRANDMESH_DATABASE_URL=url_of(ledger))
    assert code == 0


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        (
            "UPDATE account SET available = available + 1, granted = granted + 1 WHERE brand_id = 7",
            "I10: the statement",
        ),
        ("UPDATE entry SET available = available - 1 WHERE kind = 'FREEZE'", "I10: an entry moves credits"),
        ("DELETE FROM entry WHERE kind = 'PAY'", "I10: the statement is gapless"),
        ("UPDATE payment SET charged = charged + 1", "payments hold what is spent"),
    ],
)
async def test_each_tampered_row_is_one_line_and_the_exit_code_1(ledger: Center, statement: str, rule: str) -> None:
    await damage(ledger, statement)
    code, lines = await run_audit("--database-url", url_of(ledger))
    broken = [line for line in lines if line.startswith("broken: ")]
    assert code == 1
    assert [line for line in broken if line.startswith(f"broken: {rule}")]
    assert lines[-1].startswith(f"{len(broken)} rows break a rule")


async def test_a_ledger_that_is_not_there_is_not_called_sound(tmp_path: Path) -> None:
    code, lines = await run_audit("--database-url", f"sqlite:///{tmp_path}/none.db")
    assert (code, len(lines)) == (UNPROVEN, 1)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("content", [b"", b"this is no database, and long enough to be looked at as one" * 40])
async def test_a_file_without_a_ledger_is_not_called_sound(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.db").write_bytes(content)
    code, lines = await run_audit("--database-url", f"sqlite:///{tmp_path}/other.db")
    assert (code, len(lines)) == (UNPROVEN, 1), lines


async def test_an_url_that_is_none_is_said(tmp_path: Path) -> None:
    code, lines = await run_audit("--database-url", f"{tmp_path}")
    assert (code, len(lines)) == (UNPROVEN, 1), lines
