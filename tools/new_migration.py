"""Write a migration from the difference between a service's tables.py and its migrations so far.

    python tools/new_migration.py sms_rpc "keep the provider's code"
    python tools/new_migration.py order_rpc/goods "keep who made them"

Read what it wrote before you commit it: a rename looks like a drop and an add. And keep to what can run again after it
was interrupted between any two statements: mesh/migrations.py says which are seen to, and which you must write so.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import tempfile
import textwrap
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from mesh.database import Database
from mesh.migrations import upgrade

TEMPLATE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down_revision}


def upgrade() -> None:
{body}
'''


ROOT = Path(__file__).resolve().parent.parent


async def main(service: str, message: str) -> None:
    directory = ROOT / service / "migrations"
    metadata = importlib.import_module(f"{service.replace('/', '.')}.tables").metadata
    versions = directory / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        database = Database(f"sqlite:///{scratch}/scratch.db")
        if any(versions.glob("*.py")):
            await upgrade(database, directory)

        def difference(connection: sa.Connection) -> str:
            table = f"{directory.parent.name}_version"
            context = MigrationContext.configure(connection, opts={"version_table": table})
            operations = produce_migrations(context, metadata).upgrade_ops
            return render_python_code(operations) if operations else "pass"

        async with database.read() as connection:
            body = await connection.run_sync(difference)
        await database.close()
    head = ScriptDirectory(str(directory)).get_current_head()
    revision = f"{len(list(versions.glob('*.py'))) + 1:04d}"
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    text = TEMPLATE.format(
        message=message.capitalize(),
        revision=revision,
        down_revision=f'"{head}"' if head else None,
        body=textwrap.indent(textwrap.dedent("\n".join(lines)), "    "),
    )
    path = versions / f"{revision}_{message.lower().replace(' ', '_')[:40]}.py"
    path.write_text(text)
    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", help="folder of the service, for example sms_rpc or order_rpc/goods")
    parser.add_argument("message", help="what the migration does, in a few words")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.service, arguments.message))
