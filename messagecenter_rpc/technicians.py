"""Technicians' clock: calls reach a technician's devices only while the technician is at work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh.database import Database
from mesh.errors import DomainError, invalid_field
from mesh.statements import read_pairs
from messagecenter_rpc.tables import technician

AHEAD_MS_MAX = 300_000
"""How far a caller's clock may be ahead: a time far in the future would make every later word out of date."""


@dataclass(frozen=True, slots=True)
class Technician:
    """One technician's clock: whether at work, by whose last word of which time."""

    brand_id: int
    technician_id: str
    clocked_on: bool
    clock_at_ms: int


class Technicians:
    """What the shop's system says of its technicians."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def clock(self, brand_id: int, technician_id: str, at_ms: int | None, *, on: bool) -> Technician:
        """Clock a technician on or off at a time; None is now. Raises OUT_OF_DATE for a time before the last one."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            said = Technician(brand_id, technician_id, on, now_ms if at_ms is None else at_ms)
            if not 0 < said.clock_at_ms <= now_ms + AHEAD_MS_MAX:
                raise invalid_field("clock_time", "is before 1970 or in the future")
            row = {name: getattr(said, name) for name in said.__slots__}
            await self._database.insert_ignore(connection, technician, [row])
            statement = sa.select(technician).where(*_is(brand_id, technician_id))
            known = Technician(**(await connection.execute(statement.with_for_update())).one()._mapping)  # noqa: SLF001  # SQLAlchemy's public name
            if known.clock_at_ms > said.clock_at_ms:
                raise _out_of_date(known)
            await connection.execute(sa.update(technician).where(*_is(brand_id, technician_id)).values(row))
        return said

    async def get(self, brand_id: int, technician_id: str) -> Technician:
        """Read a technician's clock. Raises TECHNICIAN_NOT_FOUND."""
        async with self._database.read() as connection:
            found = await read_technicians(connection, [(brand_id, technician_id)])
        if (brand_id, technician_id) not in found:
            raise DomainError(
                grpc.StatusCode.NOT_FOUND, "TECHNICIAN_NOT_FOUND", f"technician {technician_id} was never clocked on"
            )
        return found[brand_id, technician_id]


async def read_technicians(
    connection: AsyncConnection, technicians: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], Technician]:
    """Read the clocks of technicians, given as (brand_id, technician_id); those who have none are left out."""
    rows = await read_pairs(connection, technician, ("brand_id", "technician_id"), technicians)
    clocks = (Technician(**row._mapping) for row in rows)  # noqa: SLF001  # SQLAlchemy's public name
    return {(one.brand_id, one.technician_id): one for one in clocks}


def _is(brand_id: int, technician_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return technician.c.brand_id == brand_id, technician.c.technician_id == technician_id


def _out_of_date(known: Technician) -> DomainError:
    state = "on" if known.clocked_on else "off"
    return DomainError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "OUT_OF_DATE",
        f"technician {known.technician_id} clocked {state} after this time",
        metadata={"clock_at_ms": str(known.clock_at_ms)},
    )
