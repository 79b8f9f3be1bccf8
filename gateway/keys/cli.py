"""`python -m gateway.keys`: makes, lists and revokes API keys."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.contracts import known_scopes
from gateway.keys import storage
from gateway.keys.domain import BRANDS_MAX, NAME_CHARACTERS_MAX, ApiKey, generate_key, hash_key
from mesh.database import Database
from mesh.errors import DomainError

Answer = TypeVar("Answer")

DatabaseUrl = Annotated[
    str,
    typer.Option("--database-url", envvar="BRANDMESH_DATABASE_URL", help="SQLAlchemy URL of the gateway's database"),
]

ALL_BRANDS = "all"
_DAY_MS = 86_400_000

cli = typer.Typer(help="API keys of the REST gateway.", no_args_is_help=True, add_completion=False)


@cli.command()
def create(  # noqa: PLR0917  # a command's options
    database_url: DatabaseUrl,
    brands: Annotated[str, typer.Option(help="Brand ids, comma-separated, or `all` for the chain's head office")],
    scopes: Annotated[str, typer.Option(help="Scopes, comma-separated, or `all`")],
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it expires; unset: never")
    ] = None,
    name: Annotated[str, typer.Option(help="Who uses it, for `list`")] = "",
    each: Annotated[bool, typer.Option("--each", help="A key for each brand, a line each")] = False,
) -> None:
    """Make a key and print it. It is shown this once; only its hash is stored."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise typer.BadParameter(f"at most {NAME_CHARACTERS_MAX} characters", param_hint="--name")
    now_ms = time.time_ns() // 1_000_000
    expires_at_ms = None if expires_days is None else now_ms + expires_days * _DAY_MS
    made: dict[str, ApiKey] = {}
    for brands_of_one in brands.split(",") if each else [brands]:
        key_id, text = generate_key()
        brand_ids = _brand_ids(brands_of_one)
        made[text] = ApiKey(key_id, hash_key(text), name, brand_ids, _scopes(scopes), now_ms, expires_at_ms)

    async def insert(database: Database) -> None:
        async with database.write() as connection:
            for key in made.values():
                await storage.insert_key(connection, key)

    _with_database(database_url, insert)
    typer.echo("\n".join(made))


@cli.command("list")
def list_keys(database_url: DatabaseUrl) -> None:
    """Show all keys, without what would let anybody use one."""

    async def read(database: Database) -> list[ApiKey]:
        async with database.read() as connection:
            return await storage.list_keys(connection)

    table = Table()
    for heading in ("key id", "name", "brands", "scopes", "created", "expires", "revoked"):
        table.add_column(heading, no_wrap=heading not in {"name", "brands", "scopes"})
    for key in _with_database(database_url, read):
        brands = ALL_BRANDS if key.brand_ids is None else ", ".join(map(str, sorted(key.brand_ids)))
        days = (_day(at_ms) for at_ms in (key.created_at_ms, key.expires_at_ms, key.revoked_at_ms))
        table.add_row(key.key_id, escape(key.name), brands, ", ".join(sorted(key.scopes)), *days)
    # Into a file or a pipe nothing is cut to the width of a terminal.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@cli.command()
def revoke(key_id: Annotated[str, typer.Argument(help="As `list` shows it")], database_url: DatabaseUrl) -> None:
    """Revoke a key. Running gateways refuse it within their key_cache_seconds."""

    async def write(database: Database) -> bool:
        async with database.write() as connection:
            return await storage.revoke_key(connection, key_id, time.time_ns() // 1_000_000)

    if not _with_database(database_url, write):
        typer.echo(f"there is no key {key_id} that still stands", err=True)
        raise typer.Exit(1)
    typer.echo(f"revoked {key_id}", err=True)


def _brand_ids(text: str) -> frozenset[int] | None:
    if text == ALL_BRANDS:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts) or len(parts) > BRANDS_MAX:
        raise typer.BadParameter(f"1 to {BRANDS_MAX} brand ids like 1001,1002, or {ALL_BRANDS}", param_hint="--brands")
    return frozenset(map(int, parts))


def _scopes(text: str) -> frozenset[str]:
    known = known_scopes()
    scopes = known if text == ALL_BRANDS else frozenset(part.strip() for part in text.split(","))
    if scopes - known:
        raise typer.BadParameter(f"known scopes are {', '.join(sorted(known))}", param_hint="--scopes")
    return scopes


def _with_database(url: str, use: Callable[[Database], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        database = Database(url, pool_size=1)
        try:
            await storage.migrate(database)
            return await use(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (DomainError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _day(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
